"""Training targets: likes of the train table that training prompts ask about as if still to come.

The halves of SFT and RL are disjoint, as the paper's two training sets are (section 4.1.2).
"""

import numpy as np
import polars as pl

HEAVY = 0.1  # share of users, those with most ratings


def training_targets(
    train: pl.DataFrame,
    *,
    positive_above: float,
    min_history: int,
    rng: np.random.Generator,
    by: str = "likes",
) -> pl.DataFrame:
    """Every like with at least `min_history` likes before it, in a seeded order.

    The front half is for SFT (`for_sft`) and the back half for RL (`for_rl`), so the two never
    share a target, and neither depends on how many targets the other takes.

    Args:
        train: Sorted by user, then time.
        by: "likes": all are equally likely to come first. "users": in each half every user comes
            once before anybody comes twice, counted from where SFT or RL begins.

    Returns:
        Columns user, item, and position: the number of the user's ratings before the target.
    """
    is_like = pl.col("rating") > positive_above
    rows = train.select(
        "user",
        "item",
        position=pl.int_range(pl.len()).over("user"),
        liked=is_like,
        likes_before=is_like.cum_sum().over("user") - 1,
    )
    enough = pl.col("likes_before") >= min_history
    pool = rows.filter("liked", enough).select("user", "item", "position")
    drawn = pool[rng.permutation(pool.height)]
    if by == "likes":
        return drawn
    front = _by_turns(drawn.head(pool.height // 2), rng)
    back = _by_turns(drawn.tail(pool.height - pool.height // 2), rng)
    return pl.concat([front, back.reverse()])


def _by_turns(drawn: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The same rows: first the first one of every user, then the second ones, and so on.

    Users of one turn are shuffled: in the order drawn, those with many rows would come first.
    """
    turn = pl.int_range(pl.len()).over("user")
    return drawn.sort(turn, pl.Series(rng.random(drawn.height)))


def heavy_share(targets: pl.DataFrame, train: pl.DataFrame) -> float:
    """The share of these targets that the tenth of users with most train ratings supplies."""
    if targets.is_empty():
        return 0.0
    counts = train.group_by("user").len().sort("len", "user", descending=[True, False])
    heavy = counts.head(max(1, round(HEAVY * counts.height)))["user"]
    return int(targets["user"].is_in(heavy.implode()).sum()) / targets.height


def for_sft(targets: pl.DataFrame, samples: int) -> pl.DataFrame:
    """The first `samples` targets of the half that is for SFT."""
    half = targets.height // 2
    return targets.head(half).head(samples)


def for_rl(targets: pl.DataFrame, samples: int) -> pl.DataFrame:
    """The last `samples` targets of the half that is for RL."""
    half = targets.height - targets.height // 2
    return targets.tail(half).tail(samples)
