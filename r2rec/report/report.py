"""The report of a run: tables, figures, a page and metrics.json, from the artefacts of its jobs."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from r2rec.base.files import write_json
from r2rec.base.jobs import TRAIN_ON, Finished
from r2rec.config import Config
from r2rec.config.slices import Arm
from r2rec.data.split import evaluated
from r2rec.evaluate.declared import Declared
from r2rec.evaluate.leakage import check_leakage
from r2rec.evaluate.metrics import per_user, summarise
from r2rec.evaluate.rankings import read_rankings
from r2rec.report.arms import JoinedArm
from r2rec.report.banners import banners
from r2rec.report.cases import WrittenArms, browser, written_arms
from r2rec.report.cold import cold_and_warm, warmth_notes, warmth_text
from r2rec.report.compare import significant_text
from r2rec.report.curves import training_curves
from r2rec.report.diagnosis import DiagnosisText, diagnosis
from r2rec.report.findings import findings
from r2rec.report.forecast import forecast
from r2rec.report.forest import forest, forest_caption
from r2rec.report.judgements import judged_metrics
from r2rec.report.page import write_page
from r2rec.report.ran import cost, facts
from r2rec.report.records import Record, published_rows
from r2rec.report.repeats import SIDES
from r2rec.report.tables import results_table, write_tables
from r2rec.report.verdict import run_verdict, verdict_text
from r2rec.train.card import about

PER_ARM = ("rank", "fuse", "diagnose")  # places of stages that have one job per arm


class WrittenReport(NamedTuple):
    """A report."""

    records: list[dict[str, Any]]  # of metrics.json
    text: str  # for the console
    verdict: str  # a sentence on each data set


class RankedArm(NamedTuple):
    """An arm and its rankings, row by row as in the results."""

    arm: Arm
    rankings: pl.DataFrame


def write_report(
    config: Config, finished: Sequence[Finished], folder: Path, warnings: Sequence[str] = ()
) -> WrittenReport:
    """Write rankings.parquet, metrics.json, tables/, plots/ and report.html into `folder`.

    Args:
        finished: All jobs of the run, in the order in which they ran.
        warnings: What a reader must know beside what the results tell.

    Raises:
        R2RecError: A held-out rating leaked, or rankings are of other users or candidates.
    """
    inputs = _shared_folders(finished, on_training_data=False)
    leakage = _leakage(finished, inputs)
    ranked = _ranked_arms(config, finished, inputs["split"])
    rankings = {row.arm.method: row.rankings for row in ranked}
    pl.concat([row.rankings for row in ranked]).write_parquet(folder / "rankings.parquet")
    written = written_arms(config, rankings, inputs) if "chain" in inputs else None
    records = _records(config, ranked, _trained_elsewhere(finished), written)
    write_json(folder / "metrics.json", records)
    write_tables(records, folder / "tables")
    by_warmth = cold_and_warm(config, rankings, inputs["split"], folder / "tables")

    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    diagnosed = _diagnosis(config, finished, folder)
    found = findings(_arms(records, folder), _declared(config))
    figures = {forest_caption(records): forest(records, plots, found.chance())}
    figures |= training_curves(finished, plots)
    figures |= diagnosed.figures
    page = folder / "report.html"
    write_page(
        page,
        title=f"{config.name}: {config.dataset.name}",
        records=records,
        published=published_rows(config.dataset.name),
        figures=figures,
        browser=browser(config, written),
        facts=facts(config, finished, folder, leakage),
        notes=[*_notes(finished), *warmth_notes(by_warmth)],
        findings=found,
        banners=banners(records, _teaching(finished), warnings),
        cost=cost(finished),
    )

    differences = significant_text(found.main, _declared(config))
    parts = [
        "\n".join(filter(None, [results_table(records), differences])),
        warmth_text(by_warmth),
        diagnosed.text,
        forecast(config, finished) if config.forecast.enabled else "",
        f"leakage check: {leakage}\n{page}",
        verdict_text(found),
    ]
    return WrittenReport(records, "\n\n".join(filter(None, parts)), run_verdict(found))


def _declared(config: Config) -> Declared:
    return [(str(one), str(other)) for one, other in config.evaluation.compare]


def _leakage(finished: Sequence[Finished], inputs: Mapping[str, Path]) -> str:
    """What the leakage check says, of the training data too where they are others."""
    training = _shared_folders(finished, on_training_data=True)
    checked = [check_leakage(training)] if training else []
    return "; ".join([*checked, check_leakage(inputs)])


def _arms(records: Sequence[Record], folder: Path) -> list[JoinedArm]:
    """The arms of this run, as those of a sweep."""
    rankings = folder / "rankings.parquet"
    return [JoinedArm(record, rankings, label="", job="", key="") for record in records]


def _teaching(finished: Sequence[Finished]) -> Mapping[str, Any]:
    """What stage `think` reports of its traces."""
    for done in finished:
        if done.job.stage.place == "think":
            return done.artefact.facts
    return {}


def _shared_folders(finished: Sequence[Finished], *, on_training_data: bool) -> dict[str, Path]:
    """Place -> folder of the artefacts that arms share, of one of the two data sets of a run.

    There is nothing on the training data where that is the evaluation data set too.
    """
    folders = {}
    for done in finished:
        place = done.job.stage.place
        if place not in PER_ARM and done.job.name.startswith(TRAIN_ON) == on_training_data:
            folders[place] = done.artefact.path
    return folders


def _ranked_arms(config: Config, finished: Sequence[Finished], split: Path) -> list[RankedArm]:
    """All arms with their rankings: those that ranked alone, then the fused ones."""
    candidates = evaluated(split, config.data_seed, config.evaluation.users)
    rows = []
    for place in ("rank", "fuse"):
        for done in finished:
            if done.job.stage.place == place and done.job.arm is not None:
                rankings = read_rankings(done.artefact.path, candidates)
                rows.append(RankedArm(done.job.arm, rankings))
    return rows


def _trained_elsewhere(finished: Sequence[Finished]) -> set[str]:
    """Stages that were run on a training data set that is not evaluated."""
    names = set()
    for done in finished:
        if done.job.name.startswith(TRAIN_ON):
            names.add(done.job.name.removeprefix(TRAIN_ON))
    return names


def _records(
    config: Config,
    ranked: Sequence[RankedArm],
    trained_elsewhere: Set[str],
    written: WrittenArms | None,
) -> list[dict[str, Any]]:
    """The records of metrics.json, one per arm."""
    records = []
    for row in ranked:
        record = summarise(
            per_user(row.rankings, config.evaluation.metrics),
            method=row.arm.method,
            variant=row.arm.variant,
            dataset=config.dataset.name,
            train_dataset=_train_dataset(config, row.arm, trained_elsewhere),
            seed=config.seed,
            names=config.evaluation.metrics,
            resamples=config.evaluation.resamples,
            rng_seed=config.seed,
        )
        if any(seed is not None for seed in vars(config.seeds).values()):
            record["seeds"] = {side: getattr(config, f"{side}_seed") for side in SIDES}
        if written and row.arm.method in written.judgements:
            record |= judged_metrics(row.rankings, written.judgements[row.arm.method])
        records.append(record)
    return records


def _train_dataset(config: Config, arm: Arm, trained_elsewhere: Set[str]) -> str:
    """The data set that an arm was trained on."""
    if arm.adapter in trained_elsewhere:
        return config.train_on.name
    if arm.method == "adapter":  # not trained in this run, but its card may name the data
        card = about(config.model.adapter)
        if card.get("dataset"):
            return card["dataset"]
    return config.dataset.name


def _diagnosis(config: Config, finished: Sequence[Finished], folder: Path) -> DiagnosisText:
    artefacts = {}
    for done in finished:
        if done.job.stage.place == "diagnose" and done.job.arm is not None:
            artefacts[done.job.arm.method] = done.artefact.path
    if not artefacts:
        return DiagnosisText("", {})
    return diagnosis(config.diagnostic.name, artefacts, folder)


def _notes(finished: Sequence[Finished]) -> list[str]:
    """The notes of all stages, except those on another training data set."""
    notes: list[str] = []
    for done in finished:
        if done.job.stage.place != "diagnose":
            notes += done.artefact.facts.get("notes", [])
    return notes
