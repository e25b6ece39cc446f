"""The guard of every run: no held-out rating may be in what a method learns from or is shown."""

from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError


def check_leakage(folders: dict[str, Path]) -> str:
    """Count held-out (user, item) pairs in train, chains and training targets; a line that says there are none.

    Args:
        folders: Artefact folders of one data set by stage; `split` is there, `chain` and `think` may be.

    Raises:
        R2RecError: There are some.
    """
    held = pl.scan_parquet(folders["split"] / "heldout.parquet").select("user", "item")
    places = {"train": pl.scan_parquet(folders["split"] / "train.parquet")}
    if "chain" in folders:
        chains = pl.scan_parquet(folders["chain"] / "chains.parquet")
        places["chains (item 1)"] = chains.rename({"item1": "item"})
        places["chains (item 2)"] = chains.drop_nulls("rating_u2").rename({"item2": "item"})
    if "think" in folders:
        places["training targets"] = pl.scan_parquet(folders["think"] / "traces.parquet")
    for place, pairs in places.items():
        leaked = pairs.join(held, on=["user", "item"], how="semi").select(pl.len()).collect().item()
        if leaked:
            raise R2RecError(
                f"leakage: {leaked} held-out ratings are in {place} of {folders['split']}; report this as a bug"
            )
    pairs_held = held.select(pl.len()).collect().item()
    return f"none of {pairs_held} held-out ratings is in {', '.join(places)}"
