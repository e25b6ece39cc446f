"""Dashboards: what a run leaves in files also goes to trackers, step by step as it comes.

The trackers are accelerate's (wandb, TensorBoard, MLflow, Comet, ...). A failing tracker never
aborts a run: one that cannot reach its server goes on offline, and one that breaks is left out with
a note. Stages that were reused send their stored log, so a dashboard is complete either way.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r2rec.base.sinks import OPENERS, VERDICT, Opening, Rows, Say, Sink, open_other
from r2rec.config import Logger

TRACKERS = (
    "tensorboard",
    "wandb",
    "mlflow",
    "comet_ml",
    "trackio",
    "aim",
    "clearml",
    "dvclive",
    "swanlab",
)  # accelerate's names
MAX_THOUGHTS = 20  # completions shown, per method
MAX_USERS = 1_000  # users whose ranking is shown, per method

_open: list[Sink] = []
_say: list[Say] = []


@contextmanager
def trackers_open(
    logger: Logger, config: Mapping[str, Any], folder: Path, curves: Sequence[str], say: Say
) -> Iterator[None]:
    """Open the trackers of `logger.report_to`, and finish them however the run ends.

    Args:
        config: The resolved configuration as plain values, without secrets. `name` is read.
        folder: The run's folder.
        curves: Stages that log steps.
        say: Called with one line when a tracker is left out.

    Raises:
        R2RecError: A tracker's package is not installed.
    """
    _say[:] = [say]
    succeeded = False
    try:
        for name in logger.report_to:
            opener = OPENERS.get(name, open_other)
            _open.append(opener(name, Opening(logger, config, folder, curves, say)))
        yield
        succeeded = True
    finally:
        _each(lambda sink: sink.finish(succeeded))
        _open.clear()


def has_trackers() -> bool:
    """Whether there is any tracker."""
    return bool(_open)


def log_table(title: str, columns: Sequence[str], rows: Rows) -> None:
    """Send a table."""
    _each(lambda sink: sink.table(title, columns, rows))


def log_step(stage: str, number: int, values: Mapping[str, Any]) -> None:
    """Send the values of one training step; those that are not finite numbers are left out."""
    numbers = {}
    for name, value in values.items():
        if name != "step" and isinstance(value, (int, float)) and math.isfinite(value):
            numbers[name] = float(value)
    _each(lambda sink: sink.step(stage, number, numbers))


def log_stage(name: str, facts: Mapping[str, Any], folder: Path, *, made: bool) -> None:
    """Send the facts of a finished stage; for one that was reused, its stored steps as well."""
    if not _open:
        return
    log = folder / "log.parquet"
    if not made and log.exists():
        _replay(name, log)
    name = _key(name)
    shown: dict[str, Any] = {f"{name}/artefact": folder.name}
    for key, value in facts.items():
        if isinstance(value, (int, float, str)):
            shown[f"{name}/{_key(key)}"] = value
    _each(lambda sink: sink.facts(shown))


def log_results(records: Sequence[Mapping[str, Any]], rankings: Path, verdict: str) -> None:
    """Send the verdict, the results table, rankings, some completions, figures and the page.

    Args:
        records: Rows of metrics.json.
        rankings: The run's rankings.parquet, in its folder.
        verdict: What the results come to, in words.
    """
    if not _open:
        return
    import polars as pl

    shown = dict.fromkeys(name for record in records for name in record["ci95"])
    metrics = (*shown, "valid_ratio")
    columns = ("method", "variant", "dataset", "seed", "n_users", *metrics)
    results = [[record[name] for name in columns] for record in records]
    final = {}
    for record in records:
        for name in metrics:
            final[f"{_key(record['method'])}/{name}"] = record[name]
    table = pl.read_parquet(rankings)
    _each(lambda sink: sink.facts({VERDICT: verdict, **final}))
    log_table("results", columns, results)
    places = _places(table)
    log_table("rankings", tuple(places.columns), places.rows())
    thoughts = _thoughts(table)
    log_table("thoughts", tuple(thoughts.columns), thoughts.rows())
    _each(lambda sink: sink.files(rankings.parent))


def _key(name: str) -> str:
    """A name as trackers group by it: charts and filters take no spaces."""
    return name.replace(" ", "_")


def _replay(stage: str, log: Path) -> None:
    """Send the steps of a stored log.parquet."""
    import polars as pl

    for row in pl.read_parquet(log).iter_rows(named=True):
        number = row.get("step", row.get("epoch", 0))
        log_step(stage, int(number), row)


def _places(rankings: Any) -> Any:
    """Where each user's positive was ranked, from 1; null where it was left out."""
    import polars as pl

    first = rankings.group_by("method", maintain_order=True).head(MAX_USERS)
    rank = (
        pl.struct("ranking", "positive")
        .map_elements(
            lambda row: (
                row["ranking"].index(row["positive"]) + 1
                if row["positive"] in row["ranking"]
                else None
            ),
            return_dtype=pl.Int64,
        )
        .alias("place")
    )
    return first.select("method", "user", "positive", rank, "valid")


def _thoughts(rankings: Any) -> Any:
    """Some completions of each method that writes, and whether the first place was right."""
    import polars as pl

    written = rankings.filter(pl.col("completion").is_not_null())
    some = written.group_by("method", maintain_order=True).head(MAX_THOUGHTS)
    first = pl.col("ranking").list.get(0, null_on_oob=True)
    return some.select(
        "method", "user", text="completion", right=(first == pl.col("positive")).fill_null(False)
    )


def _each(act: Callable[[Sink], None]) -> None:
    """Do something with every tracker; one that raises is dropped with a note."""
    for sink in list(_open):
        try:
            act(sink)
        except Exception as error:
            _open.remove(sink)
            reason = " ".join(str(error).split())[:200]
            _say[0](f"  note: {sink.name} is left out from here on: {reason}")
