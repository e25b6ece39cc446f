"""The method in order, as a table: what each stage makes, from what, and which choices it depends on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from r2rec.base import tracking
from r2rec.base.errors import R2RecError
from r2rec.base.provenance import scrubbed
from r2rec.base.store import Artefact, said_by_disk
from r2rec.run.methods import Arm, arms, wanted
from r2rec.run.rules import check
from r2rec.run.runner import Run, Stage
from r2rec.train.push import push

# What a training prompt depends on, wherever one is made.
TASK = (
    "seed",
    "dataset.words",
    "prompt",
    "chain_sampler",
    "evaluation.negatives",
    "evaluation.positive_above",
    "evaluation.min_history",
)

# What a ranking question to a language model depends on.
QUESTION = ("seed", "dataset.words", "prompt", "evaluation.users", "evaluation.positive_above")

# Ratings to results: Figure 1 of the paper, from left to right.
STAGES = (
    Stage(
        "prepare",
        "r2rec.data.prepare:prepare",
        choices=("dataset.name", "dataset._target_", "dataset.category", "dataset.params"),
    ),
    Stage(
        "split",
        "r2rec.data.split:split",
        needs=("prepare",),
        choices=(
            "seed",
            "noise",
            "evaluation.negatives",
            "evaluation.matched",
            "evaluation.positive_above",
            "evaluation.min_positives",
        ),
        version=2,
    ),
    Stage(
        "fit",
        "r2rec.baselines.fit:fit",
        needs=("prepare", "split"),
        choices=(
            "seed",
            "baseline.name",
            "baseline._target_",
            "baseline.params",
            "baseline.fit",
            "evaluation.positive_above",
        ),
        together=True,
        keeps=("checkpoints",),
        version=2,
    ),
    Stage(
        "chain",
        "r2rec.chains.chain:chain",
        needs=("prepare", "split"),
        choices=("seed", "chain_sampler"),
        version=2,
    ),
    Stage(
        "backbone",
        "r2rec.pretrain.backbone:backbone",
        choices=("model.tiny",),
        keeps=("checkpoints",),
        version=4,
    ),
    Stage(
        "think",
        "r2rec.thoughts.think:think",
        needs=("prepare", "split"),
        choices=(*TASK, "teacher", "sft.samples", "sft.task"),
        version=9,
    ),
    Stage(
        "sft",
        "r2rec.train.sft:sft",
        needs=("prepare", "split", "think", "backbone"),
        choices=(*TASK, "sft", "model", "probe"),
        together=True,
        keeps=("checkpoints",),
    ),
    Stage(
        "rl",
        "r2rec.train.rl:rl",
        needs=("prepare", "split", "sft", "backbone"),
        choices=(*TASK, "rl", "reward", "model", "probe"),
        together=True,
        keeps=("checkpoints",),
        version=6,
    ),
    Stage(
        "adapt",
        "r2rec.baselines.adapt:adapt",
        needs=("prepare", "split", "fit", "backbone"),
        choices=(
            "seed",
            "dataset.words",
            "prompt",
            "evaluation.positive_above",
            "evaluation.min_history",
            "model",
            "baseline.name",
            "baseline._target_",
            "baseline.params",
            "baseline.adapt",
        ),
        keeps=("checkpoints",),
    ),
    Stage(
        "rank",
        "r2rec.evaluate.rank:rank_by_model",
        together=True,
        needs=("prepare", "split", "chain", "backbone"),
        choices=(*QUESTION, "generation", "model"),
        version=5,
    ),
    Stage("report", "r2rec.report.report:report"),
)
NAMES = tuple(stage.name for stage in STAGES)
TRAINED = ("sft", "rl", "adapt")  # the last of them is what a run can push

EVERYONE = 10_000  # users; where there are more, `chain` draws for those that the run evaluates, and for no one else

# How a baseline ranks: it enters after `split`, and leaves the same table.
SCORE = Stage(
    "rank",
    "r2rec.evaluate.rank:rank_by_baseline",
    needs=("prepare", "split"),
    choices=("seed", "evaluation.users"),
)

# How a language model tuned for a baseline ranks.
CHOOSE = Stage(
    "rank",
    "r2rec.evaluate.rank:rank_by_baseline",
    needs=("prepare", "split", "fit", "backbone"),
    choices=(*QUESTION, "model", "baseline.adapt.batch_tokens"),
)

# What an arm that writes is asked beyond its ranking.
DIAGNOSE = Stage(
    "diagnose",
    "r2rec.evaluate.diagnose:diagnose",
    together=True,
    needs=("prepare", "split", "chain", "backbone"),
    choices=(*QUESTION, "generation", "model", "diagnostic"),
    version=4,
)

# An arm that writes and a baseline, ranking together.
FUSE = Stage(
    "fuse",
    "r2rec.evaluate.fuse:fuse",
    together=True,
    needs=("prepare", "split", "fit", "backbone"),
    choices=(
        *QUESTION,
        "generation",
        "model",
        "chain_sampler",
        "evaluation.negatives",
        "evaluation.validation_users",
        "fusion",
    ),
    version=4,
)

# How a baseline behind an endpoint ranks.
ASK = Stage(
    "rank",
    "r2rec.evaluate.rank:rank_by_endpoint",
    needs=("prepare", "split", "chain"),
    choices=(*QUESTION, "baseline.endpoint"),
)


def rooted(cfg: DictConfig) -> DictConfig:
    """The configuration with `roots` where data sets have no folder of their own."""
    cfg = cfg.copy()
    for data in (cfg.dataset, cfg.train_on):
        if data.root is None:
            data.root = cfg.roots.get(data.name)
    return cfg


def thinking(stage: Stage, cfg: DictConfig) -> Stage:
    """Stage `think` with the weights that its teacher reads, the run's own or another model's; other stages as are."""
    teacher = cfg.teacher
    if stage.name != "think" or not teacher.generation or teacher.generation.endpoint:
        return stage
    own = () if teacher.model else ("model",)
    return stage._replace(needs=(*stage.needs, "backbone"), choices=(*stage.choices, *own))


def narrowed(stage: Stage, made: Mapping[str, Artefact]) -> Stage:
    """Stage `chain`, told whom the run evaluates where there are too many users to draw for all; others as are."""
    if stage.name != "chain" or made["split"].facts["users"] <= EVERYONE:
        return stage
    return stage._replace(choices=(*stage.choices, "evaluation.users"))


def run(cfg: DictConfig, folder: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every stage up to `cfg.until` into `folder`; return the records of metrics.json.

    Raises:
        R2RecError: The configuration, the data or the disk don't allow it.
    """
    cfg = rooted(cfg)
    check(cfg, NAMES)
    try:
        this = Run(cfg, folder, say)
        with tracking.tracking(cfg, scrubbed(this.plain), folder, say):
            return _stages(this, cfg, say)
    except Exception as error:  # in the run's folder: the store tells of its own
        reason, where = said_by_disk(error), getattr(error, "filename", None) or folder
        if not reason or isinstance(error, ConnectionError):
            raise
        raise R2RecError(
            f"cannot write {where}: {reason}; free it or set hydra.run.dir=FOLDER"
        ) from error


def _stages(this: Run, cfg: DictConfig, say: Callable[[str], None]) -> list[dict[str, Any]]:
    rows = arms(cfg)
    needed = wanted(cfg, rows)
    todo = [thinking(stage, cfg) for stage in STAGES[: NAMES.index(cfg.until or "report") + 1]]
    if cfg.train_on.name not in ("same", cfg.dataset.name):
        for stage in todo:
            if stage.name in needed - {"chain", "fit"}:
                this.make(stage, {"dataset": this.plain["train_on"]})
        this.move()
        needed -= {"think", "sft", "rl"}
    for stage in todo:
        if stage.name in needed:
            fitted = this.plain["fusion" if cfg.fusion.fit else "baseline"]
            fitted = fitted["vectors"] or fitted
            this.make(
                narrowed(stage, this.made), {"baseline": fitted} if stage.name == "fit" else {}
            )
        elif stage.name == "rank":
            for arm in rows:
                this.rank(_how(cfg, arm, stage), arm)
                if cfg.diagnostic._target_ and arm.target is None:
                    this.diagnose(DIAGNOSE, arm)
            if cfg.fusion._target_:
                rows += [this.fuse(FUSE, arm) for arm in rows if arm.target is None]
    if cfg.push_to_hub:
        trained = [name for name in TRAINED if name in this.made or name in this.elsewhere]
        last = {**this.elsewhere, **this.made}[trained[-1]]
        say(f"pushed {trained[-1]} to {push(last.path, cfg.push_to_hub)}")
    return this.report(rows) if todo[-1].name == "report" else []


def _how(cfg: DictConfig, arm: Arm, by_model: Stage) -> Stage:
    """The stage by which an arm ranks."""
    if arm.target is None:
        return by_model
    own = arm.method == cfg.baseline.name
    return ASK if own and cfg.baseline.endpoint else CHOOSE if own and cfg.baseline.adapt else SCORE
