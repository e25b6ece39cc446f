"""Train-side ratings that training prompts ask about, as if they were still to come (method.md, Training)."""

import numpy as np
import polars as pl


def training_targets(
    train: pl.DataFrame, *, positive_above: float, min_history: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Every like with enough likes before it, in a seeded order: user, item, position (ratings of the user before it).

    SFT takes from the front and RL from the back (`for_sft`, `for_rl`), so the two never share a sample and
    neither depends on how many the other takes.

    Args:
        train: Sorted by user, then time.
    """
    rows = train.select(
        "user",
        "item",
        position=pl.int_range(pl.len()).over("user"),
        liked=pl.col("rating") > positive_above,
        before=(pl.col("rating") > positive_above).cum_sum().over("user") - 1,
    )
    pool = rows.filter("liked", pl.col("before") >= min_history).select("user", "item", "position")
    return pool[rng.permutation(pool.height)]


def for_sft(targets: pl.DataFrame, wanted: int, rl_samples: int) -> pl.DataFrame:
    """The first targets, at most as many as leave RL its own."""
    return targets.head(min(wanted, max(0, targets.height - rl_samples)))


def for_rl(targets: pl.DataFrame, samples: int) -> pl.DataFrame:
    """The last targets."""
    return targets.tail(samples)
