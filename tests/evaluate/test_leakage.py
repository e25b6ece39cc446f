"""The leakage check passes what the pipeline makes, and finds every planted leak."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.evaluate import leakage
from tests.small import Done, go


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("leakage") / "store", "until=think", "sft.task=mix")


@pytest.fixture
def folders(clean: Done, tmp_path: Path) -> dict[str, Path]:
    """A copy of the artefacts, to plant in."""
    copies = {}
    for name, folder in clean.folders().items():
        copies[name] = Path(shutil.copytree(folder, tmp_path / name))
    return copies


def test_clean_run_reports_what_was_checked(clean: Done) -> None:
    line = leakage.check_leakage(clean.folders())
    pairs = clean.table("split", "heldout").height
    tables = "train, chains (item 1), chains (item 2), training targets"
    assert line == f"none of {pairs} held-out ratings is in {tables}"


def test_baseline_run_checks_train_alone(clean: Done) -> None:
    assert leakage.check_leakage({"split": clean.folders()["split"]}).endswith("is in train")


PLACES = {
    "train": ("split", "train", "item"),
    "chains (item 1)": ("chain", "chains", "item1"),
    "chains (item 2)": ("chain", "chains", "item2"),
    "training targets": ("think", "traces", "item"),
}


@pytest.mark.parametrize("role", ["valid", "test"])
@pytest.mark.parametrize("place", PLACES)
def test_planted_rating_is_found(folders: dict[str, Path], place: str, role: str) -> None:
    stage, name, column = PLACES[place]
    path = folders[stage] / f"{name}.parquet"
    table = pl.read_parquet(path)
    held = pl.read_parquet(folders["split"] / "heldout.parquet").filter(pl.col("role") == role)
    user = table["user"][-1]
    item = held.filter(pl.col("user") == user)["item"][0]
    last = pl.int_range(pl.len()) == pl.len() - 1
    planted = pl.when(last).then(pl.lit(item, pl.UInt32)).otherwise(column)
    table.with_columns(planted.alias(column)).write_parquet(path)
    with pytest.raises(R2RecError, match=r"leakage: 1 held-out") as caught:
        leakage.check_leakage(folders)
    assert f"in {place} of" in str(caught.value)


@pytest.fixture(scope="module")
def told(clean: Done) -> Done:
    return go(
        clean.folder.parent / "store", "until=think", "sft.task=mix", "evaluation.history=all"
    )


def test_run_with_all_of_the_history_reports_what_was_checked(told: Done) -> None:
    line = leakage.check_leakage(told.folders())
    held = told.table("split", "heldout")
    positive = dict(held.filter(role="test").select("user", "item").iter_rows())
    hidden = 0
    for (user,), rows in told.table("prepare", "interactions").group_by("user"):
        if user in positive:
            items = rows["item"].to_list()
            hidden += len(items) - items.index(positive[user])
    assert hidden > len(positive)
    assert line == (
        f"none of {held.height} held-out ratings is in train, training targets; "
        f"none of {hidden} ratings from the test positives on is in told, "
        "chains (item 1), chains (item 2)"
    )


LATER_PLACES = PLACES | {"told": ("tell", "told", "item")}


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("place", ["told", "chains (item 1)", "chains (item 2)"])
def test_what_came_after_may_not_be_told(
    told: Done, tmp_path: Path, place: str, after: int
) -> None:
    """The test positive, or the rating after it, is planted."""
    copies = {}
    for name, folder in told.folders().items():
        copies[name] = Path(shutil.copytree(folder, tmp_path / name))
    stage, name, column = LATER_PLACES[place]
    path = copies[stage] / f"{name}.parquet"
    table = pl.read_parquet(path)
    positives = told.table("split", "heldout").filter(role="test")
    rows = told.table("prepare", "interactions")
    for user, positive in positives.select("user", "item").iter_rows():
        items = rows.filter(user=user)["item"].to_list()
        later = items[items.index(positive) :]
        if len(later) > after and user in table["user"]:
            break
    first = (pl.col("user") == user).cum_sum().eq(1) & (pl.col("user") == user)
    planted = pl.when(first).then(pl.lit(later[after], pl.UInt32)).otherwise(column)
    table.with_columns(planted.alias(column)).write_parquet(path)
    with pytest.raises(R2RecError, match=r"leakage: 1 ratings from the test") as caught:
        leakage.check_leakage(copies)
    assert f"in {place} of" in str(caught.value)


def test_another_users_rating_is_no_leak(folders: dict[str, Path]) -> None:
    """Item 2 of an open chain shows a neighbour's rating, and none of the user's."""
    held = pl.read_parquet(folders["split"] / "heldout.parquet")
    path = folders["chain"] / "chains.parquet"
    chains = pl.read_parquet(path).filter(pl.col("user") == held["user"][0])
    opened = chains.with_columns(
        item2=pl.lit(held["item"][0], pl.UInt32), rating_u2=pl.lit(None, pl.Float32)
    )
    assert opened.height
    opened.write_parquet(path)
    leakage.check_leakage(folders)
