"""Stage `split`: leave the last two likes of every user out, and draw the candidates that all methods rank."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.data import negatives


class Split(NamedTuple):
    train: (
        pl.DataFrame
    )  # interactions strictly before each user's validation positive, in time order
    heldout: pl.DataFrame  # user, item, role (valid | test)
    dropped: dict[str, int]  # users left out, by reason


def leave_last_out(
    interactions: pl.DataFrame, *, positive_above: float, min_positives: int
) -> Split:
    """Test positive: a user's latest rating above the threshold; validation positive: the one before it.

    Paper 4.1.1. `min_positives` is at least 2. Train holds only what came strictly before the validation positive; what
    lies between the two, or after, is in no table. Ties in time keep the order of the file, which `interactions` has.
    """
    user = interactions["user"].to_numpy()
    likes = np.flatnonzero(interactions["rating"].to_numpy() > positive_above)
    n_users = int(user[-1]) + 1
    count = np.bincount(user[likes], minlength=n_users)
    kept = np.flatnonzero(count >= min_positives)
    last = np.cumsum(count)[kept] - 1
    valid, test = likes[last - 1], likes[last]
    end = np.zeros(n_users, np.int64)
    end[kept] = valid
    train = interactions.filter(pl.Series(np.arange(len(user)) < end[user]))
    heldout = pl.DataFrame(
        {
            "user": np.repeat(kept, 2).astype(np.uint32),
            "item": interactions["item"].gather(np.column_stack([valid, test]).ravel()),
            "role": ["valid", "test"] * len(kept),
        }
    )
    few = int(np.count_nonzero(np.bincount(user))) - len(kept)
    return Split(
        train.select("user", "item", "rating", "timestamp"), heldout, {"too_few_positives": few}
    )


def with_candidates(
    positives: pl.DataFrame,
    touched: NDArray[np.int64],
    n_items: int,
    k: int,
    rng: np.random.Generator,
    rated: pl.Series | None = None,
) -> pl.DataFrame:
    """Each positive among k negatives, shuffled: user, positive, items list[u32] of length k + 1.

    Users with fewer than k untouched items cannot be served and are left out.

    Args:
        touched: What every user rated, ever, as `negatives.touched_keys` gives it.
        rated: The items of all train ratings: negatives are then as popular as the positive. None: uniform.
    """
    order = place = np.arange(n_items)
    if rated is not None:
        order, place = negatives.by_popularity(rated.to_numpy(), n_items, rng)
        touched = np.sort(touched - touched % n_items + place[touched % n_items])
    free = negatives.untouched_counts(touched, int(touched[-1]) // n_items + 1, n_items)
    served = positives.filter(pl.lit(free[positives["user"].to_numpy()] >= k))
    positive = served["item"].to_numpy()
    near = None if rated is None else place[positive]
    drawn = order[
        negatives.draw_negatives(served["user"].to_numpy(), touched, n_items, k, rng, near)
    ]
    shown = rng.permuted(np.column_stack([positive, drawn]), axis=1)
    return served.select("user", positive="item").with_columns(
        items=pl.Series(shown.astype(np.uint32), dtype=pl.Array(pl.UInt32, k + 1)).cast(
            pl.List(pl.UInt32)
        )
    )


def evaluated(cfg: DictConfig, split: Path) -> pl.DataFrame:
    """Candidates of the evaluated users, sorted by user: the first `evaluation.users` in a seeded order of all."""
    candidates = pl.read_parquet(split / "candidates.parquet")
    order = seeds.generator(cfg.seed, "evaluation.users").permutation(candidates.height)
    return candidates[np.sort(order[: cfg.evaluation.users])]


def split(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write train.parquet, heldout.parquet, candidates.parquet (test) and validation_candidates.parquet."""
    interactions = pl.read_parquet(inputs["prepare"] / "interactions.parquet")
    n_items = pl.read_parquet(inputs["prepare"] / "items.parquet", columns=["item"]).height
    protocol, k = cfg.evaluation, cfg.evaluation.negatives
    if protocol.min_positives < 2:
        raise R2RecError(
            "evaluation.min_positives must be at least 2: a like to validate on and one to test on"
        )
    parts = leave_last_out(
        interactions, positive_above=protocol.positive_above, min_positives=protocol.min_positives
    )
    if not parts.heldout.height:
        raise R2RecError(
            f"no user has {protocol.min_positives} ratings above {protocol.positive_above:g}; "
            "lower evaluation.min_positives or give more data"
        )
    rated = (
        parts.train["item"] if protocol.matched else None
    )  # before noise: candidates are the clean run's
    if cfg.noise._target_ is not None:
        worse, n_users = get_method(cfg.noise._target_), int(interactions["user"].max()) + 1  # type: ignore[arg-type]
        noisy = worse(
            parts.train,
            n_users,
            n_items,
            seeds.generator(cfg.seed, "split.noise"),
            **cfg.noise.params,
        )
        pair = ["user", "item"]  # what a user rates later must not come to them by noise
        later = interactions.join(parts.train, on=pair, how="anti")
        parts = parts._replace(train=noisy.join(later, on=pair, how="anti", maintain_order="left"))
    parts.train.write_parquet(folder / "train.parquet", compression="lz4", statistics=False)
    parts.heldout.write_parquet(folder / "heldout.parquet")
    touched = negatives.touched_keys(interactions, n_items)
    for role, file in (("test", "candidates"), ("valid", "validation_candidates")):
        rng = seeds.generator(cfg.seed, f"split.{role}")
        positives = parts.heldout.filter(pl.col("role") == role)
        candidates = with_candidates(positives, touched, n_items, k, rng, rated)
        candidates.write_parquet(folder / f"{file}.parquet")
    if not candidates.height:
        raise R2RecError(
            f"no user has {k} untouched items among {n_items}; lower evaluation.negatives"
        )
    return {
        "users": candidates.height,
        "train_ratings": parts.train.height,
        "dropped_users": parts.dropped
        | {"too_few_untouched_items": positives.height - candidates.height},
    }
