"""Training targets: likes with enough likes before them, half for SFT and half for RL."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from r2rec.tasks.targets import for_rl, for_sft, heavy_share, training_targets

# per user, ratings in time order; items are numbered within a user
trains = st.lists(st.lists(st.integers(1, 5), max_size=9), min_size=1, max_size=6)


def table(train: list[list[int]]) -> pl.DataFrame:
    rows = [(u, i, r) for u, ratings in enumerate(train) for i, r in enumerate(ratings)]
    return pl.DataFrame(
        rows, schema={"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32}, orient="row"
    )


def targets(train: list[list[int]], min_history: int = 2, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return training_targets(table(train), positive_above=3, min_history=min_history, rng=rng)


@given(trains, st.integers(0, 4))
def test_targets_are_likes_with_enough_history(train: list[list[int]], min_history: int) -> None:
    expected = {
        (user, item, item)  # items are numbered in time order, so a target's position is its item
        for user, ratings in enumerate(train)
        for item, rating in enumerate(ratings)
        if rating > 3 and sum(r > 3 for r in ratings[:item]) >= min_history
    }
    found = targets(train, min_history)
    assert set(found.iter_rows()) == expected
    assert found.height == len(expected)


@given(trains, st.integers(0, 30), st.integers(0, 30))
def test_sft_and_rl_targets_are_disjoint(train: list[list[int]], sft: int, rl: int) -> None:
    pool = targets(train, 1)
    first, last = for_sft(pool, sft), for_rl(pool, rl)
    assert not set(first.iter_rows()) & set(last.iter_rows())
    assert first.height == min(sft, pool.height // 2)
    assert last.height == min(rl, pool.height - pool.height // 2)


@given(trains, st.integers(0, 30), st.integers(0, 30))
def test_smaller_draw_is_part_of_larger(train: list[list[int]], few: int, more: int) -> None:
    pool = targets(train, 1)
    for take in (for_sft, for_rl):
        assert set(take(pool, few).iter_rows()) <= set(take(pool, few + more).iter_rows())


def test_seed_fixes_the_order() -> None:
    train = [[5] * 9] * 9
    assert targets(train).equals(targets(train))
    assert not targets(train, seed=1).equals(targets(train))
    assert targets(train, seed=1).sort("user", "item").equals(targets(train).sort("user", "item"))


def test_no_likes_no_targets() -> None:
    assert targets([[1, 2, 3], []]).is_empty()


@given(trains, st.integers(0, 30))
def test_targets_by_user_take_turns_in_each_half(train: list[list[int]], samples: int) -> None:
    rng = np.random.default_rng(0)
    pool = training_targets(table(train), positive_above=3, min_history=1, rng=rng, by="users")
    assert pool.sort("user", "item").equals(targets(train, 1).sort("user", "item"))
    halves = (pool.head(pool.height // 2), for_sft), (pool.tail(-(-pool.height // 2)), for_rl)
    for half, take in halves:
        own = dict(half.group_by("user").len().iter_rows())
        taken = dict(take(pool, samples).group_by("user").len().iter_rows())
        most = max(taken.values(), default=0)
        # Whoever has fewer than another one has no more to give, or comes later in this turn.
        assert all(taken.get(user, 0) >= min(own[user], most - 1) for user in own)


def test_heavy_users_supply_less_by_turns() -> None:
    train = [[5] * 200, *[[5] * 5 for _ in range(9)]]
    rated = table(train)
    shares = {}
    for by in ("likes", "users"):
        rng = np.random.default_rng(0)
        pool = training_targets(rated, positive_above=3, min_history=1, rng=rng, by=by)
        for take in (for_sft, for_rl):
            shares[by, take] = heavy_share(take(pool, 10), rated)
    assert min(shares["likes", take] for take in (for_sft, for_rl)) >= 0.5
    assert max(shares["users", take] for take in (for_sft, for_rl)) <= 0.3


def test_the_first_target_by_turns_is_anybodys() -> None:
    rated = table([[5] * 200, *[[5] * 9 for _ in range(9)]])
    of_heavy = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        pool = training_targets(rated, positive_above=3, min_history=1, rng=rng, by="users")
        of_heavy += sum(take(pool, 1)["user"][0] == 0 for take in (for_sft, for_rl))
    assert of_heavy < 45  # 20 of 200 are expected, 147 if each like were as likely as another
