"""The result of a tuning sweep: its jobs, best validation first, beside the choices that differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from r2rec.base.store import MANIFEST
from r2rec.report.fitting import aligned
from r2rec.report.folders import files_of_jobs, stages_of
from r2rec.report.labels import flat
from r2rec.report.tables import csv_text, write_text

FACTS = ("validation_ndcg", "validation_hr@1", "best_epoch", "seconds_per_epoch")
TUNED = ("dataset", "baseline", "seed", "seeds")  # groups that are looked at for differences


class TunedJob(NamedTuple):
    """A job that fitted a baseline."""

    name: str
    choices: dict[str, Any]  # by dotted key
    facts: list[float]  # values of FACTS


def tuning(folder: Path) -> str | None:
    """Write tables/tuning.csv of a sweep's jobs that fitted a baseline, and return it as text.

    Returns:
        None where no job fitted one.
    """
    jobs = _tuned_jobs(folder)
    if not jobs:
        return None
    jobs.sort(key=lambda job: -job.facts[0])
    varied = _varied_choices(jobs)
    rows = [["job", *varied, *FACTS]]
    for job in jobs:
        row = [job.name]
        for key in varied:
            row.append(str(job.choices.get(key)))
        for fact in job.facts:
            row.append(_short(fact))
        rows.append(row)
    write_text(folder / "tables" / "tuning.csv", csv_text(rows))
    return aligned(rows, texts=1)


def sought(job: Path) -> float | None:
    """Validation NDCG of the baseline that a finished job fitted; None where it fitted none."""
    fit = stages_of(job).get("fit")
    if fit is None:
        return None
    ndcg: float = fit["validation_ndcg"]
    return ndcg


def _tuned_jobs(folder: Path) -> list[TunedJob]:
    jobs = []
    for manifest in files_of_jobs(folder, MANIFEST):
        job = manifest.parent
        fit = stages_of(job).get("fit")
        if fit is None:
            continue
        config = yaml.safe_load((job / "config.yaml").read_text())
        choices: dict[str, Any] = {}
        for group in TUNED:
            if group in config:  # earlier versions had no seeds
                choices |= flat(config[group], group)
        jobs.append(TunedJob(job.name, choices, [fit[name] for name in FACTS]))
    return jobs


def _varied_choices(jobs: Sequence[TunedJob]) -> list[str]:
    """The keys whose values differ between jobs."""
    varied = []
    for key in jobs[0].choices:
        values = {str(job.choices.get(key)) for job in jobs}
        if len(values) > 1:
            varied.append(key)
    return varied


def _short(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}"
