"""Result records: one method at one seed, their means over seeds, and the paper's own figures.

A record is an entry of `metrics.json`. The paper's figures (Tables 1-3) are shown beside ours where
the test data are the same. They are a reference and never a target: some of them cannot all be true
at once (see `FOOTNOTE`).
"""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from r2rec.base.errors import read_whole
from r2rec.evaluate import names
from r2rec.evaluate.names import metric_title, with_paper
from r2rec.report.naming import PUBLISHED as PUBLISHED_NAMES
from r2rec.report.repeats import repeat_of

Record = Mapping[str, Any]
Row = dict[str, Any]

METRICS = {name: metric_title(name) for name in names.METRICS}  # those of the paper
ARM_KEYS = ("method", "variant", "dataset", "train_dataset")  # all that names an arm but its seed
THOUGHT_METRICS = {  # of arms that write: what their claims are worth, as a share
    "claims_right": "claims right",
    "claims_unread": "claims that cannot be read",
    "hits_faithful": "hits, all claims right",
    "hits_by_luck": "hits by luck, a claim wrong",
    "misses_by_misreading": "misses by misreading, a claim wrong",
    "misses_by_judgement": "misses by judgement, all claims right",
}
DAGGER = "†"
FOOTNOTE = (
    f"{DAGGER} Impossible for one positive per user, where HR@1 + (HR@3 - HR@1)/2 <= NDCG@3 <= "
    "HR@1 + (HR@3 - HR@1)/log2(3): at least one of the three figures is wrong."
)
PUBLISHED = Path(__file__).parent / "published.csv"


def read_records(path: Path) -> list[Row]:
    """The records of a metrics.json.

    Raises:
        R2RecError: It cannot be read, or holds no such records.
    """
    with read_whole(path, "run that job again"):
        records: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        for record in records:
            _check(record)
    return records


def _check(record: Record) -> None:
    """Raise an error where a record lacks something, or has it in another form."""
    for name in ARM_KEYS:
        if not isinstance(record[name], str):
            raise TypeError(f"{name} is no text")
    numbers = [record["seed"], record["n_users"], record["valid_ratio"]]
    for name in with_paper(record.get("metrics", METRICS)):
        names.metric_of(name)
        low, high = record["ci95"][name]
        numbers += [record[name], low, high]
    numbers += [record[name] for name in THOUGHT_METRICS if record.get(name) is not None]
    if not all(isinstance(number, int | float) and isfinite(number) for number in numbers):
        raise TypeError("a number is missing")
    if not isinstance(record["n_users"], int) or not 0 <= record["valid_ratio"] <= 1:
        raise ValueError("users or valid answers cannot be counted")


def shown_metrics(records: Iterable[Record]) -> list[str]:
    """The metrics that reports of these records show, the main one first.

    Intervals in tables, figures and differences are those of the main one.
    """
    shown: dict[str, None] = {}
    for record in records:
        shown |= dict.fromkeys(record.get("metrics", METRICS))
    return list(shown or METRICS)


def over_seeds(records: Iterable[Record]) -> list[Row]:
    """One row per arm: metrics averaged over its seeds, `seeds` (how many), `users` as text, and
    `fewest_users` of a seed.

    The ends of intervals are averaged too. Seeds share their users, so this is the interval of the
    mean as if seeds were fully correlated: never too narrow for the draw of users. Records that
    repeat a seed are not seeds of one arm, and each stays a row of its own.
    """
    arms: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        arms.setdefault(arm_of(record), []).append(record)
    rows = []
    for group in arms.values():
        repeats = {repeat_of(record) for record in group}
        if len(repeats) == len(group):
            rows.append(_mean(group))
        else:
            for record in group:
                rows.append(_mean([record]))
    return rows


def arm_of(record: Record) -> tuple[str, ...]:
    """The values of `ARM_KEYS`: equal for the seeds of one arm."""
    return tuple(map(record.__getitem__, ARM_KEYS))


def trained_elsewhere(record: Record) -> bool:
    """Whether a record is of a method trained on another data set than it ranks (Table 3)."""
    return bool(record["train_dataset"] != record["dataset"])


def published_rows(dataset: str) -> list[Row]:
    """The paper's figures with `dataset` as test data, each once; none for data it does not use.

    Keys: table, method, train_dataset, test_dataset, hr@1, hr@3, ndcg@3, ndcg@3_min, ndcg@3_max,
    and arithmetic ("infeasible" where NDCG@3 lies outside what the other two allow).
    """
    rows = []
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        for cells in csv.DictReader(file):
            if cells["test_dataset"] == dataset and not _repeats_table1(cells):
                rows.append(_with_numbers(cells))
    return rows


def published_method(row: Record) -> str:
    """The method of a published row, with a dagger where its three figures cannot all be true."""
    method: str = row["method"]
    name = PUBLISHED_NAMES.get(method, method)
    if row["arithmetic"] == "infeasible":
        name += f" {DAGGER}"
    return name


def _repeats_table1(row: Mapping[str, str]) -> bool:
    """The full method has the same figures in all three tables: Table 1 is enough."""
    same_domain = row["table"] == "table3" and row["train_dataset"] == row["test_dataset"]
    return same_domain or row["method"] == "stage:full"


def _with_numbers(cells: Mapping[str, str]) -> Row:
    row: Row = dict(cells)
    for name, cell in cells.items():
        if "@" in name:  # a metric, or a bound of one
            row[name] = float(cell)
    return row


def _mean(group: Sequence[Record]) -> Row:
    row: Row = dict(zip(ARM_KEYS, arm_of(group[0]), strict=True))
    shown = shown_metrics(group)
    if shown != list(METRICS):
        row["metrics"] = shown
    for name in (*with_paper(shown), "valid_ratio"):
        row[name] = fmean(record[name] for record in group)
    row["ci95"] = {}
    for name in with_paper(shown):
        intervals = [record["ci95"][name] for record in group]
        lows, highs = zip(*intervals, strict=True)
        row["ci95"][name] = [fmean(lows), fmean(highs)]
    for name in THOUGHT_METRICS:
        if all(record.get(name) is not None for record in group):
            row[name] = fmean(record[name] for record in group)
    row["seeds"] = len(group)
    row["users"] = _range_of_users(group)
    row["fewest_users"] = min(record["n_users"] for record in group)
    return row


def _range_of_users(group: Sequence[Record]) -> str:
    """ "1,000", or "386 to 1,000": each seed draws its candidates anew, so users may differ."""
    counts = sorted(record["n_users"] for record in group)
    fewest = counts[0]
    most = counts[-1]
    if fewest == most:
        return f"{fewest:,}"
    return f"{fewest:,} to {most:,}"
