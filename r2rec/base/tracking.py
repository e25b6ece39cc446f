"""Dashboards: what a run leaves in files also goes to trackers, step by step as it comes.

The trackers are accelerate's (wandb, TensorBoard, MLflow, Comet, ...). A failing tracker never
aborts a run: one that cannot reach its server goes on offline, and one that breaks is left out with
a note. Stages that were reused send their stored log, so a dashboard is complete either way.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base import processes
from r2rec.base.errors import R2RecError
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
VERDICT = "verdict"  # the fact that sums up a run in words
Say = Callable[[str], None]
Rows = Sequence[Sequence[Any]]


class Sink(NamedTuple):
    """One tracker at work."""

    name: str
    step: Callable[[str, int, Mapping[str, float]], None]  # (stage, step, values)
    facts: Callable[[Mapping[str, Any]], None]  # results of a stage, by "stage/fact"
    table: Callable[[str, Sequence[str], Rows], None]  # (title, columns, rows)
    finish: Callable[[bool], None]  # (whether the run succeeded)


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
            opener = OPENERS.get(name, _open_other)
            _open.append(opener(name, logger, config, folder, curves))
        yield
        succeeded = True
    finally:
        _each(lambda sink: sink.finish(succeeded))
        _open.clear()


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
    shown = {f"{name}/artefact": folder.name}
    for key, value in facts.items():
        if isinstance(value, (int, float, str)):
            shown[f"{name}/{key}"] = value  # type: ignore[assignment]
    _each(lambda sink: sink.facts(shown))


def log_results(records: Sequence[Mapping[str, Any]], rankings: Path, verdict: str) -> None:
    """Send the verdict, the results table, rankings and some completions.

    Args:
        records: Rows of metrics.json.
        rankings: The run's rankings.parquet.
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
            final[f"{record['method']}/{name}"] = record[name]
    table = pl.read_parquet(rankings)
    _each(lambda sink: sink.facts({VERDICT: verdict, **final}))
    _each(lambda sink: sink.table("results", columns, results))
    places = _places(table)
    _each(lambda sink: sink.table("rankings", tuple(places.columns), places.rows()))
    thoughts = _thoughts(table)
    _each(lambda sink: sink.table("thoughts", tuple(thoughts.columns), thoughts.rows()))


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


def _tracker_class(name: str) -> Any:
    """accelerate's class for a tracker.

    Raises:
        R2RecError: Its package is not installed.
    """
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    installed = {str(kind) for kind in get_available_trackers()}
    if name not in installed:
        extra = "'r2rec[wandb]'" if name == "wandb" else name
        raise R2RecError(f"logger {name} is not installed: pip install {extra}, or logger=none")
    processes.join_accelerate()
    return LOGGER_TYPE_TO_CLASS[name]


def _open_wandb(
    name: str, logger: Logger, config: Mapping[str, Any], folder: Path, curves: Sequence[str]
) -> Sink:
    kind = _tracker_class(name)
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=logger.patience,
        disable_git=True,
        x_disable_meta=True,  # it would hold the command line as it was typed, secrets included
    )

    def start(mode: str) -> Any:
        tracker = kind(
            logger.project,
            group=f"{config['name']} {folder.parent.name}",
            name=folder.name,
            dir=str(folder),
            config=dict(config),
            mode=mode,
            reinit="finish_previous",
            settings=settings,
        )
        tracker.start()
        return tracker

    try:
        tracker = start(logger.mode)
    except Exception as error:  # no key or no network; the classes differ between releases
        reason = " ".join(str(error).split())[:200]
        _say[0](f"  note: wandb goes on offline: {reason}")
        tracker = start("offline")
    run = tracker.tracker
    for stage in curves:
        run.define_metric(f"{stage}/step")
        run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def step(stage: str, number: int, values: Mapping[str, float]) -> None:
        tracker.log({f"{stage}/step": number, **_prefixed(stage, values)})

    def table(title: str, columns: Sequence[str], rows: Rows) -> None:
        tracker.log_table(title, columns=list(columns), data=[list(row) for row in rows])

    def finish(succeeded: bool) -> None:
        run.finish(exit_code=0 if succeeded else 1)

    return Sink(name, step, partial(_wandb_facts, run), table, finish)


def _wandb_facts(run: Any, values: Mapping[str, Any]) -> None:
    run.summary.update(values)
    if VERDICT in values:
        run.notes = values[VERDICT]  # what the run's own page opens with


def _open_other(
    name: str, logger: Logger, config: Mapping[str, Any], folder: Path, curves: Sequence[str]
) -> Sink:
    """Any tracker of accelerate: steps are numbered by stage, tables are Markdown texts."""
    kind = _tracker_class(name)
    tracker = kind(name, logging_dir=str(folder)) if kind.requires_logging_directory else None
    if tracker is None:
        tracker = kind(logger.project)
    tracker.start()
    settings = json.dumps(config, indent=2, default=str)
    tracker.log({"config": f"```\n{settings}\n```"}, step=0)

    def step(stage: str, number: int, values: Mapping[str, float]) -> None:
        tracker.log(_prefixed(stage, values), step=number)

    def facts(values: Mapping[str, Any]) -> None:
        tracker.log(_prefixed("facts", values), step=0)

    def table(title: str, columns: Sequence[str], rows: Rows) -> None:
        tracker.log({title: _markdown(columns, rows)}, step=0)

    def finish(succeeded: bool) -> None:
        tracker.finish()

    return Sink(name, step, facts, table, finish)


def _prefixed(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{stage}/{name}": value for name, value in values.items()}


def _markdown(columns: Sequence[str], rows: Rows) -> str:
    """A table in Markdown, whose cells hold no line break and no bar."""
    lines = []
    for row in [columns, ["---"] * len(columns), *rows]:
        cells = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


OPENERS: dict[str, Callable[..., Sink]] = {"wandb": _open_wandb}
