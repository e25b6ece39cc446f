"""What a tuning sweep found: its jobs, best validation first, beside the choices in which they differ."""

import csv
import json
from io import StringIO
from pathlib import Path

import yaml

from r2rec.report.labels import flat
from r2rec.report.tables import aligned, write_text

FACTS = ("validation_ndcg", "validation_hr@1", "best_epoch", "seconds_per_epoch")


def tuning(folder: Path) -> str | None:
    """Write tables/tuning.csv of the jobs in `folder` that fitted a baseline; return the table. None: no job did."""
    jobs = []
    for path in sorted(
        folder.glob("*/manifest.json"), key=lambda path: (len(path.parent.name), path.parent.name)
    ):
        if fitted := json.loads(path.read_text())["stages"].get("fit"):
            config = yaml.safe_load((path.parent / "config.yaml").read_text())
            choices = {
                k: v
                for group in ("dataset", "baseline", "seed")
                for k, v in flat(config[group], group).items()
            }
            jobs.append((path.parent.name, choices, [fitted[name] for name in FACTS]))
    if not jobs:
        return None
    jobs.sort(key=lambda job: -job[2][0])
    varied = [
        key for key in jobs[0][1] if len({str(choices.get(key)) for _, choices, _ in jobs}) > 1
    ]
    head = ["job", *varied, *FACTS]
    rows = [
        [name, *(str(choices.get(key)) for key in varied), *map(_short, facts)]
        for name, choices, facts in jobs
    ]
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *rows])
    write_text(folder / "tables" / "tuning.csv", text.getvalue())
    return aligned([head, *rows], texts=1)


def sought(job: Path) -> float | None:
    """Validation NDCG of the baseline that a finished job fitted; None: it fitted none."""
    manifest = job / "manifest.json"
    fitted = json.loads(manifest.read_text())["stages"].get("fit") if manifest.exists() else None
    return fitted["validation_ndcg"] if fitted else None


def _short(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4f}"
