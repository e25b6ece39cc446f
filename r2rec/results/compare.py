"""Paired differences between methods of one run, or between those of several runs."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.evaluate.declared import declared_by
from r2rec.evaluate.names import check_metrics, metric_title
from r2rec.report.arms import JoinedArm, joined_arms
from r2rec.report.compare import (
    SIGNIFICANCE,
    Pair,
    Scores,
    Setting,
    main_metric,
    paired_differences,
    pairs_to_compare,
    scores_by_setting,
    setting_of,
)
from r2rec.report.fitting import fitted
from r2rec.report.records import arm_of, read_records
from r2rec.report.repeats import SIDES, varied_in, varied_text
from r2rec.results.load import METRICS, RANKINGS, Run

SCHEMA = {
    "dataset": pl.String,
    "metric": pl.String,
    "method": pl.String,
    "against": pl.String,
    "seeds": pl.Int64,
    "varied": pl.String,
    "pairs": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "p_holm": pl.Float64,
    "effect": pl.Float64,
    "detectable": pl.Float64,
    "kind": pl.String,
}


def run_differences(
    runs: Sequence[Run],
    methods: Sequence[str] = (),
    every: bool = False,
    metric: str | None = None,
) -> pl.DataFrame:
    """A metric of methods minus that of others, paired by user and seed.

    Which metric, which pairs, and the columns: see `r2rec.compare`. Runs that differ in their seed
    alone are one run at several seeds. What several runs share counts once.
    """
    if metric is not None:
        check_metrics([metric])
    folders = [_finished(run) for run in runs]
    arms = joined_arms([job for jobs in folders for job in jobs])
    unknown = set(methods) - {arm.record["method"] for arm in arms}
    if unknown:
        known = ", ".join(dict.fromkeys(arm.record["method"] for arm in arms))
        raise R2RecError(f"no method {', '.join(sorted(unknown))}; there are {known}")
    if methods:
        arms = [arm for arm in arms if arm.record["method"] in methods]
    metric = metric or main_metric(arms)
    scores = scores_by_setting(arms, metric)
    pairs = _wanted(scores, _runs_of(arms, folders), every or _are_repeats(scores, folders))
    declared = declared_by(job for jobs in folders for job in jobs)
    rows = paired_differences(scores, metric, pairs, declared)
    if not rows:
        raise R2RecError(_nothing(scores, runs))
    flat = []
    for row in rows:
        low, high = row["ci95"]
        flat.append(row | {"low": low, "high": high, "varied": ", ".join(row["varied"])})
    return pl.DataFrame([{name: row[name] for name in SCHEMA} for row in flat], schema=SCHEMA)


def differences_text(differences: pl.DataFrame) -> str:
    """The same as text: a block for each method, a line for each that it is compared with."""
    blocks = []
    for (dataset, method), rows in differences.partition_by(
        "dataset", "method", as_dict=True, maintain_order=True
    ).items():
        metric = metric_title(rows["metric"][0])
        cells = [["minus", metric, "95% interval", "p", "Holm", "found from", "pairs"]]
        if rows["kind"][0]:
            cells[0].append("asked")
        for row in rows.iter_rows(named=True):
            detectable = "" if row["detectable"] is None else f"{row['detectable']:.3f}"
            mark = " *" if row["p_holm"] < SIGNIFICANCE else ""
            line = [
                row["against"],
                f"{row['difference']:+.3f}{mark or '  '}",
                f"{row['low']:+.3f} {row['high']:+.3f}",
                f"{row['p']:.4f}",
                f"{row['p_holm']:.4f}",
                detectable,
                f"{row['pairs']:,}",
            ]
            if row["kind"]:
                line.append(row["kind"])
            cells.append(line)
        seeds = rows["seeds"].unique().sort().to_list()
        over = f"{'/'.join(map(str, seeds))} seed{'s' if seeds != [1] else ''}"
        for sides in rows["varied"].unique().sort():
            text = varied_text(sides.split(", "), max(seeds)) if sides else ""
            over += f" ({text})" if text else ""
        blocks.append(f"{method}, {dataset}, {over}\n{fitted(cells, texts=1)}")
    return "\n\n".join(blocks)


def _finished(run: Run) -> list[Path]:
    """The folders of a run's jobs, or of itself, that have results."""
    folders = [job.folder for job in run.jobs] or [run.folder]
    done = []
    for folder in folders:
        if (folder / METRICS).exists() and (folder / RANKINGS).exists():
            done.append(folder)
    if not done:
        raise R2RecError(f"{run.folder} has no results to compare; `r2rec report` may make them")
    return done


def _runs_of(
    arms: Sequence[JoinedArm], folders: Sequence[Sequence[Path]]
) -> dict[Setting, set[int]]:
    """The runs, by number, that the results of each arm are from."""
    found: dict[Setting, set[int]] = {}
    for arm in arms:
        for number, jobs in enumerate(folders):
            if arm.rankings.parent in jobs:
                found.setdefault(setting_of(arm), set()).add(number)
    return found


def _wanted(scores: Scores, runs: dict[Setting, set[int]], every: bool) -> list[Pair]:
    """The pairs to be compared."""
    pairs = pairs_to_compare(scores)
    across = [(earlier, later) for earlier, later in pairs if runs[earlier] != runs[later]]
    for earlier, later in across:
        _must_be_comparable(scores, earlier, later)
    every_run = set().union(*runs.values())
    in_every_run = all(numbers == every_run for numbers in runs.values())
    return pairs if every or in_every_run else across


def _are_repeats(scores: Scores, folders: Sequence[Sequence[Path]]) -> bool:
    """Whether the runs are one run at several seeds: all have all methods, each in one setting.

    What does not depend on the seeds that differ is the result of the first run alone.
    """
    wanted = {(arm.method, arm.variant, arm.dataset, arm.train_dataset) for arm in scores}
    found = []
    for jobs in folders:
        records = [record for job in jobs for record in read_records(job / METRICS)]
        found.append(wanted & {arm_of(record) for record in records})
    return not any(arm.label for arm in scores) and all(methods == wanted for methods in found)


def _must_be_comparable(scores: Scores, earlier: Setting, later: Setting) -> None:
    """Raise R2RecError where two arms ranked other candidates for a user at a seed of data."""
    asked = [scores[arm].select("data", "user", "positive", "shown") for arm in (earlier, later)]
    both = asked[0].unique().join(asked[1].unique(), on=("data", "user"), suffix="_later")
    same = (pl.col("positive") == pl.col("positive_later")) & (
        pl.col("shown") == pl.col("shown_later")
    )
    others = both.filter(~same)
    if others.height:
        raise R2RecError(
            f"{later.name()} and {earlier.name()} cannot be compared: of {both.height} users that "
            f"both ranked for, {others.height} had other candidates; run both with the same data, "
            "seed and evaluation"
        )


def _nothing(scores: Scores, runs: Sequence[Run]) -> str:
    """Why there is no comparison."""
    datasets = {setting.dataset for setting in scores}
    seeds = {str(seed) for table in scores.values() for seed in table["data"].unique()}
    others = varied_in(pl.concat(table.select(SIDES) for table in scores.values()))
    if len(scores) < 2:
        reason = "one method alone cannot be compared; name a run with another one"
    elif len(datasets) > 1:
        reason = f"the runs are on {' and '.join(sorted(datasets))}"
    elif len(seeds) > 1:
        reason = (
            f"no user was ranked for with the same seed (seeds: {', '.join(sorted(seeds))}); "
            f"candidates are drawn by seed, so run {runs[-1].folder} again with that of the other"
        )
    elif others:
        reason = (
            f"the runs are on the same candidates, but have no seed of {' and '.join(others)} in "
            f"common; run {runs[-1].folder} again with those of the other"
        )
    else:
        reason = "the runs have no method in common"
    return f"nothing to compare: {reason}"
