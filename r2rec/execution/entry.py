"""Running one composed configuration, from checks to results."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from r2rec.base import cores
from r2rec.base.blame import failure
from r2rec.base.claims import claimed
from r2rec.base.errors import R2RecError
from r2rec.base.jobs import Job
from r2rec.base.provenance import public_config
from r2rec.base.store import disk_error
from r2rec.base.tracking import trackers_open
from r2rec.config import Config
from r2rec.execution.leaf_rules import leaves
from r2rec.execution.machine_rules import machine_rules
from r2rec.execution.plan import plan
from r2rec.execution.preview import preview
from r2rec.execution.rules import checked_config
from r2rec.execution.runner import NO_TORCH, CurrentRun
from r2rec.pipeline import STAGES
from r2rec.train.push import push

CURVES = tuple(row.name for row in STAGES if row.curve)

Say = Callable[[str], None]


def run_config(cfg: DictConfig, folder: Path, say: Say = print) -> list[dict[str, Any]]:
    """Run every stage up to `cfg.until`; return the rows of metrics.json.

    Args:
        folder: The run's folder, which no other run may be using.
        say: Called with each line for the console.

    Raises:
        R2RecError: The configuration, the data or the disk does not allow it.
    """
    cores.wait_asleep()
    config = checked_config(cfg)
    jobs = plan(config)
    if config.dry:
        say(preview(config, jobs))
        return []
    _check_device(config, jobs)
    for problem in machine_rules(config, jobs):
        raise R2RecError(problem)
    try:
        with claimed(folder, "hydra.run.dir"):
            return _run_jobs(config, jobs, folder, say)
    except R2RecError:
        raise
    except Exception as error:
        own = failure(error, own_targets(config))
        if own is not None:
            raise R2RecError(f"your own code {own}; correct it, and the run goes on") from error
        reason = disk_error(error)
        if reason is None or isinstance(error, ConnectionError):
            raise
        where = getattr(error, "filename", None) or folder
        raise R2RecError(
            f"cannot write {where}: {reason}; free some space or set hydra.run.dir=FOLDER"
        ) from error


def own_targets(config: Config) -> list[str]:
    """Dotted paths of all functions that a configuration names."""
    return sorted({leaf.target for leaf in leaves(config)})


def _run_jobs(config: Config, jobs: Sequence[Job], folder: Path, say: Say) -> list[dict[str, Any]]:
    this = CurrentRun(config, folder, say)
    with trackers_open(config.logger, public_config(config), folder, CURVES, say):
        records = this.walk(jobs)
        if config.push_to_hub:
            _push(this, config.push_to_hub, say)
        return records


def _check_device(config: Config, jobs: Sequence[Job]) -> None:
    """Refuse a device that this machine lacks before cheap stages run for nothing."""
    named = config.hardware.device not in ("auto", "cpu")
    if named and any(job.stage.name not in NO_TORCH for job in jobs):
        from r2rec.llm.runtime import device

        device(config.hardware)


def _push(this: CurrentRun, repository: str, say: Say) -> None:
    """Push the last adapter that the run has trained or reused to the Hub."""
    trained = [done for done in this.finished.values() if done.job.stage.trains]
    last = trained[-1]
    address = push(last.artefact.path, repository)
    say(f"pushed {last.job.stage.place} to {address}")
