"""Stage `split`: hold out the last two likes of every user, and draw the candidates to rank."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.config.slices import SplitSlice
from r2rec.data import negatives


class Split(NamedTuple):
    """The tables of a leave-last-out split.

    Attributes:
        train: Interactions strictly before each user's validation positive, in time order.
        heldout: user, item, role ("valid" or "test").
        dropped: How many users are left out, by reason.
    """

    train: pl.DataFrame
    heldout: pl.DataFrame
    dropped: dict[str, int]


def leave_last_out(
    interactions: pl.DataFrame,
    *,
    positive_above: float,
    min_positives: int,
) -> Split:
    """Hold out each user's last two ratings above a threshold (section 4.1.1).

    The test positive is a user's latest rating above the threshold, the validation positive the one
    before it. Train holds only what came strictly before the validation positive; what lies between
    the two, or after them, is in no table. Ties in time keep the order of `interactions`, which is
    that of the file.

    Args:
        interactions: Sorted by user, then time.
        min_positives: At least 2. Users with fewer likes are left out.
    """
    user = interactions["user"].to_numpy()
    is_like = interactions["rating"].to_numpy() > positive_above
    like_rows = np.flatnonzero(is_like)
    n_users = int(user[-1]) + 1
    like_counts = np.bincount(user[like_rows], minlength=n_users)
    kept_users = np.flatnonzero(like_counts >= min_positives)
    last_like = np.cumsum(like_counts)[kept_users] - 1
    valid_rows = like_rows[last_like - 1]
    test_rows = like_rows[last_like]
    train_end = np.zeros(n_users, np.int64)
    train_end[kept_users] = valid_rows
    is_train = np.arange(len(user)) < train_end[user]
    train = interactions.filter(pl.Series(is_train))
    heldout_rows = np.column_stack([valid_rows, test_rows]).ravel()
    heldout = pl.DataFrame(
        {
            "user": np.repeat(kept_users, 2).astype(np.uint32),
            "item": interactions["item"].gather(heldout_rows),
            "role": ["valid", "test"] * len(kept_users),
        }
    )
    n_active = int(np.count_nonzero(np.bincount(user)))
    return Split(
        train=train.select("user", "item", "rating", "timestamp"),
        heldout=heldout,
        dropped={"too_few_positives": n_active - len(kept_users)},
    )


def with_candidates(
    positives: pl.DataFrame,
    touched: NDArray[np.int64],
    n_items: int,
    k: int,
    rng: np.random.Generator,
    rated: pl.Series | None = None,
) -> pl.DataFrame:
    """Put each positive among k negatives, in random order.

    Users with fewer than k untouched items are left out.

    Args:
        positives: user, item.
        touched: All interactions, as `negatives.touched_keys` gives them.
        rated: The items of all train ratings: negatives are then about as popular as the positive.
            None: negatives are uniform.

    Returns:
        user, positive, items list[u32] of length k + 1.
    """
    item_of_rank = np.arange(n_items)
    rank_of_item = item_of_rank
    if rated is not None:
        # Draw ranks of popularity instead of item ids, so that near ids are alike in popularity.
        item_of_rank, rank_of_item = negatives.by_popularity(rated.to_numpy(), n_items, rng)
        first_key = touched - touched % n_items
        touched = np.sort(first_key + rank_of_item[touched % n_items])
    n_users = int(touched[-1]) // n_items + 1
    n_untouched = negatives.untouched_counts(touched, n_users, n_items)
    is_served = n_untouched[positives["user"].to_numpy()] >= k
    served = positives.filter(pl.lit(is_served))
    positive = served["item"].to_numpy()
    near = None
    if rated is not None:
        near = rank_of_item[positive]
    ranks = negatives.draw_negatives(served["user"].to_numpy(), touched, n_items, k, rng, near)
    ordered = np.column_stack([positive, item_of_rank[ranks]])
    items = rng.permuted(ordered, axis=1).astype(np.uint32)
    as_arrays = pl.Series(items, dtype=pl.Array(pl.UInt32, k + 1))
    candidates = served.select("user", positive="item")
    return candidates.with_columns(items=as_arrays.cast(pl.List(pl.UInt32)))


def unrated_negatives(candidates: pl.DataFrame, rated: pl.Series) -> float:
    """The share of negatives without any train rating: nothing but texts tells them apart.

    Args:
        candidates: positive, items, as `with_candidates` gives them.
        rated: The item of every train rating.
    """
    shown = candidates.select("positive", item="items").explode("item")
    negative = shown.filter(pl.col("item") != pl.col("positive"))["item"]
    if negative.is_empty():
        return 0.0
    return 1 - int(negative.is_in(rated.unique().implode()).sum()) / len(negative)


def evaluated(split: Path, seed: int, users: int) -> pl.DataFrame:
    """The candidates of the evaluated users, sorted by user.

    They are the first `users` in a seeded order of all users, so a larger number only adds users.

    Args:
        split: Folder of the artefact of stage `split`.

    Returns:
        user, positive, items (see `with_candidates`; `Candidates.of` gives them as arrays).
    """
    candidates = pl.read_parquet(split / "candidates.parquet")
    order = seeds.generator(seed, "evaluation.users").permutation(candidates.height)
    return candidates[np.sort(order[:users])]


def split(choices: SplitSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write train, heldout, candidates (test) and validation_candidates, each a parquet file.

    Returns:
        The numbers of users with candidates, of train ratings, and of dropped users by reason.

    Raises:
        R2RecError: No user has enough likes or enough untouched items.
    """
    interactions = pl.read_parquet(inputs["prepare"] / "interactions.parquet")
    items = pl.scan_parquet(inputs["prepare"] / "items.parquet")
    n_items: int = items.select(pl.len()).collect().item()
    parts = _held_out(interactions, choices)
    train = parts.train
    if choices.noise._target_ is not None:
        train = _corrupted(parts.train, interactions, n_items, choices)
    train.write_parquet(work.folder / "train.parquet", compression="lz4", statistics=False)
    parts.heldout.write_parquet(work.folder / "heldout.parquet")
    rated = None
    if choices.matched:
        rated = parts.train["item"]  # before noise: candidates are those of the clean run
    touched = negatives.touched_keys(interactions, n_items)
    drawn = {}
    for role, name in (("test", "candidates"), ("valid", "validation_candidates")):
        candidates = with_candidates(
            parts.heldout.filter(pl.col("role") == role),
            touched,
            n_items,
            choices.negatives,
            seeds.generator(choices.seed, f"split.{role}"),
            rated,
        )
        candidates.write_parquet(work.folder / f"{name}.parquet")
        drawn[role] = candidates
    n_users = drawn["test"].height
    if not n_users:
        raise R2RecError(
            f"no user has {choices.negatives} untouched items among {n_items}; "
            "lower evaluation.negatives"
        )
    n_kept = parts.heldout.height // 2
    return {
        "users": n_users,
        "train_ratings": train.height,
        "unrated_negatives": round(unrated_negatives(drawn["test"], train["item"]), 4),
        "dropped_users": {**parts.dropped, "too_few_untouched_items": n_kept - n_users},
    }


def _held_out(interactions: pl.DataFrame, choices: SplitSlice) -> Split:
    if choices.min_positives < 2:
        raise R2RecError(
            "evaluation.min_positives must be at least 2: a like to validate on and one to test on"
        )
    parts = leave_last_out(
        interactions,
        positive_above=choices.positive_above,
        min_positives=choices.min_positives,
    )
    if parts.heldout.is_empty():
        raise R2RecError(
            f"no user has {choices.min_positives} ratings above {choices.positive_above:g}; "
            "lower evaluation.min_positives or give more data"
        )
    return parts


def _corrupted(
    train: pl.DataFrame,
    interactions: pl.DataFrame,
    n_items: int,
    choices: SplitSlice,
) -> pl.DataFrame:
    """The train ratings with the configured noise."""
    add_noise = get_method(cast(str, choices.noise._target_))
    n_users = cast(int, interactions["user"].max()) + 1
    rng = seeds.generator(choices.seed, "split.noise")
    noisy = add_noise(train, n_users, n_items, rng, **choices.noise.params)
    # Noise must not give a user an item that they rate later: it would reveal held-out items.
    pair = ["user", "item"]
    later = interactions.join(train, on=pair, how="anti")
    kept: pl.DataFrame = noisy.join(later, on=pair, how="anti", maintain_order="left")
    return kept
