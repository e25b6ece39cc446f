"""Which arms of a sweep differ by more than chance: HR@1, paired by user and seed."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.evaluate.statistics import holm, paired_comparison, variation
from r2rec.report.arms import JoinedArm
from r2rec.report.records import Record, Row

PAIRED_BY = ("seed", "user", "positive", "shown")
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


Hits = Mapping[Setting, pl.DataFrame]
"""A row per user and seed: user, positive, shown (the candidates as text), hit (0 or 1), seed."""

Pair = tuple[Setting, Setting]  # the earlier arm and the later one


def hits_by_setting(arms: Sequence[JoinedArm]) -> Hits:
    """The hits of every arm, all seeds together.

    Raises:
        R2RecError: A job's rankings and its metrics.json disagree.
    """
    tables: dict[Setting, list[pl.DataFrame]] = {}
    for arm in arms:
        tables.setdefault(setting_of(arm), []).append(_hits(arm.record, arm.rankings))
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


def pairs_to_compare(hits: Hits) -> list[Pair]:
    """The pairs of arms, the earlier one first, that a sweep compares.

    Two arms are compared if they have the same setting, or if they are one method and the earlier
    one has the setting of the first job.
    """
    pairs = []
    for earlier, later in combinations(hits, 2):
        same_setting = earlier.label == later.label
        first_setting = earlier.method == later.method and not earlier.label
        if earlier.dataset == later.dataset and (same_setting or first_setting):
            pairs.append((earlier, later))
    return pairs


def paired_differences(hits: Hits, pairs: Sequence[Pair] | None = None) -> list[Row]:
    """HR@1 of each arm minus that of each earlier one, paired over the users of the seeds of both.

    Args:
        pairs: Those that are compared; None: `pairs_to_compare`. Two arms that ranked other
            candidates are left out.

    Returns:
        Keys: dataset, method, against, seeds, pairs, those of `statistics.Comparison`, and p_holm:
        Holm's p in the family of all comparisons on one data set.
    """
    rows = []
    for earlier, later in pairs_to_compare(hits) if pairs is None else pairs:
        paired = hits[later].join(hits[earlier], on=PAIRED_BY, suffix="_before")
        if paired.is_empty():
            continue  # they ranked other candidates
        comparison = paired_comparison(
            paired["hit"], paired["hit_before"], paired["user"], paired["seed"]
        )
        row: Row = {
            "dataset": later.dataset,
            "method": later.name(),
            "against": earlier.name(),
            "seeds": paired["seed"].n_unique(),
            "pairs": paired.height,
        }
        rows.append(row | dict(comparison))
    _add_holm(rows)
    return rows


def variations(hits: Hits) -> list[Row]:
    """How far one seed's HR@1 lies from the mean: by the users drawn, and by the seed itself.

    Returns:
        A row per arm: dataset, method, seeds (how many), sd_users, sd_seeds (standard deviations).
    """
    rows = []
    for setting, table in hits.items():
        sd_users, sd_seeds = variation(table["hit"], table["user"], table["seed"])
        rows.append(
            {
                "dataset": setting.dataset,
                "method": setting.name(),
                "seeds": table["seed"].n_unique(),
                "sd_users": sd_users,
                "sd_seeds": sd_seeds,
            }
        )
    return rows


def difference_line(row: Record) -> str:
    """A row of `paired_differences` as one line of text."""
    low, high = row["ci95"]
    spread = "no spread"
    if row["effect"] is not None:
        spread = f"d {row['effect']:+.2f}, {row['detectable']:.3f} detectable"
    return (
        f"{row['dataset']}: {row['method']} - {row['against']}: HR@1 {row['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], p {row['p']:.4f} (Holm {row['p_holm']:.4f}), {spread}, "
        f"{row['pairs']} pairs of {row['seeds']} seeds"
    )


def _add_holm(rows: Sequence[Row]) -> None:
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["dataset"], []).append(row)
    for family in families.values():
        adjusted = holm([row["p"] for row in family])
        for row, p in zip(family, adjusted, strict=True):
            row["p_holm"] = p


def _hits(record: Record, path: Path) -> pl.DataFrame:
    """The hits of one arm at one seed, from a rankings table that may hold other arms too."""
    method = record["method"]
    table = pl.read_parquet(path).filter(pl.col("method") == method)
    best = pl.col("ranking").list.get(0, null_on_oob=True)
    is_hit = (best == pl.col("positive")).fill_null(False) & pl.col("valid")
    hits = table.select(
        "user",
        "positive",
        shown=pl.col("candidates").list.sort().cast(pl.List(pl.String)).list.join(" "),
        hit=is_hit.cast(pl.Float64),
        seed=pl.lit(record["seed"]),
    )
    hit_ratio = hits.select(pl.col("hit").mean().fill_null(0.0)).item()
    if abs(hit_ratio - record["hr@1"]) > ROUNDING:
        raise R2RecError(
            f"{path} and the metrics.json beside it disagree on {method}: run that job again"
        )
    return hits
