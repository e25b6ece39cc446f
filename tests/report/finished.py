"""Jobs that are done, for tests of reports."""

from pathlib import Path
from typing import Any

from r2rec.base.jobs import Finished, Job
from r2rec.base.store import Artefact
from r2rec.config.slices import Arm
from r2rec.pipeline import STAGES

BY_NAME = {stage.name: stage for stage in STAGES}


def finished(
    stage: str,
    path: Path,
    *,
    name: str = "",
    arm: Arm | None = None,
    facts: dict[str, Any] | None = None,
    seconds: float = 1.0,
    peak_memory_mb: float = 0.0,
) -> Finished:
    """The job `name` of a stage, which left its artefact in `path`."""
    job = Job(name or stage, BY_NAME[stage], choices=None, arm=arm)
    artefact = Artefact(
        stage=job.stage.place,
        key="",
        path=path,
        seconds=seconds,
        peak_memory_mb=peak_memory_mb,
        made=True,
        facts=facts or {},
    )
    return Finished(job, artefact)


def ranked(path: Path, method: str, variant: str = "", **arm: Any) -> Finished:
    """The rankings of one arm."""
    name = f"rank {method}"
    return finished("rank", path, name=name, arm=Arm(method, variant, **arm))
