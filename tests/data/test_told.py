"""What is told under `evaluation.history=all`, against a slow reading of the same rule."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.data import interactions, movielens, split
from r2rec.data.told import with_later_ratings
from tests.data.test_split import files, tables
from tests.small import Done, go

COLUMNS = ["user", "item", "rating"]


def before_test(rows, least):
    """All ratings of each user before the last like, read off the rows one by one."""
    by_user = defaultdict(list)
    for row in rows:
        by_user[row[0]].append(row)
    told = []
    for user in sorted(by_user):
        mine = sorted(by_user[user], key=lambda row: row[3])  # stable: ties keep the file's order
        likes = [n for n, row in enumerate(mine) if row[2] > 3]
        if len(likes) >= least:
            told += [row[:3] for row in mine[: likes[-1]]]
    return told


@given(files, st.integers(2, 4))
def test_told_is_all_before_the_test_positive(rows, least):
    made, rows = tables(rows)
    parts = split.leave_last_out(made.interactions, positive_above=3, min_positives=least)
    told = with_later_ratings(parts.train, made.interactions, parts.heldout)
    assert told.select(COLUMNS).rows() == before_test(rows, least)
    assert told.schema == parts.train.schema


def test_told_on_real_data_is_all_before_the_test_positive(shared_data):
    made = interactions.index(movielens.read_ml_1m(shared_data / "ml-1m-part"))
    parts = split.leave_last_out(made.interactions, positive_above=3, min_positives=6)
    told = with_later_ratings(parts.train, made.interactions, parts.heldout)
    rows = made.interactions.rows()  # of one user in time order
    assert told.select(COLUMNS).rows() == before_test(rows, 6)


ONLY_SPLIT = ("evaluation.history=all", "until=tell")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("told") / "store", *ONLY_SPLIT)


def later_ratings(done: Done) -> dict[int, list[Any]]:
    """User -> the told ratings after those of train, which must come first."""
    train = done.table("split", "train")
    told = done.table("tell", "told")
    assert told["user"].is_sorted()
    n_train = dict(train.group_by("user").len().iter_rows())
    later = {}
    for (user,), rows in told.partition_by("user", as_dict=True).items():
        n = n_train.get(user, 0)
        assert rows.head(n).equals(train.filter(user=user))
        if rows.height > n:
            later[user] = rows[n:].rows()
    return later


@pytest.mark.parametrize("name", ["drop", "flip", "shift", "sparse", "cold", "bandwagon"])
def test_noise_changes_no_later_rating(clean: Done, name: str) -> None:
    """Each user is told the noisy train ratings, then the same later ones as without noise."""
    noisy = go(clean.folder.parent / "store", *ONLY_SPLIT, f"noise={name}")
    assert not noisy.table("split", "train").equals(clean.table("split", "train"))
    assert later_ratings(noisy) == later_ratings(clean)


def paths(done: Done) -> dict[str, str]:
    """Where the artefact of each stage and of each ranked arm is."""
    ranked = done.stages["rank"]["arms"]
    found = {f"rank {method}": arm["path"] for method, arm in ranked.items()}
    for name, stage in done.stages.items():
        if name not in ("rank", "report"):
            found[name] = stage["path"]
    return found


def test_all_of_the_history_remakes_only_what_is_asked_of_test_users(
    smoke: Done, store: Path
) -> None:
    done = go(store, "evaluation.history=all")
    # Compared by path: another test may have filled the store with the same artefacts.
    others = {name for name, path in paths(done).items() if paths(smoke).get(name) != path}
    asked = {name for name in smoke.status() if name.startswith("rank ")}
    assert others == {"tell", "chain", *asked}
    assert "tell" not in smoke.stages
    page = (done.folder / "report.html").read_text()
    assert "all before the test positive" in page
    assert "all before the validation positive" in (smoke.folder / "report.html").read_text()
    again = go(store)
    assert again.made() == set()
    assert again.records == smoke.records
