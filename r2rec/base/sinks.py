"""The trackers themselves: how each shows steps, facts, tables and files. `tracking` feeds them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base import processes, provenance
from r2rec.base.errors import R2RecError
from r2rec.config import Logger

VERDICT = "verdict"  # the fact that sums up a run in words; it comes with the final results
UNTOLD = (
    *"artefacts dry evaluation.users force hardware hydra logger name push_to_hub roots".split(),
    *"dataset.root experiment".split(),
)
"""Keys whose overrides do not tell a run from another one."""
MAX_NAME = 100  # characters of a run's name
MAX_TAG = 64  # what wandb allows
NO_CHOICE = ("none", "off", "")  # members of groups that stand for nothing
TAGGED = ("dataset", "baseline", "chain_sampler", "model", "reward", "noise", "diagnostic")

Say = Callable[[str], None]
Rows = Sequence[Sequence[Any]]


def _nothing(folder: Path) -> None:
    """For trackers that show no files."""


class Sink(NamedTuple):
    """One tracker at work."""

    name: str
    step: Callable[[str, int, Mapping[str, float]], None]  # (stage, step, values)
    facts: Callable[[Mapping[str, Any]], None]  # results of a stage, by "stage/fact"
    table: Callable[[str, Sequence[str], Rows], None]  # (title, columns, rows)
    finish: Callable[[bool], None]  # (whether the run succeeded)
    files: Callable[[Path], None] = _nothing  # (folder of a run with figures and a page)


class Opening(NamedTuple):
    """What a tracker is opened for."""

    logger: Logger
    config: Mapping[str, Any]  # resolved, without secrets
    folder: Path  # of the run
    curves: Sequence[str]  # stages that log steps
    say: Say


class RunNames(NamedTuple):
    """What a tracker calls a run, and where it files it."""

    name: str
    group: str
    job_type: str
    tags: list[str]


def run_names(config: Mapping[str, Any], folder: Path, composed: Mapping[str, Any]) -> RunNames:
    """Names by what was changed: a run is told from others by its overrides, not by its time.

    Args:
        composed: Of `provenance.composition`.
    """
    changed = []
    for word in composed.get("overrides", ()):
        key = word.partition("=")[0].lstrip("+~")
        if not any(key == told or key.startswith(f"{told}.") for told in UNTOLD):
            changed.append(word.lstrip("+"))
    dataset = config.get("dataset", {}).get("name", "")
    group = f"{config['name']} on {dataset}"
    if composed.get("sweep"):
        group = f"{config['name']} {folder.parent.name}"
    members = [str(config.get(key, {}).get("name", "")) for key in TAGGED]
    tags = [member[:MAX_TAG] for member in members if member not in NO_CHOICE]
    baseline = config.get("baseline", {}).get("name", "")
    return RunNames(
        name=" ".join(changed)[:MAX_NAME] or str(config["name"]),
        group=group,
        job_type="R2Rec" if baseline in NO_CHOICE else "baseline",
        tags=list(dict.fromkeys(tags)),
    )


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


def open_wandb(name: str, opening: Opening) -> Sink:
    """Weights & Biases: facts are the summary, steps are charts, tables and files are media."""
    tracker = _started_wandb(_tracker_class(name), opening)
    run = tracker.tracker
    for stage in opening.curves:
        run.define_metric(f"{stage}/step", hidden=True)
        run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")

    def step(stage: str, number: int, values: Mapping[str, float]) -> None:
        tracker.log({f"{stage}/step": number, **_prefixed(stage, values)})

    def facts(values: Mapping[str, Any]) -> None:
        run.summary.update(values)
        if VERDICT in values:
            run.notes = values[VERDICT]  # what the run's own page opens with

    def table(title: str, columns: Sequence[str], rows: Rows) -> None:
        tracker.log_table(title, columns=list(columns), data=[list(row) for row in rows])

    def finish(succeeded: bool) -> None:
        run.finish(exit_code=0 if succeeded else 1)

    def files(folder: Path) -> None:
        import wandb

        run.log({f"figures/{path.stem}": wandb.Image(str(path)) for path in _pictures(folder)})
        report = wandb.Artifact(f"report-{run.id}", type="report")
        for path in sorted(_report_files(folder)):
            report.add_file(str(path), name=str(path.relative_to(folder)))
        run.log_artifact(report)

    return Sink(name, step, facts, table, finish, files)


def _started_wandb(kind: Any, opening: Opening) -> Any:
    """accelerate's tracker with a run that has begun; offline where there is no server."""
    import wandb

    logger, config, folder = opening.logger, opening.config, opening.folder
    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=logger.patience,
        disable_git=True,
        x_disable_meta=True,  # it would hold the command line as it was typed, secrets included
    )
    names = run_names(config, folder, provenance.composition())

    def start(mode: str) -> Any:
        tracker = kind(
            logger.project,
            **names._asdict(),
            dir=str(folder),
            config=dict(config),
            mode=mode,
            reinit="finish_previous",
            settings=settings,
        )
        tracker.start()
        wandb.termsetup(settings, logging.getLogger("wandb"))  # what others make it say, too
        return tracker

    try:
        return start(logger.mode)
    except Exception as error:  # no key or no network; the classes differ between releases
        reason = " ".join(str(error).split())[:200]
        opening.say(f"  note: wandb goes on offline: {reason}")
        return start("offline")


def open_tensorboard(name: str, opening: Opening) -> Sink:
    """TensorBoard: steps are charts, facts and tables are texts, final results go with hparams."""
    tracker = _tracker_class(name)(name, logging_dir=str(opening.folder))
    tracker.start()
    writer = tracker.writer
    choices = _leaves(opening.config)
    writer.add_text("config", _markdown(("key", "value"), list(choices.items())), 0)

    def step(stage: str, number: int, values: Mapping[str, float]) -> None:
        tracker.log(_prefixed(stage, values), step=number)

    def facts(values: Mapping[str, Any]) -> None:
        if VERDICT in values:
            writer.add_text(VERDICT, values[VERDICT], 0)
            results = {f"facts/{key}": value for key, value in values.items() if key != VERDICT}
            _write_hparams(writer, choices, results)
        else:
            stage = next(iter(values)).partition("/")[0]
            writer.add_text(f"facts/{stage}", _markdown(("fact", "value"), list(values.items())), 0)
        writer.flush()

    def table(title: str, columns: Sequence[str], rows: Rows) -> None:
        writer.add_text(title, _markdown(columns, rows), 0)

    def finish(succeeded: bool) -> None:
        tracker.finish()

    def files(folder: Path) -> None:
        import numpy as np
        from PIL import Image

        for path in _pictures(folder):
            pixels = np.asarray(Image.open(path).convert("RGB"))
            writer.add_image(f"figures/{path.stem}", pixels, 0, dataformats="HWC")

    return Sink(name, step, facts, table, finish, files)


def _write_hparams(
    writer: Any, choices: Mapping[str, str], results: Mapping[str, float | None]
) -> None:
    """Choices and final results for TensorBoard's table of runs, in the run's own file."""
    from torch.utils.tensorboard.summary import hparams

    measured = {key: float(value) for key, value in results.items() if value is not None}
    for part in hparams(dict(choices), measured):
        writer.file_writer.add_summary(part)
    for key, value in measured.items():
        writer.add_scalar(key, value, 0)


def open_other(name: str, opening: Opening) -> Sink:
    """Any tracker of accelerate: steps are numbered by stage, tables are Markdown texts."""
    kind = _tracker_class(name)
    folder = str(opening.folder)
    tracker = kind(name, logging_dir=folder) if kind.requires_logging_directory else None
    if tracker is None:
        tracker = kind(opening.logger.project)
    tracker.start()
    tracker.log({"config": _markdown(("key", "value"), list(_leaves(opening.config).items()))}, 0)

    def step(stage: str, number: int, values: Mapping[str, float]) -> None:
        tracker.log(_prefixed(stage, values), step=number)

    def facts(values: Mapping[str, Any]) -> None:
        tracker.log(_prefixed("facts", values), step=0)

    def table(title: str, columns: Sequence[str], rows: Rows) -> None:
        tracker.log({title: _markdown(columns, rows)}, step=0)

    def finish(succeeded: bool) -> None:
        tracker.finish()

    return Sink(name, step, facts, table, finish)


def _pictures(folder: Path) -> list[Path]:
    return [path for path in sorted((folder / "plots").glob("*.png")) if path.stat().st_size]


def _report_files(folder: Path) -> list[Path]:
    """The page, figures and tables of a run."""
    named = [folder / name for name in ("report.html", "metrics.json", "rankings.parquet")]
    inside = [*(folder / "plots").glob("*"), *(folder / "tables").glob("*")]
    return [path for path in (*named, *inside) if path.is_file()]


def _leaves(value: Any, key: str = "") -> dict[str, str]:
    """The values of a nested mapping as text, by dotted key."""
    if not isinstance(value, Mapping):
        return {key: str(value)}
    leaves: dict[str, str] = {}
    for name, part in value.items():
        leaves |= _leaves(part, f"{key}.{name}" if key else str(name))
    return leaves


def _prefixed(stage: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{stage}/{name}": value for name, value in values.items()}


def _markdown(columns: Sequence[str], rows: Rows) -> str:
    """A table in Markdown, whose cells hold no line break and no bar."""
    lines = []
    for row in [columns, ["---"] * len(columns), *rows]:
        cells = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


OPENERS: dict[str, Callable[[str, Opening], Sink]] = {
    "wandb": open_wandb,
    "tensorboard": open_tensorboard,
}
