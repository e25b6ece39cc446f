"""Records with other metrics than a run was asked for, computed from its rankings."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError, read_whole
from r2rec.evaluate.metrics import per_user, summarise
from r2rec.evaluate.names import METRICS
from r2rec.report.records import Record, Row, shown_metrics


def measured(record: Record, rankings: Path, names: Sequence[str]) -> Row:
    """A record that shows the metrics `names`; those that it lacks are computed.

    Args:
        rankings: The rankings.parquet that the record was computed from.

    Raises:
        R2RecError: There is no such metric, or the table breaks a rule of rankings tables.
    """
    row: Row = {name: value for name, value in record.items() if name != "metrics"}
    if tuple(names) != METRICS:
        row["metrics"] = list(names)
    if all(name in record for name in names):
        return row
    if not rankings.exists():
        raise R2RecError(f"{rankings} is gone, and {', '.join(names)} are computed from it")
    with read_whole(rankings, "run that job again"):
        table = pl.read_parquet(rankings).filter(pl.col("method") == record["method"])
    computed = summarise(
        per_user(table, names),
        method=record["method"],
        variant=record["variant"],
        dataset=record["dataset"],
        train_dataset=record["train_dataset"],
        seed=record["seed"],
        names=names,
        rng_seed=record["seed"],
    )
    return computed | row | {"ci95": computed["ci95"] | record["ci95"]}


def all_measured(
    rows: Iterable[tuple[Record, Path]], names: Sequence[str] | None = None
) -> list[Row]:
    """Records that all show the same metrics, each with the rankings it was computed from.

    Args:
        names: What they show; None: what any of them does.
    """
    pairs = list(rows)
    if names is None:
        names = shown_metrics([record for record, _ in pairs])
    return [measured(record, rankings, names) for record, rankings in pairs]
