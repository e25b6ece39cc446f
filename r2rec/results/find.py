"""Runs and sweeps on disk: where they are, and which one a user means."""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from r2rec.base.cleanup import manifest_of_run
from r2rec.base.errors import R2RecError
from r2rec.base.store import MANIFEST

ROOT = Path("outputs")  # where runs go by default
STORE = "artefacts"  # the store's default folder in it, which holds no runs
LAST = "last"
TIME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")  # in the name of a folder
MAX_NAMED = 4  # folders that an error names


def find(run: str | Path, root: Path = ROOT) -> Path:
    """The folder of a run or a sweep.

    Args:
        run: Its folder, or a part of its path that no other run has, or "last"; of a sweep's job,
            also "last/0".
        root: Where runs are looked for.

    Raises:
        R2RecError: No run is meant, or several are.
    """
    folder = Path(run).expanduser()
    if is_run(folder) or jobs_of(folder):
        return folder
    if folder.is_dir():
        raise R2RecError(f"{folder} holds no run: there is no {MANIFEST} of one in it")
    known = folders(root)
    if not known:
        raise R2RecError(f"no run {run}: there is none in {root}; give the folder of a run")
    first, _, job = str(run).partition("/")
    if first == LAST and (not job or is_run(known[-1] / job)):
        return known[-1] / job
    jobs = []
    for sweep in known:
        jobs += jobs_of(sweep)
    matches = _matches(str(run), known) or _matches(str(run), jobs)
    if not matches:
        raise R2RecError(f"no run {run}: `r2rec runs` lists those in {root}")
    if len(matches) > 1:
        named = ", ".join(map(str, matches[-MAX_NAMED:]))
        more = "" if len(matches) <= MAX_NAMED else " and others"
        raise R2RecError(f"{run} may be {len(matches)} runs: {named}{more}; give more of the name")
    return matches[0]


def find_one(run: str | Path, root: Path = ROOT) -> Path:
    """The folder of one run, or of one job of a sweep.

    Raises:
        R2RecError: As `find`; or a sweep is meant.
    """
    folder = find(run, root)
    if not is_run(folder):
        jobs = jobs_of(folder)
        raise R2RecError(
            f"{folder} is a sweep of {len(jobs)} jobs: name one of them, such as {jobs[0]}"
        )
    return folder


def _matches(part: str, known: list[Path]) -> list[Path]:
    """The folders whose path ends with `part`, else those that have it anywhere."""
    words = Path(part).parts
    ending = [folder for folder in known if folder.parts[-len(words) :] == words]
    return ending or [folder for folder in known if part in folder.as_posix()]


def folders(root: Path = ROOT) -> list[Path]:
    """All runs and sweeps in a folder and below it, oldest first; a sweep stands for its jobs."""
    found = {folder.parent if _is_job(manifest) else folder for folder, manifest in _walk(root)}
    return sorted(found, key=lambda folder: (started(folder), str(folder)))


def _walk(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(folder, manifest) of every run below `root`, jobs of sweeps too."""
    for name, inner, files in os.walk(root):
        inner[:] = [part for part in inner if part != STORE and not part.startswith(".")]
        if MANIFEST in files:
            inner.clear()
            manifest = manifest_of_run(Path(name) / MANIFEST)
            if manifest is not None:
                yield Path(name), manifest


def is_run(folder: Path) -> bool:
    """Whether a folder is that of one run, or of one job of a sweep."""
    return manifest_of_run(folder / MANIFEST) is not None


def jobs_of(folder: Path) -> list[Path]:
    """The folders of a sweep's jobs, in their order; none where the folder is no sweep."""
    from r2rec.report.folders import files_of_jobs

    jobs = []
    for path in files_of_jobs(folder, MANIFEST):
        manifest = manifest_of_run(path)
        if manifest is not None and _is_job(manifest):
            jobs.append(path.parent)
    return jobs


def _is_job(manifest: dict[str, Any]) -> bool:
    return bool(manifest.get("sweep"))


def started(folder: Path) -> datetime:
    """When a run began: as its folder's name says, else when its configuration was written."""
    named = TIME.search(folder.name)
    if named:
        return datetime.strptime(named[0], "%Y-%m-%d_%H-%M-%S")
    for path in (folder / "config.yaml", folder / MANIFEST, folder):
        if path.exists():
            return datetime.fromtimestamp(int(path.stat().st_mtime))
    return datetime.fromtimestamp(0)
