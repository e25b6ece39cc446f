"""Leave-last-out split and candidates, against a slow reading of the same rules."""

from collections import Counter, defaultdict
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from r2rec.base.errors import R2RecError
from r2rec.config import Noise
from r2rec.config.slices import SplitSlice
from r2rec.data import interactions, movielens, split
from r2rec.data.negatives import touched_keys
from tests.small import workspace

# (user, item, rating, time) in file order
files = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(1, 5), st.integers(0, 3)),
    unique_by=lambda row: row[:2],
    min_size=1,
    max_size=30,
)


def tables(rows):
    """The tables of a file, and its rows with the ids that the tables give them."""
    schema = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "time_ms": pl.Int64}
    ratings = pl.DataFrame(rows, schema, orient="row")
    users = pl.DataFrame({"raw_id": [str(n) for n in range(20)], "profile": "anyone"})
    items = pl.DataFrame({"raw_id": [str(n) for n in range(20)], "title": "Anything"}).with_columns(
        attributes=[]
    )
    made = interactions.index(interactions.Raw(ratings, users, items, []))
    user_of, item_of = (
        {int(raw): n for n, raw in enumerate(t["raw_id"].to_list())}
        for t in (made.users, made.items)
    )
    return made, [(user_of[u], item_of[i], rating, time) for u, i, rating, time in rows]


def reference(rows, least):
    """Train, (valid, test) items and dropped users, read off the rows one by one."""
    by_user = defaultdict(list)
    for row in rows:
        by_user[row[0]].append(row)
    train, heldout, dropped = [], {}, 0
    for user in sorted(by_user):
        mine = sorted(by_user[user], key=lambda row: row[3])  # stable: ties keep the file's order
        likes = [n for n, row in enumerate(mine) if row[2] > 3]
        if len(likes) < least:
            dropped += 1
            continue
        heldout[user] = (mine[likes[-2]][1], mine[likes[-1]][1])
        train += [row[:3] for row in mine[: likes[-2]]]
    return train, heldout, dropped


@given(files, st.integers(2, 4))
def test_leave_last_out_matches_slow_version(rows, least):
    made, rows = tables(rows)
    train, heldout, dropped = reference(rows, least)
    parts = split.leave_last_out(made.interactions, positive_above=3, min_positives=least)
    assert parts.train.select("user", "item", "rating").rows() == train
    expected = [
        (u, i, role)
        for u, both in heldout.items()
        for i, role in zip(both, ("valid", "test"), strict=True)
    ]
    assert parts.heldout.rows() == expected
    assert parts.dropped == {"too_few_positives": dropped}


def test_leave_last_out_orders_ties_by_file():
    made, _ = tables([(0, 3, 5, 7), (0, 1, 5, 7), (0, 2, 5, 7), (0, 0, 1, 7)])
    parts = split.leave_last_out(made.interactions, positive_above=3, min_positives=2)
    assert parts.train["item"].to_list() == [3]
    assert parts.heldout.rows() == [(0, 1, "valid"), (0, 2, "test")]


@given(files, st.integers(0, 4))
def test_candidates_are_positive_and_untouched_items(rows, k):
    made, rows = tables(rows)
    n_items = made.items.height
    touched = defaultdict(set)
    for user, item, *_ in rows:
        touched[user].add(item)
    positives = made.interactions.group_by("user", maintain_order=True).agg(pl.col("item").last())
    known = touched_keys(made.interactions, n_items)
    shown = split.with_candidates(positives, known, n_items, k, np.random.default_rng(0))
    expected = [row for row in positives.rows() if n_items - len(touched[row[0]]) >= k]
    assert shown.select("user", "positive").rows() == expected
    assert shown.schema["items"] == pl.List(pl.UInt32)
    for user, positive, items in shown.rows():
        assert len(items) == len(set(items)) == k + 1
        assert touched[user] & set(items) == {positive}


def test_candidates_are_uniform_over_sets_and_positions():
    """One user asked 7,000 times: 3 of 7 untouched items, the positive at each of four places."""
    touched = [0, 2, 4, 9, 11]
    known = pl.DataFrame(
        {"user": 0, "item": touched}, schema={"user": pl.UInt32, "item": pl.UInt32}
    )
    asked = pl.DataFrame({"user": [0] * 7000, "item": [4] * 7000}, schema=known.schema)
    shown = split.with_candidates(asked, touched_keys(known, 12), 12, 3, np.random.default_rng(0))[
        "items"
    ].to_list()
    places = Counter(row.index(4) for row in shown)
    sets = Counter(frozenset(row) for row in shown)
    assert len(places) == 4
    assert len(sets) == comb(7, 3)
    assert chisquare(list(places.values())).pvalue > 0.001
    assert chisquare(list(sets.values())).pvalue > 0.001


def staged(folder, rows, seed=0, negatives=2, min_positives=2):
    made, _ = tables(rows)
    for name in ("prepared", f"split{seed}"):
        (folder / name).mkdir(exist_ok=True)
    made.interactions.write_parquet(folder / "prepared" / "interactions.parquet")
    made.items.write_parquet(folder / "prepared" / "items.parquet")
    choices = SplitSlice(
        seed=seed,
        noise=Noise(name="none"),
        negatives=negatives,
        matched=False,
        positive_above=3.0,
        min_positives=min_positives,
    )
    inputs = {"prepare": folder / "prepared"}
    return split.split(choices, inputs, workspace(folder / f"split{seed}"))


# users 0 and 1 like all of 12 and 10 items of 12, user 2 likes one, user 3 three
WORLD = [(u, i, 5, i) for u, n in enumerate((12, 10, 1, 3)) for i in range(n)]


def test_split_counts_dropped_users(tmp_path):
    facts = staged(tmp_path, WORLD)
    # Nobody's train has items 10 and 11, which are all that user 1 never touched.
    assert facts.pop("unrated_negatives") in (0.5, 0.75, 1.0)
    assert facts == {
        "users": 2,
        "train_ratings": 10 + 8 + 1,
        "dropped_users": {"too_few_positives": 1, "too_few_untouched_items": 1},
    }
    assert pl.read_parquet(tmp_path / "split0" / "candidates.parquet")["user"].to_list() == [1, 3]
    assert pl.read_parquet(tmp_path / "split0" / "validation_candidates.parquet")[
        "user"
    ].to_list() == [1, 3]


def test_split_repeats_by_seed(tmp_path):
    def files(seed):
        staged(tmp_path, WORLD, seed)
        return {p.name: p.read_bytes() for p in (tmp_path / f"split{seed}").iterdir()}

    first, again, other = files(0), files(0), files(1)
    assert first == again
    assert {name for name in first if first[name] != other[name]} == {
        "candidates.parquet",
        "validation_candidates.parquet",
    }


def test_split_draws_validation_and_test_negatives_apart(tmp_path):
    staged(tmp_path, [(u, (u + i) % 20, 5, i) for u in range(20) for i in range(2)])
    valid, test = (
        pl.read_parquet(tmp_path / "split0" / f"{name}.parquet").sort("user")
        for name in ("validation_candidates", "candidates")
    )
    negatives = [
        [set(items) - {positive} for _, positive, items in shown.iter_rows()]
        for shown in (valid, test)
    ]
    assert sum(a == b for a, b in zip(*negatives, strict=True)) < 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"min_positives": 13}, "min_positives"), ({"negatives": 13}, "negatives")],
)
def test_split_says_what_to_lower_without_users(tmp_path, changes, message):
    with pytest.raises(R2RecError, match=f"lower evaluation.{message}"):
        staged(tmp_path, WORLD, **changes)


def test_split_needs_two_likes(tmp_path):
    with pytest.raises(R2RecError, match="min_positives must be at least 2"):
        staged(tmp_path, WORLD, min_positives=1)


def test_evaluated_users_are_nested_and_sorted(tmp_path):
    staged(tmp_path, [(u, (u + i) % 20, 5, i) for u in range(20) for i in range(2)])
    folder = tmp_path / "split0"
    candidates = pl.read_parquet(folder / "candidates.parquet")
    chosen = [split.evaluated(folder, seed=3, users=n) for n in (4, 9, 1000)]
    assert [table.height for table in chosen] == [4, 9, 20]
    assert all(table["user"].is_sorted() for table in chosen)
    assert set(chosen[0]["user"]) < set(chosen[1]["user"])
    assert chosen[2].equals(candidates)
    other = split.evaluated(folder, seed=4, users=9)
    assert set(other["user"]) != set(chosen[1]["user"])


@pytest.fixture(scope="module")
def movies(shared_data):
    return interactions.index(movielens.read_ml_1m(shared_data / "ml-1m-part"))


def hits(candidates, scores):
    """HR@1 and HR@3 of a score per item, ties broken by chance."""
    total = np.zeros(2)
    for positive, items in candidates.select("positive", "items").rows():
        better = sum(scores[i] > scores[positive] for i in items)
        tied = sum(scores[i] == scores[positive] for i in items)
        total += [min(max(n - better, 0), tied) / tied for n in (1, 3)]
    return total / candidates.height


def test_split_on_real_data_has_expected_popularity_scores(movies):
    parts = split.leave_last_out(movies.interactions, positive_above=3, min_positives=6)
    test = parts.heldout.filter(pl.col("role") == "test")
    known = touched_keys(movies.interactions, movies.items.height)
    candidates = split.with_candidates(
        test, known, movies.items.height, 19, np.random.default_rng(0)
    )
    assert candidates.height == 2998
    popularity = Counter(parts.train["item"].to_list())
    assert hits(candidates, popularity) == pytest.approx([0.31, 0.59], abs=0.02)


def test_split_on_real_data_leaks_nothing_into_train(movies):
    parts = split.leave_last_out(movies.interactions, positive_above=3, min_positives=6)
    assert parts.heldout.height == 2 * parts.heldout["user"].n_unique() == 2 * 2998
    assert parts.train.join(parts.heldout, on=["user", "item"]).is_empty()
    valid = parts.heldout.filter(role="valid").join(movies.interactions, on=["user", "item"])
    times = parts.train.join(valid.select("user", until="timestamp"), on="user")
    assert times.height == parts.train.height
    assert (times["timestamp"] <= times["until"]).all()


def test_split_on_real_data_draws_untouched_negatives(movies):
    parts = split.leave_last_out(movies.interactions, positive_above=3, min_positives=6)
    test = parts.heldout.filter(role="test")
    known = touched_keys(movies.interactions, movies.items.height)
    shown = split.with_candidates(test, known, movies.items.height, 19, np.random.default_rng(0))
    touched = shown.explode("items").join(
        movies.interactions, left_on=["user", "items"], right_on=["user", "item"]
    )
    assert touched["items"].to_list() == touched["positive"].to_list()
    assert touched.height == shown.height


@given(
    st.lists(st.sets(st.integers(0, 9), min_size=3, max_size=3), min_size=1),
    st.sets(st.integers(0, 9)),
)
def test_unrated_negatives_are_counted(shown: list[set[int]], rated: set[int]) -> None:
    rows = [sorted(items) for items in shown]
    table = pl.DataFrame({"positive": [row[1] for row in rows], "items": rows})
    negatives = [item for first, _, last in rows for item in (first, last)]
    expected = sum(item not in rated for item in negatives) / len(negatives)
    found = split.unrated_negatives(table, pl.Series([*rated, *rated], dtype=pl.Int64))
    assert found == pytest.approx(expected)
