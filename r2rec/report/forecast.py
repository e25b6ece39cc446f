"""What a full run would take: the seconds of a small run, at the sizes of `config.forecast`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from r2rec.base.jobs import Finished
from r2rec.base.store import Artefact
from r2rec.config import Config
from r2rec.report.fitting import aligned

HEADER = ("stage", "measured here", "a full run", "peak GB", "hours")
STAGE_NAMES = {"rl": "GRPO"}  # other stages keep their name, in capitals
SECONDS_PER_HOUR = 3600


class ForecastLine(NamedTuple):
    """One stage."""

    stage: str
    measured: str  # in words
    full: str  # size of the full run, in words
    memory: str  # peak, GB
    seconds: float  # of the full run

    def cells(self) -> list[str]:
        hours = self.seconds / SECONDS_PER_HOUR
        return [self.stage, self.measured, self.full, self.memory, f"{hours:.2f}"]


def forecast(config: Config, finished: Sequence[Finished]) -> str:
    """A table of SFT, RL and ranking: measured in this run, and forecast for a full one.

    Where several arms were ranked, the last one counts.
    """
    last: dict[str, Finished] = {}
    for done in finished:
        place = done.job.stage.place
        if place == "fuse":  # fused arms are ranked too
            place = "rank"
        last[place] = done
    lines = []
    if "sft" in last:
        lines.append(_sft(config, last["sft"].artefact))
    if "rl" in last:
        lines.append(_rl(config, last["rl"]))
    if "rank" in last and "new_tokens" in last["rank"].artefact.facts:
        lines.append(_rank(config, last["rank"].artefact))

    seconds = sum(line.seconds for line in lines)
    hourly = config.forecast.dollars_per_hour * config.hardware.processes
    dollars = seconds / SECONDS_PER_HOUR * hourly
    price = ""
    if dollars:
        price = f"${dollars:,.2f}"
    lines.append(ForecastLine("together", "", price, "", seconds))
    cells: list[Sequence[str]] = [HEADER]
    for line in lines:
        cells.append(line.cells())
    return aligned(cells, texts=3)


def measured_steps(folder: Path) -> pl.DataFrame:
    """A trainer's steps without the first, which warms up; all of them where there is only one."""
    log = pl.read_parquet(folder / "log.parquet").drop_nulls("seconds")
    if log.height > 1:
        return log[1:]
    return log


def _sft(config: Config, artefact: Artefact) -> ForecastLine:
    log = measured_steps(artefact.path)
    seconds = _median_seconds(log) / config.sft.batch_size
    tokens = artefact.facts["tokens"] / artefact.facts["samples"]  # of a sample
    samples = config.forecast.sft_samples
    epochs = config.forecast.sft_epochs
    return ForecastLine(
        stage="SFT",
        measured=f"{seconds:.3f} s a sample, {tokens / seconds:,.0f} tokens/s",
        full=f"{samples} samples x {epochs:g} epochs",
        memory=_peak_memory(artefact, log),
        seconds=seconds * samples * epochs,
    )


def _rl(config: Config, done: Finished) -> ForecastLine:
    artefact = done.artefact
    log = measured_steps(artefact.path)
    seconds = _median_seconds(log)
    steps = -(-config.forecast.rl_samples // config.rl.prompts_per_step)
    shares = []
    for column in log.columns:
        if column.startswith("seconds/"):
            part = column.removeprefix("seconds/").replace("_", "-")
            share = log[column].to_numpy().sum() / log["seconds"].to_numpy().sum()
            shares.append(f"{part} {share:.0%}")
    name = done.job.stage.name
    return ForecastLine(
        stage=STAGE_NAMES.get(name, name.upper()),
        measured=f"{seconds:.2f} s a step: {', '.join(shares)}",
        full=f"{steps} steps",
        memory=_peak_memory(artefact, log),
        seconds=seconds * steps,
    )


def _rank(config: Config, artefact: Artefact) -> ForecastLine:
    seconds = artefact.seconds / max(1, artefact.facts["users"])  # of a user
    speed = artefact.facts["new_tokens"] / artefact.seconds
    users = config.forecast.users
    return ForecastLine(
        stage="ranking",
        measured=f"{1 / seconds:.2f} users/s, {speed:,.0f} new tokens/s, loading included",
        full=f"{users:,} users",
        memory=_peak_memory(artefact, pl.DataFrame()),
        seconds=seconds * users,
    )


def _median_seconds(log: pl.DataFrame) -> float:
    return float(np.median(log["seconds"].to_numpy()))


def _peak_memory(artefact: Artefact, log: pl.DataFrame) -> str:
    """Peak in GB: of the GPU where the stage measured it, else of the process."""
    measured = []
    if "memory_gb" in log.columns:
        measured += log["memory_gb"].to_list()
    if "memory_gb" in artefact.facts:
        measured.append(artefact.facts["memory_gb"])
    peak = max(measured, default=artefact.peak_memory_mb / 1000)
    return f"{peak:.1f}"
