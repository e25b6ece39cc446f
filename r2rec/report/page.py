"""The pages of runs and grids: self-contained HTML, readable on a phone, on paper, by day and by night.

Titles, profiles and model texts are untrusted. The templates escape all of them; a page carries no script, and its
Content-Security-Policy forbids scripts and any request to a network.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.prompts.cases import LABELS
from r2rec.report.cases import Browser
from r2rec.report.tables import DAGGER, FOOTNOTE, METRICS, Record, over_seeds, write_text

OURS = {
    "stage:no_rl": ("R2Rec without RL", ""),
    "stage:no_sft": ("R2Rec without SFT", ""),
    "prompt:full": ("backbone", ""),
    "prompt:no_reasoning": ("backbone", "prompt=no_reasoning"),
    "prompt:no_chain": ("backbone", "prompt=no_chain"),
}
"""Published rows of Table 2 that have another name here, and what their variant ends with."""


def write_page(
    path: Path,
    *,
    title: str,
    records: Sequence[Record],
    published: Sequence[Record],
    figures: Mapping[str, str],
    browser: Browser | None,
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> None:
    """Write a run's page to `path`, replaced as a whole.

    `records` are those of metrics.json; `published` rows come from `tables.published` and stand beside the
    data set they belong to. `figures` maps captions to SVGs made by `plots`, the only markup taken as it is;
    they, `facts` and `notes` are shown in the order given. Raises R2RecError where a figure is no SVG.
    """
    told = results(records, published)
    render_page(
        path, "run", title=title, figures=figures, browser=browser, facts=facts, notes=notes, **told
    )


def render_page(path: Path, name: str, *, figures: Mapping[str, str], **values: Any) -> None:
    """Write the page of a template, which extends page.html.j2."""
    from markupsafe import Markup

    if any(not svg.startswith("<svg") for svg in figures.values()):
        raise R2RecError(
            f"report {path}: a figure is not an SVG; pass what r2rec.report.plots returns"
        )
    drawn = {caption: Markup(svg) for caption, svg in figures.items()}
    html = (
        _templates().get_template(f"{name}.html.j2").render(figures=drawn, labels=LABELS, **values)
    )
    write_text(path, html)


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # by name it would pass over a template that ends in .j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def results(records: Sequence[Record], published: Sequence[Record]) -> dict[str, Any]:
    """`groups` of table rows by data set and number of users, and the `footnote` that they need.

    Published rows stand beside the first group of their data set, with what ours are above them.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in over_seeds(records):
        groups.setdefault((record["dataset"], record["users"]), []).append(record)
    reference: dict[str, list[Record]] = {}
    for row in published:
        reference.setdefault(row["test_dataset"], []).append(row)
    made: list[dict[str, Any]] = [
        {
            "dataset": dataset,
            "users": users,
            "rows": [_row(record) for record in group],
            "reference": [_reference(row, group) for row in reference.pop(dataset, [])],
        }
        for (dataset, users), group in groups.items()
    ]
    marked = any(row["method"].endswith(DAGGER) for group in made for row in group["reference"])
    return {"groups": made, "footnote": FOOTNOTE if marked else ""}


def _figures(record: Record) -> dict[str, str]:
    return {name: f"{record[name]:.3f}" for name in METRICS}


def _row(record: Record) -> dict[str, Any]:
    source = (
        f"trained on {record['train_dataset']}"
        if record["train_dataset"] != record["dataset"]
        else ""
    )
    seeds = f"mean of {record['seeds']} seeds" if record["seeds"] > 1 else ""
    low, high = record["ci95"]["hr@1"]
    return {
        "method": record["method"],
        "about": ", ".join(filter(None, (record["variant"], source, seeds))),
        "interval": f"{low:.3f}–{high:.3f}",
        "valid": f"{record['valid_ratio']:.1%}",
        **_figures(record),
    }


def _reference(row: Record, group: Sequence[Record]) -> dict[str, Any]:
    """A published row, with what the first of ours by its name and training data is above it."""
    source = (
        f"trained on {row['train_dataset']}" if row["train_dataset"] != row["test_dataset"] else ""
    )
    mark = f" {DAGGER}" if row["arithmetic"] == "infeasible" else ""
    name, told = OURS.get(row["method"], (row["method"], ""))
    of_data = [
        r
        for r in group
        if r["train_dataset"] == row["train_dataset"] and r["variant"].endswith(told)
    ]
    ours = next((r for r in of_data if _plain(r["method"]) == _plain(name)), None)
    above = (
        {metric: f"{ours[metric] - row[metric]:+.3f}".replace("-", "−") for metric in METRICS}
        if ours
        else {}
    )
    return {"method": row["method"] + mark, "about": source, "above": above, **_figures(row)}


def _plain(name: str) -> str:
    """GPT-4o-mini and gpt_4o_mini are one."""
    return re.sub(r"\W|_", "", name.casefold())
