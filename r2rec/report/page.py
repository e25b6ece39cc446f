"""The pages of runs and sweeps: self-contained HTML for phones, screens, dark themes and paper.

Titles, profiles and model texts are untrusted. The templates escape all of them. A page carries no
script, and its Content-Security-Policy forbids scripts and any request to a network.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from r2rec.base.errors import R2RecError
from r2rec.evaluate.names import metric_title
from r2rec.prompts.cases import LABELS
from r2rec.report.cases import Browser
from r2rec.report.drawn import agreement, lines, stars
from r2rec.report.findings import Findings, Standing
from r2rec.report.judgements import judged_cells
from r2rec.report.naming import SIZES, variant_text
from r2rec.report.numbers import interval, p_is, signed, valid_interval
from r2rec.report.pairs import PairCells, difference_cells, long_names, told_pairs
from r2rec.report.ran import Cost
from r2rec.report.records import (
    DAGGER,
    FOOTNOTE,
    METRICS,
    THOUGHT_METRICS,
    Record,
    Row,
    arm_of,
    over_seeds,
    published_method,
    shown_metrics,
    trained_elsewhere,
)
from r2rec.report.tables import write_text
from r2rec.report.verdict import run_verdict

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


MAX_WEIGHT = 6_000_000  # bytes of a page; users that do not fit in full have a line each
MOST_PLACES = 8  # methods, the last ones, whose places the list of users has beside each


class OurName(NamedTuple):
    """What we call a published row: its method, and what its variant ends with."""

    method: str
    variant: str


OUR_NAMES = {  # rows of Table 2; other rows have their method's name
    "stage:no_rl": OurName("R2Rec without RL", ""),
    "stage:no_sft": OurName("R2Rec without SFT", ""),
    "prompt:full": OurName("backbone", ""),
    "prompt:no_reasoning": OurName("backbone", "prompt=no_reasoning"),
    "prompt:no_chain": OurName("backbone", "prompt=no_chain"),
}


class Results(TypedDict):
    """The tables of results of a page, as its template wants them."""

    metrics: dict[str, str]  # name -> title of those that are shown, the main one first
    published_metrics: dict[str, str]
    groups: list[Row]  # by data set and number of users
    verdict: list[str]  # a sentence for each data set
    pairs: list[PairCells]
    thoughts: list[Row]  # of the arms that write
    thought_metrics: dict[str, str]
    differences: list[Row]
    footnote: str  # to rows with a dagger; "" where there are none


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
    findings: Findings | None = None,
    banners: Sequence[str] = (),
    cost: Cost | None = None,
) -> None:
    """Write a run's page to `path`, replaced as a whole.

    Args:
        records: Those of metrics.json.
        published: Of `records.published_rows`; they stand beside the data set they belong to.
        figures: Caption -> SVG made by `plots`, the only markup that is not escaped.
        facts: Shown in the order given, like figures and notes.
        findings: None: nothing is compared.
        banners: Warnings that stand above everything.
        cost: What the run took; None: not told.

    Raises:
        R2RecError: A figure is not an SVG.
    """
    values: dict[str, Any] = dict(results(records, published, findings))
    values |= {"title": title, "facts": facts, "notes": notes, "banners": banners, "cost": cost}
    told: dict[int, Markup] = {}
    weight = render_page(path, "run", figures=figures, browser=browser, told=told, **values)
    if browser:
        told = _told_in_full(browser, MAX_WEIGHT - weight)
        render_page(path, "run", figures=figures, browser=browser, told=told, **values)


def _told_in_full(browser: Browser, room: int) -> "dict[int, Markup]":
    """Index of a case -> all that is known of it, of as many as fit into `room` bytes."""
    from markupsafe import Markup

    template = _templates().get_template("case.html.j2")
    told: dict[int, Markup] = {}
    for index in browser.by_rarity():
        text = template.render(
            case=browser.cases[index],
            id=index + 1,
            is_open=index == browser.first,
            labels=LABELS,
            methods=browser.methods,
        )
        room -= len(text.encode("utf-8", errors="replace"))
        if room < 0 and told:
            break
        told[index] = Markup(text)
    return told


def render_page(path: Path, name: str, *, figures: Mapping[str, str], **values: object) -> int:
    """Write the page of template `name`, which extends page.html.j2; how many bytes it has.

    Raises:
        R2RecError: A figure is not an SVG.
    """
    from markupsafe import Markup

    markup = {}
    for caption, svg in figures.items():
        if not svg.startswith("<svg"):
            raise R2RecError(
                f"report {path}: figure {caption!r} is not an SVG; draw it with r2rec.report.plots"
            )
        markup[caption] = Markup(svg)
    template = _templates().get_template(f"{name}.html.j2")
    write_text(path, template.render(figures=markup, labels=LABELS, **values))
    return path.stat().st_size


def results(
    records: Sequence[Record], published: Sequence[Record], findings: Findings | None = None
) -> Results:
    """Rows of our tables by data set and number of users, with the published rows beside them.

    Published rows stand beside the first group of their data set, with our difference to them.
    """
    metrics = shown_metrics(records)
    standings = _standings(findings)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in over_seeds(records):
        groups.setdefault((row["dataset"], row["users"]), []).append(row)
    references: dict[str, list[Record]] = {}
    for reference in published:
        references.setdefault(reference["test_dataset"], []).append(reference)

    shown = []
    footnote = ""
    for (dataset, users), group in groups.items():
        beside = references.pop(dataset, [])
        if any(published_method(row).endswith(DAGGER) for row in beside):
            footnote = FOOTNOTE
        shown.append(
            {
                "dataset": dataset,
                "users": users,
                "rows": [_result_cells(row, metrics, standings) for row in group],
                "chance": _chance_cells(findings, dataset),
                "reference": [_published_cells(row, group) for row in beside],
            }
        )
    return {
        "metrics": {name: metric_title(name) for name in metrics},
        "published_metrics": METRICS,
        "groups": shown,
        "thoughts": judged_cells(over_seeds(records)),
        "thought_metrics": THOUGHT_METRICS,
        "verdict": run_verdict(findings).splitlines() if findings else [],
        "pairs": told_pairs(findings) if findings else [],
        "differences": _difference_cells(findings) if findings else [],
        "footnote": footnote,
    }


def _difference_cells(findings: Findings) -> list[Row]:
    names = long_names(findings)
    return [difference_cells(row, names) for row in findings.main]


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # chosen by file name it would leave out templates that end in .j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["lines"] = lines
    environment.globals |= {"stars": stars, "agreement": agreement, "most_places": MOST_PLACES}
    return environment


def _standings(findings: Findings | None) -> dict[tuple[str, ...], Standing]:
    """How each arm stands to the best one, by what `arm_of` tells of it."""
    standings = {}
    for contest in findings.contests if findings else ():
        for standing in contest.standings:
            standings[arm_of(standing.row)] = standing
    return standings


def _chance_cells(findings: Findings | None, dataset: str) -> Row | None:
    """The line of a random order of the candidates."""
    for contest in findings.contests if findings else ():
        if contest.dataset == dataset:
            figures = {name: f"{value:.3f}" for name, value in contest.chance.items()}
            return {"candidates": contest.n_candidates, **figures}
    return None


def _result_cells(
    row: Record, metrics: Sequence[str], standings: Mapping[tuple[str, ...], Standing]
) -> Row:
    about = []
    if row["variant"]:
        about.append(variant_text(row["variant"]))
    if trained_elsewhere(row):
        about.append(f"trained on {row['train_dataset']}")
    if row["seeds"] > 1:
        about.append(f"mean of {row['seeds']} seeds")
    standing = standings.get(arm_of(row))
    ends = {name: "{:.3f}–{:.3f}".format(*row["ci95"][name]) for name in metrics}
    return {
        "method": row["method"],
        "about": ", ".join(about),
        "interval": ends,
        "is_best": standing is not None and standing.is_best,
        "behind": _behind(standing),
        "valid": f"{row['valid_ratio']:.1%}",
        "valid_interval": valid_interval(row["valid_ratio"], row["fewest_users"]),
        **_figures(row, metrics),
    }


def _behind(standing: Standing | None) -> Row | None:
    """An arm minus the best one; None where the two were not compared."""
    if standing is None or standing.behind is None:
        return None
    lead = standing.behind
    low, high = lead.ci95
    return {
        "difference": signed(-lead.difference),
        "interval": interval((-high, -low)),
        "p": p_is(lead.p_holm),
        "sure": lead.sure,
    }


def _published_cells(row: Record, group: Sequence[Record]) -> Row:
    """A published row, with the difference of ours where we have the same method."""
    about = [SIZES.get(row["method"], "")]
    if row["train_dataset"] != row["test_dataset"]:
        about.append(f"trained on {row['train_dataset']}")
    above = {}
    ours = _ours(row, group)
    if ours is not None:
        for metric in METRICS:
            above[metric] = f"{ours[metric] - row[metric]:+.3f}".replace("-", "−")
    return {
        "method": published_method(row),
        "about": ", ".join(filter(None, about)),
        "above": above,
        **_figures(row, METRICS),
    }


def _ours(published: Record, group: Sequence[Record]) -> Record | None:
    """The first of our rows with the method and training data of a published row."""
    name = published["method"]
    wanted = OUR_NAMES.get(name, OurName(name, ""))
    for row in group:
        same_data = row["train_dataset"] == published["train_dataset"]
        same_method = _letters(row["method"]) == _letters(wanted.method)
        if same_data and same_method and row["variant"].endswith(wanted.variant):
            return row
    return None


def _figures(row: Record, metrics: Iterable[str]) -> dict[str, str]:
    return {name: f"{row[name]:.3f}" for name in metrics}


def _letters(name: str) -> str:
    """A name without its punctuation: "GPT-4o-mini" and "gpt_4o_mini" are the same method."""
    return re.sub(r"\W|_", "", name.casefold())
