"""Which arms of a sweep differ by more than chance in a metric, paired by user and seeds."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import polars as pl

from r2rec.base.errors import R2RecError, read_whole
from r2rec.evaluate.declared import Declared, is_declared, undone
from r2rec.evaluate.metrics import COLUMNS, metric_values, positive_ranks
from r2rec.evaluate.names import metric_title
from r2rec.evaluate.statistics import holm, paired_comparison, variation
from r2rec.report.arms import JoinedArm
from r2rec.report.records import Record, Row, shown_metrics
from r2rec.report.repeats import independent, paired_rows, repeat_of, repeats_in, varied_in

SIGNIFICANCE = 0.05  # of a Holm-adjusted p
MOST_SHOWN = 10  # significant differences at the end of a run
DECLARED = "declared"  # a kind of comparison: asked for before the run
EXPLORATORY = "exploratory"
ROUNDING = 1e-9  # two computations of one mean may differ by this


class Setting(NamedTuple):
    """An arm under one setting of a sweep, whatever its seed."""

    dataset: str
    train_dataset: str
    method: str
    variant: str
    label: str

    def name(self) -> str:
        """The arm in words: "R2Rec sft+rl trained on toy"."""
        words = [self.method]
        if self.variant:
            words.append(self.variant)
        if self.train_dataset != self.dataset:
            words.append(f"trained on {self.train_dataset}")
        return " ".join(words)


Scores = Mapping[Setting, pl.DataFrame]
"""A row per user and run: user, positive, shown (the candidates as text), score (of the metric),
data, train, answer (seeds; see `repeats.Repeat`)."""

Pair = tuple[Setting, Setting]  # the earlier arm and the later one


def main_metric(arms: Sequence[JoinedArm]) -> str:
    """The metric that arms are compared by, where no other is asked for."""
    return shown_metrics(arm.record for arm in arms)[0]


def scores_by_setting(arms: Sequence[JoinedArm], metric: str) -> Scores:
    """The value of a metric for every arm and user, all seeds together.

    Raises:
        R2RecError: A job's rankings and its metrics.json disagree.
    """
    tables: dict[Setting, list[pl.DataFrame]] = {}
    for arm in arms:
        tables.setdefault(setting_of(arm), []).append(_scores(arm, metric))
    return {setting: pl.concat(parts) for setting, parts in tables.items()}


def setting_of(arm: JoinedArm) -> Setting:
    """An arm without its seed."""
    return Setting(
        dataset=arm.record["dataset"],
        train_dataset=arm.record["train_dataset"],
        method=arm.record["method"],
        variant=arm.record["variant"],
        label=arm.label,
    )


def pairs_to_compare(scores: Scores) -> list[Pair]:
    """The pairs of arms, the earlier one first, that a sweep compares.

    Two arms are compared if they have the same setting, or if they are one method and the earlier
    one has the setting of the first job.
    """
    pairs = []
    for earlier, later in combinations(scores, 2):
        same_setting = earlier.label == later.label
        first_setting = earlier.method == later.method and not earlier.label
        if earlier.dataset == later.dataset and (same_setting or first_setting):
            pairs.append((earlier, later))
    return pairs


def paired_differences(
    scores: Scores,
    metric: str,
    pairs: Sequence[Pair] | None = None,
    declared: Declared = (),
) -> list[Row]:
    """Each arm's score minus that of each earlier one, paired over the users of the seeds of both.

    Args:
        metric: What the scores are values of.
        pairs: Those that are compared; None: `pairs_to_compare`. Two arms that ranked other
            candidates are left out.
        declared: Those that were asked for before the run; they are compared too.

    Returns:
        Keys: dataset, metric, method, against, methods (both, without a variant), seeds (how many),
        varied (which of data, train and answer differ between these), pairs, gained and lost (pairs
        in which the arm scores more, or less), those of `statistics.Comparison`, kind (DECLARED,
        EXPLORATORY, or "" where nothing was declared), and p_holm: Holm's p in the family of all
        declared comparisons, and for others, of all on one data set.
    """
    rows = []
    wanted = pairs_to_compare(scores) if pairs is None else pairs
    for earlier, later in dict.fromkeys([*wanted, *_declared_pairs(scores, declared)]):
        paired = paired_rows(scores[later], scores[earlier])
        if paired.is_empty():
            continue  # they ranked other candidates
        comparison = paired_comparison(
            paired["score"], paired["score_before"], paired["user"], independent(paired)
        )
        row: Row = {
            "dataset": later.dataset,
            "metric": metric,
            "method": later.name(),
            "against": earlier.name(),
            "seeds": repeats_in(paired),
            "varied": varied_in(paired),
            "pairs": paired.height,
            "gained": paired.filter(pl.col("score") > pl.col("score_before")).height,
            "lost": paired.filter(pl.col("score") < pl.col("score_before")).height,
            "methods": (later.method, earlier.method),
            "kind": _kind((later.method, earlier.method), declared),
        }
        rows.append(row | dict(comparison))
    _add_holm(rows)
    return rows


def _declared_pairs(scores: Scores, declared: Declared) -> list[Pair]:
    """The pairs of arms, the earlier one first, that were declared."""
    found = []
    for earlier, later in combinations(scores, 2):
        asked = is_declared((earlier.method, later.method), declared)
        if asked and earlier.dataset == later.dataset:
            found.append((earlier, later))
    return found


def _kind(methods: tuple[str, str], declared: Declared) -> str:
    if not declared:
        return ""
    return DECLARED if is_declared(methods, declared) else EXPLORATORY


def variations(scores: Scores) -> list[Row]:
    """How far one seed's score lies from the mean: by the users drawn, and by the seed itself.

    Returns:
        A row per arm: dataset, method, seeds (how many), sd_users, sd_seeds (standard deviations).
    """
    rows = []
    for setting, table in scores.items():
        sd_users, sd_seeds = variation(table["score"], table["user"], independent(table))
        rows.append(
            {
                "dataset": setting.dataset,
                "method": setting.name(),
                "seeds": repeats_in(table),
                "sd_users": sd_users,
                "sd_seeds": sd_seeds,
            }
        )
    return rows


def difference_line(row: Record) -> str:
    """A row of `paired_differences` as one line of text."""
    low, high = row["ci95"]
    metric = metric_title(row["metric"])
    spread = "no spread"
    if row["effect"] is not None:
        spread = f"d {row['effect']:+.2f}, {row['detectable']:.3f} detectable"
    return (
        f"{row['dataset']}: {row['method']} - {row['against']}: {metric} {row['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], p {row['p']:.4f} (Holm {row['p_holm']:.4f}), {spread}, "
        f"{row['pairs']} pairs of {row['seeds']} seeds{kind_text(row)}"
    )


def kind_text(row: Record) -> str:
    """ ", declared" or ", exploratory" behind a difference; "" where nothing was declared."""
    return f", {row['kind']}" if row.get("kind") else ""


def significant_text(rows: Sequence[Record], declared: Declared = ()) -> str:
    """Which differences are more than chance, for the end of a run; "" where nothing is compared.

    Args:
        rows: As `paired_differences` returns them.
        declared: Comparisons that were asked for before.
    """
    if not rows:
        return ""
    asked = [row for row in rows if row.get("kind") == DECLARED]
    others = [row for row in rows if row.get("kind") != DECLARED]
    missing = undone(declared, [row["methods"] for row in asked])
    lines = [*_declared_lines(asked), *_significant_lines(others)]
    if missing:
        lines.append(f"declared, but not among these results: {', '.join(missing)}")
    return "\n".join(lines)


def _declared_lines(rows: Sequence[Record]) -> list[str]:
    """All declared differences, with what each could have found."""
    if not rows:
        return []
    title = metric_title(rows[0]["metric"])
    lines = [f"{title}: declared before the run (Holm's p over these {len(rows)})"]
    for row in rows:
        found = f"p {row['p_holm']:.4f}"
        if row["p_holm"] >= SIGNIFICANCE:
            found += ", not significant"
        if row["detectable"] is not None:
            found += f"; {row['detectable']:.3f} would be found in 4 of 5 trials"
        lines.append(f"  {_interval_text(row)}, {found}")
    return lines


def _significant_lines(rows: Sequence[Record]) -> list[str]:
    """The differences that are more than chance."""
    if not rows:
        return []
    title = metric_title(rows[0]["metric"])
    kind = f"{rows[0]['kind']} " if rows[0].get("kind") else ""
    sure = [row for row in rows if row["p_holm"] < SIGNIFICANCE]
    if not sure:
        which = f"the {kind}difference is not"
        if len(rows) > 1:
            which = f"none of {len(rows)} {kind}differences is"
        return [f"{title}: {which} significant (Holm's p below {SIGNIFICANCE:g})"]
    which = f"significant {kind}differences (Holm's p below {SIGNIFICANCE:g}), of {len(rows)}"
    lines = [f"{title}: {which}"]
    lines += [f"  {_interval_text(row)}" for row in sure[:MOST_SHOWN]]
    if len(sure) > MOST_SHOWN:
        lines.append(f"  and {len(sure) - MOST_SHOWN} more: r2rec compare")
    return lines


def _interval_text(row: Record) -> str:
    low, high = row["ci95"]
    difference = f"{metric_title(row['metric'])} {row['difference']:+.3f}"
    return f"{row['method']} - {row['against']}: {difference} [{low:+.3f}, {high:+.3f}]"


def _add_holm(rows: Sequence[Row]) -> None:
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["dataset"], []).append(row)
    asked = [row for row in rows if row.get("kind") == DECLARED]
    for family in [*families.values(), asked]:  # last: theirs is the family of declared ones
        adjusted = holm([row["p"] for row in family])
        for row, p in zip(family, adjusted, strict=True):
            row["p_holm"] = p


def _scores(arm: JoinedArm, metric: str) -> pl.DataFrame:
    """The scores of one arm at one seed, from a rankings table that may hold other arms too."""
    method = arm.record["method"]
    with read_whole(arm.rankings, "run that job again"):
        table = pl.read_parquet(arm.rankings, columns=list(COLUMNS))
        table = table.filter(pl.col("method") == method)
        values = pl.Series(metric_values(metric, positive_ranks(table)))
    mean = float(values.sum()) / max(1, len(values))
    if metric in arm.record and abs(mean - arm.record[metric]) > ROUNDING:
        raise R2RecError(
            f"{arm.rankings} and the metrics.json beside it disagree on {method}: "
            "run that job again"
        )
    return table.select(
        "user",
        "positive",
        shown=pl.col("candidates").list.sort().cast(pl.List(pl.String)).list.join(" "),
        score=values,
        **{side: pl.lit(seed, pl.Int64) for side, seed in repeat_of(arm.record)._asdict().items()},
    )
