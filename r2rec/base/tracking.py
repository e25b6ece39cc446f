"""Dashboards: what a run leaves in files also goes to wandb or TensorBoard, step by step as it comes.

A tracker never decides over a run: one that cannot reach its server goes on offline, and one that fails is left out
with a note. Stages that were reused send their stored log, so that a dashboard is whole either way.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError

Say = Callable[[str], None]
TOLD = 20  # thoughts that a dashboard shows, of each method
RANKED = 1_000  # users whose ranking it shows, of each method
STEPPED = ("sft", "rl", "fit", "adapt", "backbone")


class Sink(NamedTuple):
    """One tracker at work."""

    name: str
    step: Callable[[str, int, Mapping[str, float]], None]  # (stage, step, values)
    facts: Callable[[Mapping[str, Any]], None]  # what a stage came to, by "stage/fact"
    table: Callable[[str, Sequence[str], Sequence[Sequence[Any]]], None]  # (title, columns, rows)
    finish: Callable[[bool], None]  # (all went well)


_open: list[Sink] = []
_say: list[Say] = []


@contextmanager
def trackers_open(
    cfg: DictConfig, plain: Mapping[str, Any], folder: Path, say: Say
) -> Iterator[None]:
    """Open the trackers of `logger.report_to`, and finish them whatever happens.

    Args:
        plain: The resolved configuration, without secrets.

    Raises:
        R2RecError: A tracker's package is not installed.
    """
    _say[:] = [say]
    done = False
    try:
        for name in cfg.logger.report_to:
            _open.append(SINKS[name](cfg.logger, plain, folder, say))
        yield
        done = True
    finally:
        _each(lambda sink: sink.finish(done))
        _open.clear()


def log_step(stage: str, number: int, values: Mapping[str, Any]) -> None:
    """What one step of a stage's training says of itself; what is no finite number is left out."""
    told = {
        k: float(v) for k, v in values.items() if isinstance(v, (int, float)) and math.isfinite(v)
    }
    told.pop("step", None)
    _each(lambda sink: sink.step(stage, number, told))


def log_stage(name: str, facts: Mapping[str, Any], path: Path, made: bool) -> None:
    """What a finished stage came to; one that was reused tells its steps as well."""
    if not _open:
        return
    if not made and name in STEPPED and (path / "log.parquet").exists():
        import polars as pl

        log = pl.read_parquet(path / "log.parquet")
        for row in log.iter_rows(named=True):
            log_step(name, int(row.get("step", row.get("epoch", 0))), row)
    known = {f"{name}/{k}": v for k, v in facts.items() if isinstance(v, (int, float, str))}
    _each(lambda sink: sink.facts({**known, f"{name}/artefact": path.name}))


def log_results(records: Sequence[Mapping[str, Any]], rankings: Path) -> None:
    """The table of results, what was ranked, and some of what was written."""
    if not _open:
        return
    import polars as pl

    shown = (
        "method",
        "variant",
        "dataset",
        "seed",
        "n_users",
        "hr@1",
        "hr@3",
        "ndcg@3",
        "valid_ratio",
    )
    rows = [[record[key] for key in shown] for record in records]
    ranked = pl.read_parquet(rankings)
    orders = ranked.group_by("method", maintain_order=True).head(RANKED)
    places = [
        [method, user, positive, order.index(positive) + 1 if positive in order else None, valid]
        for method, user, positive, order, valid in orders.select(
            "method", "user", "positive", "ranking", "valid"
        ).iter_rows()
    ]
    wrote = ranked.filter(pl.col("completion").is_not_null())
    wrote = wrote.group_by("method", maintain_order=True).head(TOLD)
    right = wrote["ranking"].list.first() == wrote["positive"]
    texts = [
        list(row)
        for row in zip(wrote["method"], wrote["user"], wrote["completion"], right, strict=True)
    ]
    final = {
        f"{r['method']}/{key}": r[key]
        for r in records
        for key in ("hr@1", "hr@3", "ndcg@3", "valid_ratio")
    }
    _each(lambda sink: sink.facts(final))
    _each(lambda sink: sink.table("results", shown, rows))
    _each(
        lambda sink: sink.table(
            "rankings", ("method", "user", "positive", "place", "valid"), places
        )
    )
    _each(lambda sink: sink.table("thoughts", ("method", "user", "text", "right"), texts))


def _each(act: Callable[[Sink], None]) -> None:
    for sink in list(_open):
        try:
            act(sink)
        except Exception as error:  # a dashboard is no reason to lose a run
            _open.remove(sink)
            _say[0](
                f"  note: {sink.name} is left out from here on: {' '.join(str(error).split())[:200]}"
            )


def _wandb(logger: DictConfig, plain: Mapping[str, Any], folder: Path, say: Say) -> Sink:
    try:
        import wandb
    except ImportError as error:
        raise R2RecError(
            "logger=wandb: wandb is not installed; pip install 'r2rec[wandb]', or logger=none"
        ) from error

    def begun(mode: Any) -> Any:
        quiet = {
            "silent": True,
            "console": "off",
            "init_timeout": logger.patience,
            "disable_git": True,
        }
        quiet["x_disable_meta"] = (
            True  # it has the command line as it was typed; the run's manifest has more
        )
        return wandb.init(
            project=logger.project, group=f"{plain['name']} {folder.parent.name}", name=folder.name, dir=str(folder),
            config=dict(plain), mode=mode, reinit="finish_previous", settings=wandb.Settings(**quiet),
        )  # fmt: skip

    try:
        run = begun(logger.mode)
    except (
        Exception
    ) as error:  # no key, no network: its own classes for these change between releases
        say(f"  note: wandb goes on offline: {' '.join(str(error).split())[:200]}")
        run = begun("offline")
    for name in STEPPED:
        run.define_metric(f"{name}/step")
        run.define_metric(f"{name}/*", step_metric=f"{name}/step")

    def stepped(name: str, number: int, values: Mapping[str, float]) -> None:
        run.log({f"{name}/step": number, **{f"{name}/{k}": v for k, v in values.items()}})

    def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        run.log({title: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    return Sink(
        "wandb",
        stepped,
        run.summary.update,
        table,
        lambda well: run.finish(exit_code=0 if well else 1),
    )


def _tensorboard(logger: DictConfig, plain: Mapping[str, Any], folder: Path, say: Say) -> Sink:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise R2RecError("logger=tensorboard: pip install tensorboard, or logger=none") from error
    writer = SummaryWriter(str(folder / "tensorboard"))
    writer.add_text("config", f"```\n{OmegaConf.to_yaml(OmegaConf.create(dict(plain)))}\n```")

    def stepped(name: str, number: int, values: Mapping[str, float]) -> None:
        for key, value in values.items():
            writer.add_scalar(f"{name}/{key}", value, number)

    def facts(known: Mapping[str, Any]) -> None:
        for key, value in known.items():
            if isinstance(value, (int, float)):
                writer.add_scalar(f"facts/{key}", value, 0)
            else:
                writer.add_text(f"facts/{key}", str(value))

    def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        cells = [
            [str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines
        ]
        writer.add_text(title, "\n".join(f"| {' | '.join(line)} |" for line in cells))

    return Sink("tensorboard", stepped, facts, table, lambda well: writer.close())


SINKS: Mapping[str, Callable[..., Sink]] = {"wandb": _wandb, "tensorboard": _tensorboard}
