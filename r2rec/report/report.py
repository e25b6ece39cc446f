"""Stage `report`: rankings of all arms to metrics.json, tables, plots and a page, in the run's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from omegaconf import DictConfig

from r2rec.base.store import write_json
from r2rec.evaluate.metrics import per_user, summarise
from r2rec.evaluate.rank import read_rankings
from r2rec.report import forest, plots, tables
from r2rec.report.cases import browser
from r2rec.report.page import write_page


class Row(NamedTuple):
    """One row of the results: who ranked, and where its rankings are."""

    method: str
    variant: str
    rankings: Path
    trained_on: str | None = None  # a data set other than this run's


def write_report(
    cfg: DictConfig,
    rows: Sequence[Row],
    inputs: Mapping[str, Path],
    folder: Path,
    facts: Mapping[str, str],
    notes: Sequence[str],
    drawn: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Write rankings.parquet, metrics.json, tables/, plots/ and report.html; return the records of metrics.json.

    Args:
        drawn: More figures for the page: caption -> SVG.
    """
    rankings = [read_rankings(row.rankings, cfg, inputs["split"]) for row in rows]
    pl.concat(rankings).write_parquet(folder / "rankings.parquet")
    records = [
        summarise(
            per_user(table), method=row.method, variant=row.variant, dataset=cfg.dataset.name,
            train_dataset=row.trained_on or cfg.dataset.name, seed=cfg.seed, resamples=cfg.evaluation.resamples,
            rng_seed=cfg.seed,
        )
        for row, table in zip(rows, rankings, strict=True)
    ]  # fmt: skip
    write_json(folder / "metrics.json", records)
    tables.write_tables(records, folder / "tables")
    named = {row.method: table for row, table in zip(rows, rankings, strict=True)}
    write_page(
        folder / "report.html",
        title=f"{cfg.name}: {cfg.dataset.name}",
        records=records,
        published=tables.published(cfg.dataset.name),
        figures={**figures(records, inputs, folder / "plots"), **drawn},
        browser=browser(cfg, named, inputs) if "chain" in inputs else None,
        facts=facts,
        notes=notes,
    )
    return records


def figures(
    records: Sequence[dict[str, Any]], inputs: Mapping[str, Path], folder: Path
) -> dict[str, str]:
    """Caption -> SVG of what this run has to show."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"HitRatio@1 with 95% bootstrap intervals over users": forest.forest(records, folder)}
    if "rl" in inputs:
        drawn["GRPO, step by step"] = plots.reward_curve(
            pl.read_parquet(inputs["rl"] / "log.parquet"), folder
        )
    if "sft" in inputs:
        drawn["SFT loss on thought and answer"] = plots.loss_curve(
            pl.read_parquet(inputs["sft"] / "log.parquet"), folder
        )
    if "fit" in inputs:
        log = pl.read_parquet(inputs["fit"] / "log.parquet").rename({"epoch": "step"})
        drawn["The baseline's training, a step an epoch"] = plots.loss_curve(log, folder)
    return drawn
