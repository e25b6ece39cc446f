"""Pairs of arms on a page: whom one of them serves better, whom worse, and all differences."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from r2rec.evaluate.names import metric_title
from r2rec.report.compare import SIGNIFICANCE, kind_text
from r2rec.report.findings import Contest, Findings
from r2rec.report.numbers import interval, p_is, p_value, signed, value_text
from r2rec.report.records import Record, Row
from r2rec.report.verdict import names_of

MAX_PAIRS = 24  # with bars; the table has all

Names = Mapping[tuple[str, str], str]
"""(data set, an arm as differences call it) -> its name for readers."""


class SplitBar(NamedTuple):
    """How a pair compares in one metric."""

    title: str  # of the metric
    gained: int  # users, at all seeds, for whom the arm scores more than the other one
    lost: int
    same: int
    difference: str
    interval: str
    p: str  # by Holm: "p 0.012"
    sure: bool


class PairCells(NamedTuple):
    """An arm against another one, in all metrics that are shown."""

    method: str
    against: str
    dataset: str
    bars: Sequence[SplitBar]


def told_pairs(findings: Findings) -> list[PairCells]:
    """Pairs that the verdict is about: with the best arm of a data set, or with its focus."""
    pairs: dict[tuple[str, str, str], list[SplitBar]] = {}
    names = long_names(findings)
    for contest in findings.contests:
        for key in _keys(contest):
            pairs[key] = []
    for metric, rows in findings.differences.items():
        for row in rows:
            key = (row["dataset"], row["method"], row["against"])
            if key in pairs:
                pairs[key].append(_bar(metric, row))
    told = []
    for (dataset, method, against), bars in pairs.items():
        if bars:
            told.append(PairCells(names[dataset, method], names[dataset, against], dataset, bars))
    return told[:MAX_PAIRS]


def long_names(findings: Findings) -> Names:
    """What all arms are called."""
    names = {}
    for contest in findings.contests:
        for setting, name in names_of(contest).items():
            names[contest.dataset, setting.name()] = name
    return names


def difference_cells(row: Record, names: Names) -> Row:
    """A row of `paired_differences` as the page writes it.

    Args:
        names: Of `long_names`; arms that it lacks keep theirs.
    """
    method, against = row["method"], row["against"]
    return {
        "dataset": row["dataset"],
        "method": names.get((row["dataset"], method), method),
        "against": names.get((row["dataset"], against), against),
        "difference": signed(row["difference"]),
        "interval": interval(row["ci95"]),
        "p": p_value(row["p"]),
        "p_holm": p_value(row["p_holm"]),
        "sure": row["p_holm"] < SIGNIFICANCE,
        "effect": signed(row["effect"], 2),
        "detectable": value_text(row["detectable"]),
        "pairs": f"{row['pairs']:,}",
        "seeds": row["seeds"],
        "kind": row.get("kind", ""),
    }


def _keys(contest: Contest) -> list[tuple[str, str, str]]:
    """(data set, later arm, earlier arm) of the pairs of the focus, then of those of the best."""
    order = [standing.setting for standing in contest.standings]
    keys = []
    for of in (contest.focus.setting, contest.best.setting):
        for other in order:
            if other != of:
                earlier, later = sorted((of, other), key=order.index)
                keys.append((contest.dataset, later.name(), earlier.name()))
    return list(dict.fromkeys(keys))


def _bar(metric: str, row: Record) -> SplitBar:
    return SplitBar(
        title=metric_title(metric),
        gained=row["gained"],
        lost=row["lost"],
        same=row["pairs"] - row["gained"] - row["lost"],
        difference=signed(row["difference"]),
        interval=interval(row["ci95"]),
        p=f"{p_is(row['p_holm'])}{kind_text(row)}",
        sure=row["p_holm"] < SIGNIFICANCE,
    )
