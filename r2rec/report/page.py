"""The report of a run: one self-contained HTML page, readable on a phone, on paper, by day and by night.

Titles, profiles and model texts are untrusted. The template escapes all of them; the page carries no script,
and its Content-Security-Policy forbids scripts and any request to a network.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from r2rec.errors import R2RecError
from r2rec.prompts.cases import LABELS, Chain, Item
from r2rec.report.tables import DAGGER, FOOTNOTE, METRICS, Record, over_seeds, write_text


class Case(TypedDict):
    """One user's way from chain to answer (Figure 4); every text in it is untrusted."""

    user: int | str
    profile: str | None
    history: Sequence[str]  # titles
    chains: Sequence[Chain]
    candidates: Sequence[Item]  # as shown: candidate k carries LABELS[k]
    completion: str  # the model's own text
    thought_steps: Sequence[str]
    ranking: Sequence[str]  # labels, best first; empty where invalid
    positive: str  # the held-out item's label
    correct: bool  # it is ranked first
    valid: bool


def write_page(
    path: Path,
    *,
    title: str,
    records: Sequence[Record],
    published: Sequence[Record],
    figures: Mapping[str, str],
    case: Case | None,
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> None:
    """Write the page to `path`, replaced as a whole.

    `records` are those of metrics.json; `published` rows come from `tables.published` and stand beside the
    data set they belong to. `figures` maps captions to SVGs made by `plots`, the only markup taken as it is;
    they, `facts` and `notes` are shown in the order given. Raises R2RecError where a figure is no SVG.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    if any(not svg.startswith("<svg") for svg in figures.values()):
        raise R2RecError(f"report {path}: a figure is not an SVG; pass what r2rec.report.plots returns")
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # by name it would pass over a template that ends in .j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    groups = _groups(records, published)
    marked = any(row["method"].endswith(DAGGER) for group in groups for row in group["reference"])
    html = environment.get_template("page.html.j2").render(
        title=title,
        facts=facts,
        notes=notes,
        groups=groups,
        footnote=FOOTNOTE if marked else "",
        figures={caption: Markup(svg) for caption, svg in figures.items()},
        case=None if case is None else _case(case),
    )
    write_text(path, html)


def _groups(records: Sequence[Record], published: Sequence[Record]) -> list[dict[str, Any]]:
    """Our rows by data set and number of users; published rows beside the first group of their data set."""
    groups: dict[tuple[str, int], list[dict[str, str]]] = {}
    for record in over_seeds(records):
        groups.setdefault((record["dataset"], record["n_users"]), []).append(_row(record))
    reference: dict[str, list[dict[str, str]]] = {}
    for row in published:
        reference.setdefault(row["test_dataset"], []).append(_reference(row))
    return [
        {"dataset": dataset, "users": f"{users:,}", "rows": rows, "reference": reference.pop(dataset, [])}
        for (dataset, users), rows in groups.items()
    ]


def _figures(record: Record) -> dict[str, str]:
    return {name: f"{record[name]:.3f}" for name in METRICS}


def _row(record: Record) -> dict[str, str]:
    source = f"trained on {record['train_dataset']}" if record["train_dataset"] != record["dataset"] else ""
    seeds = f"mean of {record['seeds']} seeds" if record["seeds"] > 1 else ""
    low, high = record["ci95"]["hr@1"]
    return {
        "method": record["method"],
        "about": ", ".join(filter(None, (record["variant"], source, seeds))),
        "interval": f"{low:.3f}–{high:.3f}",
        "valid": f"{record['valid_ratio']:.1%}",
        **_figures(record),
    }


def _reference(row: Record) -> dict[str, str]:
    source = f"trained on {row['train_dataset']}" if row["train_dataset"] != row["test_dataset"] else ""
    mark = f" {DAGGER}" if row["arithmetic"] == "infeasible" else ""
    return {"method": row["method"] + mark, "about": source, **_figures(row)}


def _case(case: Case) -> dict[str, Any]:
    """What the template shows of a case: loops, a verdict in words, every candidate in the answer's order."""
    loops = [_loop(chain) for chain in case["chains"]]
    return {**case, "loops": loops, "verdict": _verdict(case), "ranking": _ranking(case)}


def _loop(chain: Chain) -> dict[str, Any]:
    closed = "" if chain.rating_u2 is None else f", this user {chain.rating_u2:g}"  # open chains end at item 2
    spoken = (
        f"This user rated {chain.item1.title} {chain.rating_u1:g}, a neighbour {chain.rating_v1:g}; "
        f"the neighbour rated {chain.item2.title} {chain.rating_v2:g}{closed}."
    )
    return {
        "item1": chain.item1,
        "item2": chain.item2,
        "u1": chain.rating_u1,
        "v1": chain.rating_v1,
        "v2": chain.rating_v2,
        "u2": chain.rating_u2,
        "spoken": spoken,
    }


def _verdict(case: Case) -> str:
    if not case["valid"]:
        return "The answer could not be read, so it counts as a miss."
    if case["positive"] not in case["ranking"]:
        return "The answer leaves the held-out item out, so it counts as a miss."
    rank = list(case["ranking"]).index(case["positive"]) + 1
    return f"The held-out item is ranked {rank} of {len(case['candidates'])}."


def _ranking(case: Case) -> list[dict[str, Any]]:
    """Ranked candidates with their place, then those left out, with place 0."""
    items = dict(zip(LABELS, case["candidates"], strict=False))
    places = {label: place for place, label in enumerate(case["ranking"], 1) if label in items}
    places |= dict.fromkeys((label for label in items if label not in places), 0)
    return [
        {"place": place, "label": label, "item": items[label], "truth": label == case["positive"]}
        for label, place in places.items()
    ]
