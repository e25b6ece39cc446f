"""Stage `report`: rankings of all arms to metrics.json, tables, plots and a page, in the run's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from omegaconf import DictConfig

from r2rec.evaluate.metrics import per_user, summarise
from r2rec.evaluate.rank import evaluation_cases
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.prompts.cases import LABELS
from r2rec.report import plots, tables
from r2rec.report.page import Case, write_page
from r2rec.store import write_json


class Row(NamedTuple):
    """One row of the results: who ranked, and where its rankings are."""

    method: str
    variant: str
    rankings: Path
    trained_on: str | None = None  # a data set other than this run's


def report(
    cfg: DictConfig,
    rows: Sequence[Row],
    inputs: Mapping[str, Path],
    folder: Path,
    facts: Mapping[str, str],
    notes: Sequence[str],
) -> list[dict[str, Any]]:
    """Write rankings.parquet, metrics.json, tables/, plots/ and report.html; return the records of metrics.json."""
    rankings = [pl.read_parquet(row.rankings / "rankings.parquet") for row in rows]
    pl.concat(rankings).write_parquet(folder / "rankings.parquet")
    records = [
        summarise(
            per_user(table), method=row.method, variant=row.variant, dataset=cfg.dataset.name,
            train_dataset=row.trained_on or cfg.dataset.name, seed=cfg.seed, resamples=cfg.evaluation.resamples, rng_seed=cfg.seed,
        )
        for row, table in zip(rows, rankings, strict=True)
    ]  # fmt: skip
    write_json(folder / "metrics.json", records)
    tables.write(records, folder / "tables")
    case = first_case(cfg, rankings, dict(inputs)) if "chain" in inputs else None
    write_page(
        folder / "report.html",
        title=f"{cfg.name}: {cfg.dataset.name}",
        records=records,
        published=tables.published(cfg.dataset.name),
        figures=figures(records, inputs, folder / "plots"),
        case=case,
        facts=facts,
        notes=notes,
    )
    return records


def figures(records: Sequence[dict[str, Any]], inputs: Mapping[str, Path], folder: Path) -> dict[str, str]:
    """Caption -> SVG of what this run has to show."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"HitRatio@1 with 95% bootstrap intervals over users": plots.forest(records, folder)}
    if "rl" in inputs:
        drawn["GRPO, step by step"] = plots.reward_curve(pl.read_parquet(inputs["rl"] / "log.parquet"), folder)
    if "sft" in inputs:
        drawn["SFT loss on thought and answer"] = plots.loss_curve(
            pl.read_parquet(inputs["sft"] / "log.parquet"), folder
        )
    if "fit" in inputs:
        log = pl.read_parquet(inputs["fit"] / "log.parquet").rename({"epoch": "step"})
        drawn["The baseline's training, a step an epoch"] = plots.loss_curve(log, folder)
    return drawn


def first_case(cfg: DictConfig, rankings: Sequence[pl.DataFrame], inputs: dict[str, Path]) -> Case | None:
    """A user to read from chain to answer: of the last arm that wrote, the first right answer, else a valid one."""
    written = [table for table in rankings if table["completion"].is_not_null().any()]
    if not written:
        return None
    right = pl.col("ranking").list.first() == pl.col("positive")
    table = written[-1].filter(pl.col("completion").is_not_null())
    row = table.sort(right.fill_null(False), "valid", descending=True, maintain_order=True).row(0, named=True)
    one = pl.DataFrame([{"user": row["user"], "positive": row["positive"], "items": row["candidates"]}]).cast(
        {"user": pl.UInt32, "positive": pl.UInt32, "items": pl.List(pl.UInt32)}
    )
    (shown,) = evaluation_cases(cfg, inputs, one)
    answer = parse_ranking(row["completion"], len(row["candidates"]), cfg.prompt.reasoning)
    thought, _ = split_thought(row["completion"], cfg.prompt.reasoning)
    positive = LABELS[row["candidates"].index(row["positive"])]
    return Case(
        user=row["user"],
        profile=shown.profile,
        history=[item.title for item in shown.history],
        chains=shown.chains,
        candidates=shown.candidates,
        completion=row["completion"],
        thought_steps=thought_steps(thought or ""),
        ranking=answer.labels,
        positive=positive,
        correct=answer.labels[:1] == (positive,),
        valid=answer.valid,
    )
