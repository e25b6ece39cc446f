"""Noise changes train ratings alone, by its share, and leaves a valid train table."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.chains import graph as graphs
from r2rec.data import noise
from tests.small import composed, go

USERS, ITEMS = 60, 80
KINDS = ("random", "average", "bandwagon")


def table(seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(u, i) for u in range(USERS) for i in rng.permutation(ITEMS)[: rng.integers(8, 30)]]
    user, item = np.array(rows).T
    frame = pl.DataFrame(
        {
            "user": user,
            "item": item,
            "rating": rng.integers(1, 6, len(user)),
            "timestamp": rng.integers(0, 1000, len(user)),
        }
    )
    types = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}
    return frame.cast(types).sort("user", "timestamp", maintain_order=True)  # type: ignore[arg-type]


def applied(name: str, seed: int = 0, **params) -> pl.DataFrame:
    return getattr(noise, name)(table(), USERS, ITEMS, np.random.default_rng(seed), **params)


NOISES = [
    ("drop", {"share": 0.3}),
    ("flip", {"share": 0.3}),
    ("shift", {"share": 0.5}),
    ("sparse", {"kept": 3}),
    ("cold", {"share": 0.3, "kept": 3}),
    *(("attack", {"kind": kind, "share": 0.2}) for kind in KINDS),
]


@pytest.mark.parametrize(("name", "params"), NOISES)
def test_noise_gives_valid_train_table_and_repeats(name, params):
    worse = applied(name, **params)
    assert worse.schema == table().schema
    assert worse.equals(worse.sort("user", "timestamp", maintain_order=True))
    assert not worse.select("user", "item").is_duplicated().any()
    assert worse["rating"].is_between(1, 5).all()
    assert worse.equals(applied(name, **params))
    assert not worse.equals(table())
    graphs.build_graph(worse, int(worse["user"].max()) + 1, ITEMS)


@given(st.floats(0, 1), st.integers(0, 5))
def test_drop_and_flip_change_their_share(share, seed):
    left, n = applied("drop", seed, share=share), table().height
    assert left.join(table(), on=table().columns, how="anti").height == 0
    assert abs(left.height / n - (1 - share)) < 5 * (share * (1 - share) / n) ** 0.5 + 3 / n
    turned = applied("flip", seed, share=share)
    changed = turned["rating"] != table()["rating"]
    assert (turned["rating"].filter(changed) + table()["rating"].filter(changed) == 6).all()
    assert turned.drop("rating").equals(table().drop("rating"))


def test_shift_takes_early_tastes_from_one_other_user():
    before, after = table().partition_by("user"), applied("shift", share=0.5)
    moved = 0
    for rows in before:
        user, old = rows["user"][0], rows.height // 2
        now = after.filter(pl.col("user") == user)
        assert now.height == rows.height  # nothing is lost, or it would be `drop`
        assert now["timestamp"].equals(rows["timestamp"])
        assert now.tail(rows.height - old).equals(rows.tail(rows.height - old))
        foreign = now.join(rows, on="item", how="anti")
        moved += foreign.height
        lenders = table().join(foreign, on=("item", "rating")).group_by("user").len()
        if foreign.height:  # all of them come from one other user
            assert lenders["len"].max() >= foreign.height
    assert moved > 0.25 * table().height
    assert applied("shift", share=0.0).equals(table())


def test_sparse_keeps_last_ratings():
    assert applied("sparse", kept=3).equals(
        table().group_by("user", maintain_order=True).tail(3).select(table().columns)
    )


@given(st.floats(0, 1), st.integers(0, 5), st.integers(0, 4))
def test_cold_cuts_a_share_of_the_users_and_leaves_the_others(share, seed, kept):
    after = applied("cold", seed, share=share, kept=kept)
    left = {user: rows for (user,), rows in after.partition_by("user", as_dict=True).items()}
    n_cold = 0
    for rows in table().partition_by("user"):  # all have more than `kept` ratings
        now = left.get(rows["user"][0], table().clear())
        if not now.equals(rows):
            assert now.equals(rows.tail(kept))
            n_cold += 1
    assert n_cold == round(share * USERS)


@pytest.mark.parametrize("kind", KINDS)
def test_attack_pushes_rare_items(kind):
    worse = applied("attack", kind=kind, share=0.2, targets=4)
    real, fake = worse.filter(pl.col("user") < USERS), worse.filter(pl.col("user") >= USERS)
    assert real.equals(table())
    assert fake["user"].n_unique() == 12
    everywhere = (
        fake.group_by("item")
        .agg(pl.len(), pl.col("rating").min())
        .filter(pl.col("len") == 12, rating=5)
    )
    pushed = set(everywhere["item"])
    rated = table()["item"].value_counts().sort("count")
    assert len(pushed & set(rated["item"].head(ITEMS // 2))) >= 4
    assert len(pushed) < 12
    assert (kind == "bandwagon") == (rated["item"][-1] in pushed)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return go(tmp_path_factory.mktemp("noise") / "store", *QUICK)


QUICK = ("sft=off", "rl=off", "evaluation.arms=[]", "evaluation.users=30")


@pytest.mark.parametrize(
    "name", ["drop", "flip", "shift", "sparse", "cold", "random", "average", "bandwagon"]
)
def test_noise_leaves_candidates_alone(clean, name):
    store = clean.folder.parent / "store"
    done = go(store, *QUICK, f"noise={name}", "baseline=item_knn")
    assert done.table("split", "candidates").equals(clean.table("split", "candidates"))
    assert done.table("split", "heldout").equals(clean.table("split", "heldout"))
    assert not done.table("split", "train").equals(clean.table("split", "train"))


@pytest.mark.parametrize("name", ["drop", "shift", "sparse", "cold", "random"])
def test_noise_leaves_matched_candidates_alone(clean, name):
    store = clean.folder.parent / "store"
    matched = (*QUICK, "evaluation.matched=true", "until=split")
    without, done = go(store, *matched), go(store, *matched, f"noise={name}")
    assert done.table("split", "candidates").equals(without.table("split", "candidates"))


def test_think_accepts_fake_users(clean):
    done = go(
        clean.folder.parent / "store", "noise=bandwagon", "noise.params.share=1.0", "until=think"
    )
    assert done.table("think", "traces")["user"].max() >= composed().dataset.params.users
