"""What a full run would take: the seconds that a small one took, at the sizes of `cfg.plan`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from omegaconf import DictConfig

from r2rec.report.tables import aligned

HEADER = ("stage", "measured here", "a full run", "peak GB", "hours")


class ForecastLine(NamedTuple):
    stage: str
    measured: str
    full: str
    memory: str
    seconds: float  # of the full run


def plan(cfg: DictConfig, made: Mapping[str, Any], ranked: Mapping[str, Any]) -> str:
    """A table of SFT, GRPO and ranking: measured here, and in full.

    Args:
        made: Stage -> artefact (`store.Artefact`).
        ranked: Method -> artefact of its ranking; the last one's counts.
    """
    lines = [_sft(cfg, made["sft"])] if "sft" in made else []
    lines += [_rl(cfg, made["rl"])] if "rl" in made else []
    lines += [
        _rank(cfg, artefact)
        for artefact in list(ranked.values())[-1:]
        if "new_tokens" in artefact.facts
    ]
    total = sum(line.seconds for line in lines)
    dollars = total / 3600 * cfg.forecast.dollars_per_hour * cfg.hardware.processes
    lines.append(ForecastLine("together", "", f"${dollars:,.2f}" if dollars else "", "", total))
    cells = [(*line[:-1], f"{line.seconds / 3600:.2f}") for line in lines]
    return aligned([HEADER, *cells], texts=3)


def _sft(cfg: DictConfig, artefact: Any) -> ForecastLine:
    log, facts = measured_steps(artefact.path), artefact.facts
    each = np.median(log["seconds"].to_numpy()) / cfg.sft.batch_size
    said = f"{each:.3f} s a sample, {facts['tokens'] / facts['samples'] / each:,.0f} tokens/s"
    n = cfg.forecast.sft_samples * cfg.forecast.sft_epochs
    full = f"{cfg.forecast.sft_samples} samples x {cfg.forecast.sft_epochs:g} epochs"
    return ForecastLine("SFT", said, full, _memory(artefact, log), each * n)


def _rl(cfg: DictConfig, artefact: Any) -> ForecastLine:
    log = measured_steps(artefact.path)
    seconds = log["seconds"].to_numpy()
    parts = [name for name in log.columns if name.startswith("seconds/")]
    shares = {
        name.removeprefix("seconds/").replace("_", "-"): log[name].sum() / seconds.sum()
        for name in parts
    }
    told = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
    n = -(-cfg.forecast.rl_samples // cfg.rl.prompts_per_step)
    each = np.median(seconds)
    return ForecastLine(
        "GRPO", f"{each:.2f} s a step: {told}", f"{n} steps", _memory(artefact, log), each * n
    )


def _rank(cfg: DictConfig, artefact: Any) -> ForecastLine:
    each = artefact.seconds / max(1, artefact.facts["users"])
    speed = artefact.facts["new_tokens"] / artefact.seconds
    said = f"{1 / each:.2f} users/s, {speed:,.0f} new tokens/s, loading included"
    return ForecastLine(
        "ranking",
        said,
        f"{cfg.forecast.users:,} users",
        _memory(artefact),
        each * cfg.forecast.users,
    )


def measured_steps(folder: Path) -> pl.DataFrame:
    """A trainer's steps but the first, which warms up; all where there is but one."""
    log = pl.read_parquet(folder / "log.parquet").drop_nulls("seconds")
    return log[1:] if log.height > 1 else log


def _memory(artefact: Any, log: pl.DataFrame | None = None) -> str:
    """The GPU's, where the stage has told it; else the process's."""
    told = log["memory_gb"].to_list() if log is not None and "memory_gb" in log.columns else []
    told += [artefact.facts["memory_gb"]] if "memory_gb" in artefact.facts else []
    return f"{max(told, default=artefact.peak_memory_mb / 1000):.1f}"
