"""Train-side ratings that training prompts ask about, as if they were still to come (method.md, Training)."""

import numpy as np
import polars as pl


def training_targets(
    train: pl.DataFrame, *, positive_above: float, min_history: int, rng: np.random.Generator
) -> pl.DataFrame:
    """Every like with enough likes before it, in a seeded order: user, item, position (ratings of the user before it).

    The front half is SFT's and the back half RL's (`for_sft`, `for_rl`), so the two never share a sample and
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


def for_sft(targets: pl.DataFrame, samples: int) -> pl.DataFrame:
    """The first targets, from the half that is SFT's."""
    return targets.head(targets.height // 2).head(samples)


def for_rl(targets: pl.DataFrame, samples: int) -> pl.DataFrame:
    """The last targets, from the half that is RL's."""
    return targets.tail(targets.height - targets.height // 2).tail(samples)
