"""A reader: lines of user|item|stars|day."""

from pathlib import Path

import polars as pl


def read(root: Path, category: str | None) -> pl.DataFrame:
    """Columns user, item, rating and timestamp; r2rec numbers users and items."""
    return pl.read_csv(
        Path(root) / "diary.txt",
        separator="|",
        has_header=False,
        new_columns=["user", "item", "rating", "timestamp"],
    )
