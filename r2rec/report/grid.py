"""The page of a grid: all arms beside the published figures, who differs from whom, and each job's own page."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import quote

from r2rec.report import forest, tables
from r2rec.report.page import render_page, results
from r2rec.report.tables import Record

MOST = 30  # differences in the figure; the table has all
SURE = 0.05  # of a Holm-adjusted p


def write_grid_page(
    folder: Path,
    *,
    records: Sequence[Record],
    differences: Sequence[Record],
    variations: Sequence[Record],
    jobs: Mapping[str, str],
    work: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write report.html at the grid's root, and its figures into plots/, where a reward_curve.svg is shown as well.

    `differences` and `variations` are rows of `join`. `jobs` maps a job's folder name to what sets it apart, perhaps
    nothing; those with a report.html of their own are linked.
    """
    datasets = list(dict.fromkeys(record["dataset"] for record in records))
    render_page(
        folder / "report.html",
        "grid",
        title=title or folder.resolve().parent.name,
        facts={
            "jobs": str(len(jobs)),
            "data sets": ", ".join(datasets),
            "seeds": ", ".join(
                str(seed) for seed in sorted({record["seed"] for record in records})
            ),
        }
        | ({"work": work.removeprefix("work: ")} if work else {}),
        notes=notes,
        figures=_figures(folder, records, differences),
        differences=[_difference(row) for row in differences],
        variations=[_variation(row) for row in variations],
        jobs=[_job(folder, name, label) for name, label in jobs.items()],
        **results(records, [row for dataset in datasets for row in tables.published(dataset)]),
    )


def _figures(
    folder: Path, records: Sequence[Record], differences: Sequence[Record]
) -> dict[str, str]:
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    drawn = {}
    if records:
        drawn["HitRatio@1 with 95% bootstrap intervals over users"] = forest.forest(
            records, folder / "plots"
        )
    if differences:
        ours = [row for row in differences if row["method"].startswith("R2Rec")]
        shown = differences if len(differences) <= MOST else (ours or differences)[:MOST]
        part = (
            ""
            if len(shown) == len(differences)
            else f" ({len(shown)} of {len(differences)}; the table has all)"
        )
        caption = f"Paired differences in HitRatio@1; filled: Holm-adjusted p below {SURE:g}{part}"
        drawn[caption] = forest.differences_figure(shown, SURE, folder / "plots")
    if (curve := folder / "plots" / "reward_curve.svg").exists():
        drawn["GRPO with and without SFT before it, step by step (Figure 5)"] = curve.read_text(
            "utf-8"
        )
    return drawn


def _difference(row: Record) -> dict[str, Any]:
    low, high = row["ci95"]
    return {
        "dataset": row["dataset"],
        "method": row["method"],
        "against": row["against"],
        "difference": _signed(row["difference"]),
        "interval": f"{_signed(low)} to {_signed(high)}",
        "p": _p(row["p"]),
        "p_holm": _p(row["p_holm"]),
        "sure": row["p_holm"] < SURE,
        "effect": _signed(row["effect"], 2),
        "detectable": _number(row["detectable"]),
        "pairs": f"{row['pairs']:,}",
        "seeds": row["seeds"],
    }


def _variation(row: Record) -> dict[str, Any]:
    sds = {name: _number(row[name]) for name in ("sd_users", "sd_seeds")}
    return {name: row[name] for name in ("dataset", "method", "seeds")} | sds


def _job(folder: Path, name: str, label: str) -> dict[str, str]:
    there = (folder / name / "report.html").exists()
    return {"name": name, "label": label, "link": f"{quote(name)}/report.html" if there else ""}


def _number(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:.3f}"


def _signed(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:+.{digits}f}".replace("-", "−")


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else "< 0.0001"
