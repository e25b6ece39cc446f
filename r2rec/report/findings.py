"""What a run or a sweep found: the best arm of each data set, and how far it is ahead of others."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import polars as pl

from r2rec.evaluate.declared import Declared
from r2rec.evaluate.metrics import by_chance
from r2rec.report.arms import JoinedArm
from r2rec.report.compare import (
    EXPLORATORY,
    SIGNIFICANCE,
    Scores,
    Setting,
    paired_differences,
    pairs_to_compare,
    scores_by_setting,
)
from r2rec.report.records import Record, Row, arm_of, over_seeds, shown_metrics
from r2rec.report.repeats import SIDES, repeats_in, varied_in, varied_text


class Lead(NamedTuple):
    """How far the best arm is ahead of another one, paired by user and seed."""

    difference: float
    ci95: tuple[float, float]
    p_holm: float
    detectable: float | None  # the least difference that would show; None: there is no spread
    kind: str = ""  # "declared" or "exploratory", where comparisons were declared

    @property
    def sure(self) -> bool:
        """Whether it is more than chance: by the test, and by the interval."""
        return self.p_holm < SIGNIFICANCE and self.ci95[0] > 0


class Standing(NamedTuple):
    """An arm, and how it stands to the best one."""

    setting: Setting
    row: Record  # of `over_seeds`
    value: float  # of the main metric
    is_best: bool  # of equal ones the first
    behind: Lead | None  # None: it is the best itself, or it ranked other candidates


class Contest(NamedTuple):
    """The arms of one data set."""

    dataset: str
    standings: Sequence[Standing]  # in the order of the results
    seeds: int  # of the method that has most
    varied: Sequence[str]  # which of data, train and answer differ between these
    n_users: int  # of all seeds together, each once
    chance: Mapping[str, float]  # metric -> what a random order of the candidates has
    n_candidates: int

    @property
    def best(self) -> Standing:
        """The arm with the highest value."""
        return next(standing for standing in self.standings if standing.is_best)

    @property
    def focus(self) -> Standing:
        """What the run is about: its last arm."""
        return self.standings[-1]


class Findings(NamedTuple):
    """What reports tell of differences between arms."""

    metrics: Sequence[str]  # the main one first
    differences: Mapping[str, Sequence[Row]]  # metric -> rows of `paired_differences`
    contests: Sequence[Contest]

    @property
    def main(self) -> Sequence[Row]:
        """The differences in the main metric."""
        return self.differences[self.metrics[0]]

    def varied_texts(self) -> list[str]:
        """What differs between the runs of one method, where there are several; each once."""
        texts = [varied_text(contest.varied, contest.seeds) for contest in self.contests]
        return list(filter(None, dict.fromkeys(texts)))

    def chance(self) -> dict[str, float]:
        """Data set -> what a random order has in the main metric."""
        return {contest.dataset: contest.chance[self.metrics[0]] for contest in self.contests}


def findings(arms: Sequence[JoinedArm], declared: Declared = ()) -> Findings:
    """Compare the arms of a run or a sweep in all metrics that it shows.

    Args:
        declared: Comparisons that were asked for before.

    Raises:
        R2RecError: A job's rankings and its metrics.json disagree.
    """
    records = [arm.record for arm in arms]
    metrics = shown_metrics(records)
    rows: dict[tuple[str, ...], Record] = {}
    for row in over_seeds(records):
        rows.setdefault(arm_of(row), row)
    scores = {metric: scores_by_setting(arms, metric) for metric in metrics}
    differences = {}
    for metric in metrics:
        differences[metric] = paired_differences(scores[metric], metric, declared=declared)
    main = metrics[0]
    contests = []
    for dataset in dict.fromkeys(record["dataset"] for record in records):
        of_dataset = {s: t for s, t in scores[main].items() if s.dataset == dataset}
        contests.append(_contest(dataset, of_dataset, rows, differences[main], metrics))
    return Findings(metrics, differences, contests)


def _contest(
    dataset: str,
    scores: Scores,
    rows: Mapping[tuple[str, ...], Record],
    differences: Sequence[Row],
    metrics: Sequence[str],
) -> Contest:
    values = {}
    for setting, table in scores.items():
        values[setting] = fmean(_by_seed(table))
    best = max(values, key=values.__getitem__)
    standings = []
    for setting, value in values.items():
        row = rows[setting.method, setting.variant, setting.dataset, setting.train_dataset]
        behind = None
        if setting != best:
            behind = _lead(best, setting, scores, differences, metrics[0])
        standings.append(Standing(setting, row, value, setting == best, behind))
    tables = list(scores.values())
    n_candidates = len(tables[0]["shown"][0].split())
    return Contest(
        dataset=dataset,
        standings=standings,
        seeds=max(map(repeats_in, tables)),
        varied=varied_in(pl.concat(table.select(SIDES) for table in tables)),
        n_users=max(table["user"].n_unique() for table in tables),
        chance={metric: by_chance(metric, n_candidates) for metric in metrics},
        n_candidates=n_candidates,
    )


def _by_seed(table: pl.DataFrame) -> list[float]:
    """The mean score of each seed."""
    means = table.group_by(SIDES, maintain_order=True).agg(pl.col("score").mean())
    return means["score"].to_list()


def _lead(
    best: Setting, other: Setting, scores: Scores, differences: Sequence[Row], metric: str
) -> Lead | None:
    """The best arm's lead: as it was compared already, else with Bonferroni's p over all pairs."""
    names = (best.name(), other.name())
    for row in differences:
        if row["dataset"] == best.dataset and (row["method"], row["against"]) == names:
            return _lead_of(row)
        if row["dataset"] == best.dataset and (row["against"], row["method"]) == names:
            return _lead_of(_turned(row))
    compared = paired_differences(scores, metric, [(other, best)])
    if not compared:
        return None
    declared = any(row["kind"] for row in differences)
    n_pairs = max(len(scores) * (len(scores) - 1) // 2, len(pairs_to_compare(scores)))
    lead = _lead_of(compared[0])
    kind = EXPLORATORY if declared else ""
    return lead._replace(p_holm=min(1.0, lead.p_holm * n_pairs), kind=kind)


def _lead_of(row: Row) -> Lead:
    low, high = row["ci95"]
    return Lead(row["difference"], (low, high), row["p_holm"], row["detectable"], row["kind"])


def _turned(row: Row) -> Row:
    low, high = row["ci95"]
    return row | {"difference": -row["difference"], "ci95": (-high, -low)}
