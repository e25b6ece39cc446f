"""Guard of every run: no held-out rating may be in what a method learns from or is shown."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.told import TOLD

PAIR = ["user", "item"]


def check_leakage(folders: Mapping[str, Path]) -> str:
    """Look for (user, item) pairs that must not be in train ratings, chains, training targets.

    Held-out pairs must be in none of them. With `tell` (`evaluation.history=all`) the validation
    positives are told: what is told and the chains must not have a rating from the user's test
    positive on.

    Args:
        folders: Stage -> artefact folder, all of one data set. `split` is required, and `prepare`
            beside `tell`; `tell`, `chain` and `think` are checked where they are given.

    Returns:
        One line that says how many pairs were looked for, and where.

    Raises:
        R2RecError: Such a pair was found.
    """
    split = folders["split"]
    heldout = pl.scan_parquet(split / "heldout.parquet")
    learnt = {"train": pl.scan_parquet(split / "train.parquet")}
    shown = {}
    if "chain" in folders:
        chains = pl.scan_parquet(folders["chain"] / "chains.parquet")
        shown["chains (item 1)"] = chains.rename({"item1": "item"})
        # In an open chain the user has not rated item 2: it shows a neighbour's rating alone.
        closed = chains.drop_nulls("rating_u2")
        shown["chains (item 2)"] = closed.rename({"item2": "item"})
    targets = {}
    if "think" in folders:
        targets["training targets"] = pl.scan_parquet(folders["think"] / "traces.parquet")
    if "tell" not in folders:
        return _none_of(heldout, "held-out ratings", {**learnt, **shown, **targets}, split)

    told = {"told": pl.scan_parquet(folders["tell"] / TOLD)}
    interactions = pl.scan_parquet(folders["prepare"] / "interactions.parquet")
    return "; ".join(
        [
            _none_of(heldout, "held-out ratings", {**learnt, **targets}, split),
            _none_of(
                _from_test_on(interactions, heldout),
                "ratings from the test positives on",
                {**told, **shown},
                split,
            ),
        ]
    )


def _from_test_on(interactions: pl.LazyFrame, heldout: pl.LazyFrame) -> pl.LazyFrame:
    """(user, item) of each user's test positive and of all that the user rated after it."""
    rows = interactions.with_row_index("row")  # in time order
    test = rows.join(heldout.filter(role="test"), on=PAIR)
    return rows.join(test.select("user", first="row"), on="user").filter(
        pl.col("row") >= pl.col("first")
    )


def _none_of(
    forbidden: pl.LazyFrame, what: str, tables: Mapping[str, pl.LazyFrame], split: Path
) -> str:
    """Say that no forbidden (user, item) is in any of these tables, once that is known."""
    pairs = forbidden.select(PAIR)
    for name, table in tables.items():
        leaked = _count(table.join(pairs, on=PAIR, how="semi"))
        if leaked:
            raise R2RecError(
                f"leakage: {leaked} {what} are in {name} of {split}; report this as a bug"
            )
    return f"none of {_count(pairs)} {what} is in {', '.join(tables)}"


def _count(table: pl.LazyFrame) -> int:
    n_rows: int = table.select(pl.len()).collect().item()
    return n_rows
