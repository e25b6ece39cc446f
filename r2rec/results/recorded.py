"""A run as its folder records it: the configuration, and the jobs that it finished."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r2rec.base.cleanup import manifest_of_run
from r2rec.base.environment import guard_environment
from r2rec.base.errors import R2RecError, one_line
from r2rec.base.jobs import Finished, Job
from r2rec.base.store import MANIFEST, Artefact
from r2rec.config import Config, register
from r2rec.config.place import CONF
from r2rec.execution.own_folders import make_importable
from r2rec.execution.plan import plan
from r2rec.execution.runner import entry_of
from r2rec.report.folders import StageRecord, stages_of

CONFIG = "config.yaml"
# What a manifest says of each artefact; all else are facts that its stage reported.
RECORD = ("key", "path", "seconds", "peak_memory_mb", "status", "code", "arms")


def config_of(folder: Path) -> Config:
    """The configuration of a run, without its secrets.

    Raises:
        R2RecError: There is none, or it is not one of this version.
    """
    path = folder / CONFIG
    guard_environment()  # the folder may be somebody else's
    try:
        recorded = OmegaConf.load(path)
        cfg = OmegaConf.merge(OmegaConf.structured(Config), _newer_groups(recorded), recorded)
        config: Any = OmegaConf.to_object(cfg)
    except OSError as error:
        raise R2RecError(f"{path} cannot be read: {error.strerror}") from error
    except (OmegaConfBaseException, yaml.YAMLError, ValueError) as error:
        reason = one_line(error)
        raise R2RecError(f"{path} is no configuration of this version: {reason}") from error
    if not isinstance(config, Config):
        raise R2RecError(f"{path} is no configuration of a run")
    manifest = manifest_of_run(folder / MANIFEST) or {}
    make_importable(manifest.get("config_dirs", []))
    return config


def _newer_groups(recorded: Any) -> dict[str, Any]:
    """The default members of groups that the version which made a run did not have."""
    missing = [spec.name for spec in fields(Config) if spec.name not in recorded]
    if not missing:
        return {}
    register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        defaults = compose("config")
    return {name: defaults[name] for name in missing}


def finished_jobs(config: Config, folder: Path) -> list[Finished]:
    """The jobs of a run that its manifest lists as done, in the order of its plan.

    Raises:
        R2RecError: An artefact is not in the store any more.
    """
    stages = stages_of(folder)
    finished = []
    for job in plan(replace(config, until=None)):
        record = _record(stages, job)
        if record is None or job.stage.name == "report":
            continue
        finished.append(Finished(job, _existing(_artefact(job, record), folder)))
    return finished


def ranking_job(config: Config, folder: Path, method: str) -> tuple[Job, dict[str, Path]]:
    """The job by which an arm of a run ranked, and the artefacts that it read, by role.

    Raises:
        R2RecError: The run has no such arm, or an artefact is not in the store any more.
    """
    stages = stages_of(folder)
    jobs = {job.name: job for job in plan(replace(config, until=None))}
    job = jobs.get(f"rank {method}")
    if job is None:
        raise R2RecError(f"{method} is no arm of {folder} that ranks by itself")
    inputs = {}
    for role, name in job.inputs.items():
        record = _record(stages, jobs[name])
        if record is None:
            raise R2RecError(f"{folder} does not tell where the artefact of {name} is")
        inputs[role] = _existing(_artefact(jobs[name], record), folder).path
    return job, inputs


def _existing(artefact: Artefact, folder: Path) -> Artefact:
    """The artefact, which must be in the store."""
    if not artefact.path.is_dir():
        raise R2RecError(
            f"{artefact.path}, of stage {artefact.stage}, is gone: "
            f"`r2rec rerun {folder}` makes it again"
        )
    return artefact


def _record(stages: dict[str, StageRecord], job: Job) -> StageRecord | None:
    """What a manifest says of a job; None where it was not done."""
    record = stages.get(entry_of(job))
    if record is None or job.arm is None:
        return record
    of_arm: StageRecord | None = record.get("arms", {}).get(job.arm.method)
    return of_arm


def _artefact(job: Job, record: StageRecord) -> Artefact:
    return Artefact(
        stage=job.stage.place,
        key=record["key"],
        path=Path(record["path"]),
        seconds=record["seconds"],
        peak_memory_mb=record["peak_memory_mb"],
        made=record["status"] == "made",
        facts={name: value for name, value in record.items() if name not in RECORD},
    )
