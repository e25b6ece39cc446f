"""The page of a sweep: all arms beside published figures, their differences, links to its jobs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from r2rec.evaluate.names import METRICS, metric_title
from r2rec.report import forest
from r2rec.report.banners import banners
from r2rec.report.compare import SIGNIFICANCE
from r2rec.report.findings import Findings
from r2rec.report.numbers import value_text
from r2rec.report.page import render_page, results
from r2rec.report.pairs import Names, long_names
from r2rec.report.records import Record, Row, published_rows
from r2rec.report.repeats import seeds_text

MAX_DIFFERENCES = 30  # in the figure; the table has all


def write_grid_page(
    folder: Path,
    *,
    records: Sequence[Record],
    findings: Findings | None,
    variations: Sequence[Record],
    jobs: Mapping[str, str],
    work: str = "",
    title: str | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write report.html into a sweep's folder, and its figures into plots/.

    A plots/reward_curve.svg that is there already is shown as well.

    Args:
        findings: None: nothing was ranked.
        variations: Of `compare.variations`.
        jobs: Folder name of a job -> its label. Those with a report.html of their own are linked.
        work: The line of `folders.work_summary`.
        title: Default: the name of the folder above.
    """
    datasets = list(dict.fromkeys(record["dataset"] for record in records))
    facts = {
        "jobs": str(len(jobs)),
        "data sets": ", ".join(datasets),
        "seeds": seeds_text(records),
    }
    if findings and findings.varied_texts():
        facts["what differs"] = "; ".join(findings.varied_texts())
    if work:
        facts["work"] = work.removeprefix("work: ")
    published = []
    for dataset in datasets:
        published += published_rows(dataset)
    job_links = []
    for name, label in jobs.items():
        job_links.append(_job(folder, name, label))
    names = long_names(findings) if findings else {}
    render_page(
        folder / "report.html",
        "grid",
        title=title or folder.resolve().parent.name,
        facts=facts,
        notes=notes,
        banners=banners(records, {}),
        cost=None,
        figures=_figures(folder, records, findings, names),
        variations=[_variation(row, names) for row in variations],
        jobs=job_links,
        **results(records, published, findings),
    )


def _figures(
    folder: Path, records: Sequence[Record], findings: Findings | None, names: Names
) -> dict[str, str]:
    differences = findings.main if findings else []
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    figures = {}
    if records:
        figures[forest.forest_caption(records)] = forest.forest(
            records, plots, findings.chance() if findings else None
        )
    if differences:
        metric = metric_title(differences[0].get("metric", METRICS[0]))
        caption = f"Paired differences in {metric}; filled: Holm-adjusted p below {SIGNIFICANCE:g}"
        shown = _most_relevant(differences)
        if len(shown) < len(differences):
            caption += f" ({len(shown)} of {len(differences)}; the table has all)"
        figures[caption] = forest.differences_figure(shown, SIGNIFICANCE, plots, names)
    reward_curve = plots / "reward_curve.svg"
    if reward_curve.exists():
        caption = "GRPO with and without SFT before it, step by step (Figure 5)"
        figures[caption] = reward_curve.read_text("utf-8")
    return figures


def _most_relevant(differences: Sequence[Record]) -> Sequence[Record]:
    """All differences where they fit into the figure, else the first of R2Rec, else the first."""
    if len(differences) <= MAX_DIFFERENCES:
        return differences
    ours = [row for row in differences if row["method"].startswith("R2Rec")]
    if ours:
        return ours[:MAX_DIFFERENCES]
    return differences[:MAX_DIFFERENCES]


def _variation(row: Record, names: Names) -> Row:
    return {
        "dataset": row["dataset"],
        "method": names.get((row["dataset"], row["method"]), row["method"]),
        "seeds": row["seeds"],
        "sd_users": value_text(row["sd_users"]),
        "sd_seeds": value_text(row["sd_seeds"]),
    }


def _job(folder: Path, name: str, label: str) -> dict[str, str]:
    link = ""
    if (folder / name / "report.html").exists():
        link = f"{quote(name)}/report.html"
    return {"name": name, "label": label, "link": link}
