"""Training curves: those of a run, and GRPO with and without SFT over a sweep (Figure 5)."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from r2rec.base.jobs import Finished
from r2rec.base.store import MANIFEST
from r2rec.report.folders import files_of_jobs, stages_of
from r2rec.report.plots import loss_curve, reward_curve

DRAWERS = {"reward": reward_curve, "loss": loss_curve}  # by the column that a stage's curve names
# In this order. A backbone made by the run is left out: the method does not train it.
SHOWN_PLACES = ("sft", "fit", "adapt", "rl")

# Labels of jobs that differ from the first in SFT alone: "", "sft=off"
SFT_ALONE = re.compile(r"(sft=\w+)?")


def training_curves(finished: Sequence[Finished], folder: Path) -> dict[str, str]:
    """Caption -> SVG of every training in a run; leaves <column>_curve.svg and .png in `folder`.

    Where two trainings have the same kind of curve, the later file's name ends with its stage.
    """
    by_place = {done.job.stage.place: done for done in finished}
    figures: dict[str, str] = {}
    files: set[str] = set()
    for place in SHOWN_PLACES:
        done = by_place.get(place)
        if done is None or done.job.stage.curve is None:
            continue
        curve = done.job.stage.curve
        file = f"{curve.column}_curve"
        if file in files:
            file = f"{file}_{place}"
        files.add(file)
        log = pl.read_parquet(done.artefact.path / "log.parquet")
        if "step" in log.columns:
            figures[curve.caption] = DRAWERS[curve.column](log, folder, file)
        else:
            log = log.rename({"epoch": "step"})
            figures[curve.caption] = loss_curve(log, folder, file, step="epoch")
    return figures


def draw_reward_curves(folder: Path, jobs: Mapping[str, str]) -> None:
    """Draw GRPO after SFT and without it, means over seeds (Figure 5).

    Leaves plots/reward_curve.svg and .png, unless the sweep lacks one of the two. Jobs that differ
    from the first in more than SFT have other rewards or prompts, and are left out.

    Args:
        jobs: Folder name of a job -> its label.
    """
    logs: dict[str, dict[str, pl.DataFrame]] = {"after SFT": {}, "without SFT": {}}
    for manifest in files_of_jobs(folder, MANIFEST):
        job = manifest.parent
        stages = stages_of(job)
        if "rl" not in stages or not SFT_ALONE.fullmatch(jobs.get(job.name, "")):
            continue
        name = "without SFT"
        if "sft" in stages:
            name = "after SFT"
        # By key, so that a training that several jobs share counts once.
        rl = stages["rl"]
        logs[name][rl["key"]] = pl.read_parquet(Path(rl["path"]) / "log.parquet")
    if not all(logs.values()):
        return
    means = {}
    for name, by_key in logs.items():
        steps = pl.concat(by_key.values(), how="diagonal_relaxed").group_by("step")
        means[name] = steps.mean().sort("step")
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    reward_curve(means, plots)
