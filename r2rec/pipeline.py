"""The method in order, as a table: what each stage makes, from what, and which choices it depends on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf

from r2rec.check import check
from r2rec.runner import Run, Stage

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
            "evaluation.negatives",
            "evaluation.matched",
            "evaluation.positive_above",
            "evaluation.min_positives",
        ),
    ),
    Stage(
        "fit",
        "r2rec.baselines.fit:fit",
        needs=("prepare", "split"),
        choices=("seed", "baseline", "evaluation.positive_above"),
        keeps=("checkpoints",),
    ),
    Stage(
        "chain",
        "r2rec.chains.chain:chain",
        needs=("prepare", "split"),
        choices=("seed", "chain_sampler"),
    ),
    Stage(
        "think",
        "r2rec.thoughts.think:think",
        needs=("prepare", "split"),
        choices=(*TASK, "teacher", "sft.samples", "sft.task"),
        version=3,
    ),
    Stage(
        "backbone",
        "r2rec.llm.tiny:backbone",
        choices=("model.tiny",),
        keeps=("checkpoints",),
        version=3,
    ),
    Stage(
        "sft",
        "r2rec.train.sft:sft",
        needs=("prepare", "split", "think", "backbone"),
        choices=(*TASK, "sft", "model", "probe"),
        keeps=("checkpoints",),
    ),
    Stage(
        "rl",
        "r2rec.train.rl:rl",
        needs=("prepare", "split", "sft", "backbone"),
        choices=(*TASK, "rl", "reward", "model", "probe"),
        keeps=("checkpoints",),
        version=2,
    ),
    Stage(
        "rank",
        "r2rec.evaluate.rank:rank_by_model",
        needs=("prepare", "split", "chain", "backbone"),
        choices=(
            "seed",
            "dataset.words",
            "prompt",
            "evaluation.users",
            "evaluation.positive_above",
            "generation",
            "model",
        ),
        version=2,
    ),
    Stage("report", "r2rec.report.report:report"),
)
NAMES = tuple(stage.name for stage in STAGES)

# How a baseline ranks: it enters after `split`, and leaves the same table.
SCORE = Stage(
    "rank",
    "r2rec.evaluate.rank:rank_by_baseline",
    needs=("prepare", "split"),
    choices=("seed", "evaluation.users"),
)


# How a baseline behind an endpoint ranks.
ASK = Stage(
    "rank",
    "r2rec.evaluate.rank:rank_by_endpoint",
    needs=("prepare", "split", "chain"),
    choices=(
        "seed", "dataset.words", "prompt", "evaluation.users", "evaluation.positive_above", "baseline.endpoint",
    ),
)  # fmt: skip


class Arm(NamedTuple):
    """A row of the results: a model with an adapter or without, or a baseline function."""

    method: str
    variant: str
    adapter: str | None = None  # the stage whose weights it takes: an adapter on the backbone, or a baseline's own
    target: str | None = None  # a baseline's function or module
    params: Mapping[str, Any] = {}


def arms(cfg: DictConfig) -> list[Arm]:
    """The rows of this run's results, in order: references first, the full method last."""
    references = cfg.evaluation.references.items()
    plain = [Arm(name, "", target=target) for name, target in references if name != cfg.baseline.name]
    if cfg.baseline._target_ is not None:
        params: Any = OmegaConf.to_container(cfg.baseline.params, resolve=True)
        fitted = "fit" if cfg.baseline.fit else None
        variant = _asked(cfg.baseline.endpoint) if cfg.baseline.endpoint else ""
        return [*plain, Arm(cfg.baseline.name, variant, fitted, cfg.baseline._target_, params)]
    after_rl = ("R2Rec", "sft+rl") if cfg.sft.enabled else ("R2Rec without SFT", "rl")
    trained = {
        "base": Arm("backbone", "base"),
        "sft": Arm("R2Rec without RL", "sft", adapter="sft") if cfg.sft.enabled else None,
        "rl": Arm(*after_rl, adapter="rl") if cfg.rl.enabled else None,
    }
    return plain + [arm for name, arm in trained.items() if arm and name in cfg.evaluation.arms]


def _asked(endpoint: DictConfig) -> str:
    """How a row says who answered: figures of another server are not the named model's."""
    return "zero-shot" if endpoint.base_url is None else f"zero-shot, {urlsplit(endpoint.base_url).netloc}"


def wanted(cfg: DictConfig, rows: list[Arm]) -> set[str]:
    """Stages before `rank` that these rows need: chains come with a model, training with its adapter."""
    names = {"prepare", "split"}
    if cfg.baseline.endpoint:
        names.add("chain")
    if any(arm.target is None for arm in rows):
        names.add("chain")
        if cfg.model.path is None:
            names.add("backbone")
    adapters = {arm.adapter for arm in rows if arm.adapter}
    names |= adapters & {"fit"}
    if "rl" in adapters:
        names.add("rl")
    if cfg.sft.enabled and adapters & {"sft", "rl"}:
        names |= {"think", "sft"}
    return names


def run(cfg: DictConfig, folder: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every stage up to `cfg.until` into `folder`; return the records of metrics.json.

    Raises:
        R2RecError: The configuration, the data or the disk don't allow it.
    """
    check(cfg, NAMES)
    rows = arms(cfg)
    needed = wanted(cfg, rows)
    last = NAMES.index(cfg.until or "report")
    this = Run(cfg, folder, say)
    for stage in STAGES[: last + 1]:
        if stage.name in needed:
            this.make(stage)
        elif stage.name == "rank":
            for arm in rows:
                asks = cfg.baseline.endpoint and arm.method == cfg.baseline.name
                this.rank(ASK if asks else SCORE if arm.target else stage, arm)
    return this.report(rows) if last == NAMES.index("report") else []
