"""The method in order, as a table: what each stage makes, from what, and which choices it depends on."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf

from r2rec import track
from r2rec.check import check
from r2rec.provenance import scrubbed
from r2rec.runner import Run, Stage
from r2rec.train.card import about
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
            "baseline.endpoint",
            "evaluation.positive_above",
        ),
        keeps=("checkpoints",),
    ),
    Stage(
        "chain",
        "r2rec.chains.chain:chain",
        needs=("prepare", "split"),
        choices=("seed", "chain_sampler"),
    ),
    Stage(
        "backbone",
        "r2rec.llm.tiny:backbone",
        choices=("model.tiny",),
        keeps=("checkpoints",),
        version=3,
    ),
    Stage(
        "think",
        "r2rec.thoughts.think:think",
        needs=("prepare", "split"),
        choices=(*TASK, "teacher", "sft.samples", "sft.task"),
        version=4,
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
TRAINED = ("sft", "rl", "adapt")  # the last of them is what a run can push

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
    choices=(
        "seed",
        "dataset.words",
        "prompt",
        "evaluation.users",
        "evaluation.positive_above",
        "model",
        "baseline.adapt.batch_tokens",
    ),
)

# What an arm that writes is asked beyond its ranking.
DIAGNOSE = Stage(
    "diagnose",
    "r2rec.evaluate.diagnose:diagnose",
    needs=("prepare", "split", "chain", "backbone"),
    choices=(
        "seed", "dataset.words", "prompt", "evaluation.users", "evaluation.positive_above", "generation", "model",
        "diagnostic",
    ),
)  # fmt: skip

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
        if cfg.baseline.adapt:
            fitted, variant = (None, _given(cfg.model.adapter)) if cfg.model.adapter else ("adapt", cfg.model.name)
        return [*plain, Arm(cfg.baseline.name, variant, fitted, cfg.baseline._target_, params)]
    after_rl = ("R2Rec", "sft+rl") if cfg.sft.enabled else ("R2Rec without SFT", "rl")
    trained = {
        "base": _base(cfg),
        "sft": Arm("R2Rec without RL", "sft", adapter="sft") if cfg.sft.enabled else None,
        "rl": Arm(*after_rl, adapter="rl") if cfg.rl.enabled else None,
    }
    return plain + [arm for name, arm in trained.items() if arm and name in cfg.evaluation.arms]


def _base(cfg: DictConfig) -> Arm:
    """The model as it is given: bare, with an adapter from elsewhere, or behind a server."""
    if server := cfg.generation.endpoint:
        return Arm("backbone", f"{server.model}, {_asked(server).removeprefix('zero-shot, ')}")
    return Arm("adapter", _given(cfg.model.adapter)) if cfg.model.adapter else Arm("backbone", "base")


def _asked(endpoint: DictConfig) -> str:
    """How a row says who answered: figures of another server are not the named model's."""
    return "zero-shot" if endpoint.base_url is None else f"zero-shot, {urlsplit(endpoint.base_url).netloc}"


def _given(adapter: str) -> str:
    """How a row names an adapter that was trained elsewhere: by what its card says of it, or by its name."""
    if said := about(adapter):
        return f"{said['stage']} on {said['dataset']}"
    return Path(adapter).name if Path(adapter).is_dir() else adapter


def wanted(cfg: DictConfig, rows: list[Arm]) -> set[str]:
    """Stages before `rank` that these rows need: chains come with a model, training with its adapter."""
    names = {"prepare", "split"}
    if cfg.baseline.endpoint:
        names.add("chain")
    asks_model = any(arm.target is None for arm in rows)
    if asks_model:
        names.add("chain")
    if ((asks_model and not cfg.generation.endpoint) or cfg.baseline.adapt) and cfg.model.path is None:
        names.add("backbone")
    adapters = {arm.adapter for arm in rows if arm.adapter}
    names |= adapters & {"fit", "adapt"}
    if cfg.baseline.vectors:
        names.add("fit")
    if "rl" in adapters:
        names.add("rl")
    if cfg.sft.enabled and adapters & {"sft", "rl"}:
        names |= {"think", "sft"}
    return names


def rooted(cfg: DictConfig) -> DictConfig:
    """The configuration with `roots` where data sets have no folder of their own."""
    cfg = cfg.copy()
    for data in (cfg.dataset, cfg.train_on):
        data.root = data.root or cfg.roots.get(data.name)
    return cfg


def thinking(stage: Stage, cfg: DictConfig) -> Stage:
    """Stage `think` with the weights that its teacher reads, the run's own or another model's; other stages as are."""
    teacher = cfg.teacher
    if stage.name != "think" or not teacher.generation or teacher.generation.endpoint:
        return stage
    own = () if teacher.model else ("model",)
    return stage._replace(needs=(*stage.needs, "backbone"), choices=(*stage.choices, *own))


def run(cfg: DictConfig, folder: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every stage up to `cfg.until` into `folder`; return the records of metrics.json.

    Raises:
        R2RecError: The configuration, the data or the disk don't allow it.
    """
    cfg = rooted(cfg)
    check(cfg, NAMES)
    this = Run(cfg, folder, say)
    with track.tracking(cfg, scrubbed(this.plain), folder, say):
        return _stages(this, cfg, say)


def _stages(this: Run, cfg: DictConfig, say: Callable[[str], None]) -> list[dict[str, Any]]:
    rows = arms(cfg)
    needed = wanted(cfg, rows)
    last = NAMES.index(cfg.until or "report")
    if cfg.train_on.name not in ("same", cfg.dataset.name):
        for stage in (thinking(s, cfg) for s in STAGES[: NAMES.index("rl") + 1]):
            if stage.name in needed - {"chain", "fit"}:
                this.make(stage, {"dataset": this.plain["train_on"]})
        this.move()
        needed -= {"think", "sft", "rl"}
    for stage in (thinking(s, cfg) for s in STAGES[: last + 1]):
        if stage.name in needed:
            fitted = this.plain["baseline"]["vectors"] if stage.name == "fit" else None
            this.make(stage, {"baseline": fitted} if fitted else {})
        elif stage.name == "rank":
            for arm in rows:
                own = arm.target and arm.method == cfg.baseline.name
                how = ASK if own and cfg.baseline.endpoint else CHOOSE if own and cfg.baseline.adapt else SCORE
                this.rank(how if arm.target else stage, arm)
                if cfg.diagnostic._target_ and arm.target is None:
                    this.diagnose(DIAGNOSE, arm)
    if cfg.push_to_hub:
        trained = [name for name in TRAINED if name in this.made]
        say(f"pushed {trained[-1]} to {push(this.made[trained[-1]].path, cfg.push_to_hub)}")
    return this.report(rows) if last == NAMES.index("report") else []
