"""The folders of a sweep's jobs: their order, the stages they list, and the work they took."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r2rec.base.errors import read_whole
from r2rec.base.store import MANIFEST

StageRecord = Mapping[str, Any]  # of a manifest: key, path, seconds, facts


def files_of_jobs(folder: Path, name: str) -> list[Path]:
    """The file `name` of every job of a sweep that has it, in the order of jobs: 0, 1, ... 10."""
    files = folder.glob(f"*/{name}")
    return sorted(files, key=lambda file: (len(file.parent.name), file.parent.name))


def stages_of(job: Path) -> dict[str, StageRecord]:
    """The stages that a job's manifest lists, by name; none where there is no manifest.

    The paths of artefacts are those that can be opened from here.
    """
    manifest = job / MANIFEST
    if not manifest.exists():
        return {}
    with read_whole(manifest, "run that job again"):
        stages = json.loads(manifest.read_text(encoding="utf-8"))["stages"]
        for record in stages.values():
            for part in (record, *record.get("arms", {}).values()):
                if "path" in part:
                    part["path"] = str(_located(Path(part["path"]), job))
        found: dict[str, StageRecord] = stages
    return found


def _located(path: Path, job: Path) -> Path:
    """An artefact's folder. A relative path counts from where the run was started: a folder above
    its own, by default.
    """
    if path.is_absolute() or path.exists():
        return path
    for above in job.resolve().parents:
        if (above / path).exists():
            return above / path
    return path


def work_summary(folder: Path) -> str:
    """The work of a sweep, each artefact counted once, beside that of its jobs run alone.

    "" where no job took any time.
    """
    shared: dict[tuple[str, str], float] = {}  # (stage, key) -> seconds
    artefacts_alone = 0
    seconds_alone = 0.0
    for manifest in files_of_jobs(folder, MANIFEST):
        seconds_of = _artefacts(manifest.parent)
        shared |= seconds_of
        artefacts_alone += len(seconds_of)
        seconds_alone += sum(seconds_of.values())
    if not seconds_alone:
        return ""
    seconds = sum(shared.values())
    work = f"work: {len(shared)} artefacts in {seconds:,.0f} s"
    if artefacts_alone == len(shared):
        return work
    return f"{work}; had jobs shared nothing, {artefacts_alone} in {seconds_alone:,.0f} s"


def _artefacts(job: Path) -> dict[tuple[str, str], float]:
    """(stage, key) -> seconds of every artefact that a job used.

    Stages on the data set that was trained on ("train_on/split") count as the same stage: both data
    sets may share a backbone.
    """
    seconds: dict[tuple[str, str], float] = {}
    for name, record in stages_of(job).items():
        stage = name.rsplit("/")[-1]
        for part in record.get("arms", {"": record}).values():
            key = part["key"] or job.name  # a report has no key
            seconds[stage, key] = part["seconds"]
    return seconds
