"""All runs in a folder: what each was, and what came of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from r2rec.base.claims import in_use
from r2rec.base.cleanup import manifest_of_run
from r2rec.base.errors import R2RecError
from r2rec.base.store import MANIFEST
from r2rec.evaluate.names import check_metrics
from r2rec.report.records import over_seeds, read_records, shown_metrics
from r2rec.results.find import ROOT, folders, jobs_of, started
from r2rec.results.load import METRICS, Run

FINISHED = "finished"


@dataclass(frozen=True)
class Listed:
    """A run or a sweep, in a list of them."""

    folder: str
    started: datetime
    state: str  # "finished", "running", "ended after sft"
    jobs: int  # of a sweep; 0: one run
    overrides: list[str]  # what was changed; of a sweep, as typed: "seed=0,1,2"
    datasets: list[str]
    metric: str  # of the results: the one asked for, else the run's main one
    results: dict[str, float]  # by method, averaged over seeds; {} before the end

    def text(self) -> str:
        """All that it says, for a search."""
        words = [self.folder, self.state, *self.overrides, *self.datasets, *self.results]
        return " ".join(words).casefold()

    def plain(self) -> dict[str, Any]:
        """The same as JSON values."""
        return asdict(self) | {"started": self.started.isoformat()}


def run_rows(
    root: Path = ROOT, words: Sequence[str] = (), metric: str | None = None
) -> list[Listed]:
    """The runs and sweeps in a folder, oldest first.

    Args:
        words: Only those that have all of these words in their folder, overrides, data sets,
            methods or state, whatever the case.
        metric: Of the results; None: the main one of each run.

    Raises:
        R2RecError: There is no such metric.
    """
    if metric is not None:
        check_metrics([metric])
    rows = [_listed(folder, metric) for folder in folders(root)]
    return [row for row in rows if all(word.casefold() in row.text() for word in words)]


def _listed(folder: Path, metric: str | None) -> Listed:
    jobs = jobs_of(folder)
    manifests = [manifest_of_run(job / MANIFEST) or {} for job in jobs or [folder]]
    records = _records(folder, metric)
    shown = metric or shown_metrics(records)[0]
    datasets = [record["dataset"] for record in records]
    if not datasets:
        datasets = [_dataset(job) for job in jobs or [folder]]
    words = "command" if jobs else "overrides"
    overrides = [word for word in manifests[0].get(words, []) if not word.startswith("-")]
    return Listed(
        folder=str(folder),
        started=started(folder),
        state=_state(folder, jobs, manifests, bool(records)),
        jobs=len(jobs),
        overrides=overrides,
        datasets=sorted(set(datasets)),
        metric=shown,
        results=_results(records, shown),
    )


def _records(folder: Path, metric: str | None) -> list[dict[str, Any]]:
    """The records of metrics.json, with this metric where one is asked for."""
    try:
        records = read_records(folder / METRICS)
    except R2RecError:  # a list of all runs goes on
        return []
    if metric is None or all(metric in record for record in records):
        return records
    return Run(folder).with_metrics([metric])


def _results(records: Sequence[dict[str, Any]], metric: str) -> dict[str, float]:
    results = {}
    for row in over_seeds(records):
        name = f"{row['method']} {row['variant']}".strip()
        results[name] = row[metric]
    return results


def _dataset(folder: Path) -> str:
    """The data set of a run without results."""
    from r2rec.results.recorded import config_of

    try:
        return config_of(folder).dataset.name
    except R2RecError:
        return "?"


def _state(
    folder: Path, jobs: Sequence[Path], manifests: Sequence[dict[str, Any]], has_results: bool
) -> str:
    if in_use(folder) or any(map(in_use, jobs)):
        return "running"
    if has_results:
        return FINISHED
    if jobs:
        n_done = sum((job / METRICS).exists() for job in jobs)
        return f"{n_done} of {len(jobs)} jobs have results"
    stages = list(manifests[0].get("stages", {}))
    return f"ended after {stages[-1]}" if stages else "ended before its first stage"
