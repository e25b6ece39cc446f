"""The report of a run or a sweep, written again from what is in the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r2rec.base.claims import in_use
from r2rec.base.cleanup import shown
from r2rec.base.errors import R2RecError
from r2rec.base.files import write_json
from r2rec.base.store import MANIFEST, Artefact
from r2rec.report.join import join
from r2rec.report.report import write_report
from r2rec.report.tuning import tuning
from r2rec.results.load import METRICS, Run
from r2rec.results.recorded import config_of, finished_jobs

Say = Callable[[str], None]


def report_again(run: Run, say: Say = print) -> None:
    """Write tables, plots, page and metrics.json of a run or a sweep again.

    A run that was stopped is reported as far as it came. Of a sweep, jobs that have ranked but have
    no report get theirs, and all that have one are joined.

    Args:
        say: Called with what a run prints at its end.

    Raises:
        R2RecError: Nothing was ranked yet, an artefact is gone, or the run is going on.
    """
    _must_be_at_rest(run.folder)
    if not run.jobs:
        say(_report(run.folder))
        return
    for job in run.jobs:
        _must_be_at_rest(job.folder)
        if not (job.folder / METRICS).exists():
            say(_report_job(job.folder))
    if join(run.folder):  # it prints its table
        return
    table = tuning(run.folder)
    if table is None:
        raise R2RecError(f"{run.folder} has nothing to report: no job has ranked")
    say(f"\n{table}\n\n{run.folder}")


def _report_job(folder: Path) -> str:
    """Report a job of a sweep that has no results; a line on what came of it."""
    try:
        _report(folder)
    except R2RecError as error:
        return f"job {folder.name} is left out: {error}"
    return f"job {folder.name} was stopped, and is reported as far as it came"


def _report(folder: Path) -> str:
    config = config_of(folder)
    finished = finished_jobs(config, folder)
    if not any(done.job.stage.place == "rank" for done in finished):
        reached = finished[-1].job.name if finished else "nothing"
        raise R2RecError(
            f"{folder} has ranked nothing yet (it came as far as {reached}): "
            f"`r2rec rerun {folder}` goes on from there"
        )
    before = shown(folder)
    written = write_report(config, finished, folder)
    _record(folder, before)
    return written.text


def _record(folder: Path, before: set[str]) -> None:
    """List the report, and the files that it left, in the manifest of a run.

    Args:
        before: Files that were there already.
    """
    path = folder / MANIFEST
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    report = Artefact("report", "", folder, 0.0, 0.0, made=True, facts={})
    manifest["stages"].setdefault("report", report.record())
    manifest["results"] = sorted({*manifest.get("results", []), *(shown(folder) - before)})
    write_json(path, manifest)


def _must_be_at_rest(folder: Path) -> None:
    if in_use(folder):
        raise R2RecError(f"a run is working in {folder}: wait for its end")
