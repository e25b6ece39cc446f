"""What a schema cannot say: combinations that can't work are refused before anything runs."""

import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from inspect import Parameter, signature
from math import inf, isfinite
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError
from r2rec.prompts.cases import LABELS
from r2rec.run.launch import refusals
from r2rec.run.limits import Rules, keys, limits, members

TASKS = ("ranking", "chain_rating", "mix")
ARMS = ("base", "sft", "rl")
DEVICES = ("auto", "cpu", "cuda", "mps")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo")
SCALES = ("group", "batch", "none")
SCHEDULES = ("constant", "linear", "cosine")
FIT_LOSSES = ("softmax", "bpr", "bce")
TRACKERS = ("tensorboard", "wandb")
MODES = ("offline", "online", "disabled")
DTYPES = ("float32", "bfloat16", "float16")
ANSWERS = ("text", "labels")
BESIDE = ("diagnose", "fuse")  # artefacts that an arm leaves beside its ranking
ABOVE_ZERO = (
    "model.max_length", "model.lora.r", "prompt.title_length", "teacher.oversample", "teacher.attempts",
    "sft.epochs", "sft.learning_rate", "sft.batch_size", "sft.micro_batch_size", "sft.save_steps",
    "rl.epochs", "rl.learning_rate", "rl.prompts_per_step", "rl.micro_batch_size", "rl.max_new_tokens",
    "rl.temperature", "rl.top_p", "rl.epsilon", "rl.save_steps",
    "probe.every", "probe.batch_size", "probe.max_new_tokens", "probe.top_p", "diagnostic.users",
)  # fmt: skip
NOT_NEGATIVE = (
    "seed", "prompt.history", "chain_sampler.per_user", "evaluation.min_history",
    "sft.samples", "sft.warmup", "rl.samples", "rl.warmup", "rl.beta", "probe.users", "probe.temperature",
)  # fmt: skip


def check(cfg: DictConfig, stages: tuple[str, ...]) -> None:
    """Refuse an impossible configuration in one line.

    Raises:
        R2RecError: What clashes, and what to change.
    """
    kinds = (
        keys,
        _numbers,
        limits,
        _run,
        members,
        _protocol,
        _training,
        _model,
        _generation,
        _baseline,
        _push,
    )
    for rules in kinds:
        for broken, why in rules(cfg, stages):
            if broken:
                raise R2RecError(why)
    for leaf in _leaves(cfg):
        _check_params(*leaf)
    for name, part in cfg.reward.parts.items():
        _check_reward(str(name), part)


logging.getLogger("hydra.utils").addHandler(
    logging.NullHandler()
)  # or it prints what `_check_params` tells


def _numbers(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    for key in (*ABOVE_ZERO, *NOT_NEGATIVE):
        value, zero = OmegaConf.select(cfg, key), key in NOT_NEGATIVE
        fits = 0 < value < inf or (zero and value == 0)  # nan does not
        yield not fits, f"{key}={value} should be {'0 or more' if zero else 'above 0'}"
    for key in ("users", "items", "ratings_per_user"):
        size = cfg.dataset.params.get(key)
        yield isinstance(size, int) and size < 1, f"dataset.params.{key}={size} should be 1 or more"
    likes = cfg.evaluation.positive_above
    yield not isfinite(likes), f"evaluation.positive_above={likes} should be a rating"


def _run(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    yield cfg.until not in (None, *stages), f"no stage {cfg.until}; there are {', '.join(stages)}"
    forced = (*stages, *BESIDE)
    unknown = [str(s) for s in cfg.force if s not in forced]
    yield bool(unknown), f"no stage {', '.join(unknown)}; there are {', '.join(forced)}"
    device = cfg.hardware.device
    yield device not in DEVICES, f"hardware.device={device}; choose from {', '.join(DEVICES)}"
    yield from refusals(cfg.hardware)
    unknown = [str(name) for name in cfg.logger.report_to if name not in TRACKERS]
    yield (
        bool(unknown),
        f"logger.report_to has {', '.join(unknown)}; choose from {', '.join(TRACKERS)}",
    )
    yield (
        cfg.logger.mode not in MODES,
        f"logger.mode={cfg.logger.mode}; choose from {', '.join(MODES)}",
    )
    yield (
        not 0 < cfg.logger.patience < inf,
        f"logger.patience={cfg.logger.patience} should be above 0",
    )
    share = cfg.noise.params.get("share", 0.0)
    yield (
        isinstance(share, (int, float)) and not 0 <= share <= 1,
        f"noise.params.share={share} should be 0 to 1",
    )
    yield cfg.dataset.name == "same", "dataset=same is for train_on alone; name a data set"
    moved, trains = (
        cfg.train_on.name not in ("same", cfg.dataset.name),
        cfg.sft.enabled or cfg.rl.enabled,
    )
    own = cfg.baseline._target_ is not None or not trains
    yield (
        moved and own,
        f"dataset@train_on={cfg.train_on.name} needs SFT or GRPO to train there; a baseline can't move",
    )
    scorer = cfg.fusion._target_ and not (cfg.fusion.endpoint or cfg.fusion.adapt)
    odd = (
        f"baseline@fusion={cfg.fusion.name} has no scores; choose one that has, e.g. sasrec or ease"
    )
    yield bool(cfg.fusion._target_) and not scorer, odd
    both = f"baseline@fusion={cfg.fusion.name} joins answers of R2Rec; leave baseline={cfg.baseline.name} out"
    yield bool(cfg.fusion._target_ and cfg.baseline._target_), both
    nameless = cfg.dataset.name.startswith("amazon") and not cfg.dataset.category
    yield nameless, "dataset=amazon needs dataset.category, e.g. dataset.category=Office_Products"


def _protocol(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    group = cfg.evaluation
    shown, items = group.negatives + 1, cfg.dataset.params.get("items")
    given = f"evaluation.negatives={group.negatives}"
    yield group.negatives < 1, f"{given}; a positive needs at least one beside it"
    yield (
        shown > len(LABELS),
        f"{given} makes {shown} candidates, but there are {len(LABELS)} labels",
    )
    yield (
        isinstance(items, int) and shown > items,
        f"{given} is more than the world's {items} items have to give",
    )
    yield group.users < 1, f"evaluation.users={group.users}; rank at least one"
    yield (
        group.min_positives < 3,
        "evaluation.min_positives must be 3 or more: test, validation, one to learn from",
    )
    yield group.resamples < 1, "evaluation.resamples must be 1 or more"
    unlearnt = cfg.fusion._target_ is not None and group.validation_users < 1
    yield (
        unlearnt,
        "evaluation.validation_users must be 1 or more: a fusion's weight is learnt on them",
    )
    unknown = [str(arm) for arm in group.arms if arm not in ARMS]
    nobody = cfg.baseline._target_ is None and not group.references and not group.arms
    yield (
        nobody,
        "nobody to rank: evaluation.arms and evaluation.references are empty, and baseline=none",
    )
    yield bool(unknown), f"evaluation.arms has {', '.join(unknown)}; choose from {', '.join(ARMS)}"


def _training(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    sft, rl = cfg.sft, cfg.rl
    processes, strategy = cfg.hardware.processes, cfg.hardware.strategy
    in_parts = processes > 1 and strategy in (
        "fsdp",
        "zero3",
    )  # each forward pass is one of all processes
    asked = in_parts and cfg.probe.users > 0 and (sft.enabled or rl.enabled)
    yield (
        asked,
        f"probe.users={cfg.probe.users}: one process asks, hardware.strategy={strategy} needs all; set it to 0",
    )
    if sft.enabled:
        chains = cfg.chain_sampler._target_ is not None and cfg.chain_sampler.per_user > 0
        yield sft.task not in TASKS, f"sft.task={sft.task}; choose from {', '.join(TASKS)}"
        yield sft.samples < 1, "sft.samples must be 1 or more; leave SFT out with sft=off"
        no_chain = f"sft.task={sft.task} asks about chains, but chain_sampler={cfg.chain_sampler.name} makes none"
        yield sft.task != "ranking" and not chains, no_chain
        unanswered = f"sft.task={sft.task} asks for the last rating of a chain; chain_sampler={cfg.chain_sampler.name} has none"
        yield sft.task != "ranking" and cfg.chain_sampler.name in ("open", "retrieval"), unanswered
        uneven = f"sft.batch_size={sft.batch_size} is not a multiple of sft.micro_batch_size={sft.micro_batch_size}"
        yield sft.batch_size % sft.micro_batch_size != 0, uneven
        uneven = f"sft.batch_size={sft.batch_size} cannot be shared out over hardware.processes={processes}"
        yield sft.batch_size % processes != 0, uneven
    if rl.enabled:
        rollouts, few = rl.prompts_per_step * rl.group_size, rl.samples < rl.prompts_per_step
        yield (
            not cfg.reward.parts,
            "rl needs a reward; choose reward=paper, or leave RL out with rl=off",
        )
        yield rl.group_size < 2, "rl.group_size must be 2 or more: rollouts of a group are compared"
        yield few, f"rl.samples={rl.samples} is less than rl.prompts_per_step={rl.prompts_per_step}"
        made = f"rl.prompts_per_step x rl.group_size = {rollouts}"
        uneven = f"{made} is not a multiple of rl.micro_batch_size={rl.micro_batch_size}"
        yield rollouts % rl.micro_batch_size != 0, uneven
        yield (
            rollouts % processes != 0,
            f"{made} cannot be shared out over hardware.processes={processes}",
        )
        each = rollouts // processes
        apart = in_parts and each % rl.group_size != 0 and rl.group_size % each != 0
        fit = f"a multiple of rl.group_size={rl.group_size}, or divide it, under hardware.strategy={strategy}"
        yield apart, f"{made} is {each} for each of {processes} processes, which should be {fit}"
        yield rl.loss not in LOSSES, f"rl.loss={rl.loss}; choose from {', '.join(LOSSES)}"
        yield (
            rl.scale_rewards not in SCALES,
            f"rl.scale_rewards={rl.scale_rewards}; choose from {', '.join(SCALES)}",
        )
        yield (
            rl.schedule not in SCHEDULES,
            f"rl.schedule={rl.schedule}; choose from {', '.join(SCHEDULES)}",
        )


def _model(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    longest, name = cfg.model.max_length, cfg.model.name
    yield (
        cfg.model.path is None and cfg.model.tiny is None,
        f"model={name} has neither model.path nor model.tiny",
    )
    yield (
        cfg.model.dtype not in DTYPES,
        f"model.dtype={cfg.model.dtype}; choose from {', '.join(DTYPES)}",
    )
    if cfg.rl.enabled:
        new = cfg.rl.max_new_tokens
        yield (
            new >= longest,
            f"rl.max_new_tokens={new} leaves no room for a prompt in model.max_length={longest}",
        )


def _generation(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    yield from _engine("generation", cfg.generation, cfg.model.max_length)
    crowd = cfg.generation.name == "vllm" and cfg.hardware.processes > 1
    yield (
        crowd,
        "generation=vllm is one process's; with hardware.processes above 1 use hf, or openai (`vllm serve`)",
    )
    absent = (
        cfg.generation.name == "vllm"
        and cfg.until in (None, "rank", "report")
        and find_spec("vllm") is None
    )
    yield absent, "generation=vllm needs pip install 'r2rec[vllm]'; without, use generation=hf"
    if taught := cfg.teacher.generation:
        yield from _engine(
            "teacher.generation", taught, (cfg.teacher.model or cfg.model).max_length
        )
        yield (
            taught.by != "text" or taught.constrained,
            "teacher.generation: a teacher writes freely, by=text",
        )
    spec, server, name = cfg.generation, cfg.generation.endpoint, cfg.generation.name
    first = "generation.by=labels asks which label comes first, not for a thought: add prompt=no_reasoning"
    yield spec.by == "labels" and cfg.prompt.reasoning, first
    trained = [arm for arm in ("sft", "rl") if cfg[arm].enabled and arm in cfg.evaluation.arms]
    ranked = bool(server) and cfg.baseline._target_ is None and bool(trained)
    yield (
        ranked,
        f"generation={name} asks a server, which has no adapter trained here: add evaluation.arms=[base]",
    )


def _engine(where: str, spec: DictConfig, longest: int) -> Rules:
    """Rules on one way of generating, for a model of so many tokens."""
    for key, least in (("batch_size", 1), ("max_new_tokens", 1), ("orders", 1), ("temperature", 0)):
        yield not least <= spec[key] < inf, f"{where}.{key}={spec[key]} should be {least} or more"
    yield not 0 < spec.top_p <= 1, f"{where}.top_p={spec.top_p} should be above 0, and at most 1"
    yield spec.by not in ANSWERS, f"{where}.by={spec.by}; choose from {', '.join(ANSWERS)}"
    yield (
        spec.by == "labels" and spec.constrained,
        f"{where}.by=labels writes no answer to be constrained",
    )
    if spec.endpoint:
        cannot = f"{where}={spec.name} asks a server"
        yield (
            spec.constrained,
            f"{cannot}, which can't name each label once: leave {where}.constrained out",
        )
        yield (
            spec.by == "labels",
            f"{cannot}, which gives no probabilities of labels: leave {where}.by out",
        )
        yield from _endpoint(f"{where}.endpoint", spec.endpoint)
    else:
        new, full = (
            spec.max_new_tokens,
            f"leaves no room for a prompt in model.max_length={longest}",
        )
        yield new >= longest, f"{where}.max_new_tokens={new} {full}"


def _endpoint(where: str, asked: DictConfig) -> Rules:
    for key in ("ceiling", "concurrency", "timeout", "backoff"):
        yield not 0 < asked[key] < inf, f"{where}.{key}={asked[key]} should be above 0"
    for key in ("dollars_in", "dollars_out", "retries"):
        yield not 0 <= asked[key] < inf, f"{where}.{key}={asked[key]} should be 0 or more"


def _baseline(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    spec, asked, tuned = cfg.baseline.fit, cfg.baseline.endpoint, cfg.baseline.adapt
    if tuned is not None:
        for key in (
            "samples",
            "negatives",
            "epochs",
            "learning_rate",
            "batch_size",
            "batch_tokens",
            "save_steps",
        ):
            yield not 0 < tuned[key] < inf, f"baseline.adapt.{key}={tuned[key]} should be above 0"
        yield (
            not 0 <= tuned.warmup < 1,
            f"baseline.adapt.warmup={tuned.warmup} should be 0 or more, and below 1",
        )
        vectors = cfg.baseline.vectors
        yield (
            vectors is not None and vectors.fit is None,
            "baseline.vectors needs a fitted baseline, e.g. sasrec",
        )
        bound = f"baseline={cfg.baseline.name} reads vectors of this run's items; model.adapter can't bring it along"
        yield vectors is not None and cfg.model.adapter is not None, bound
    if asked is not None:
        yield from _endpoint("baseline.endpoint", asked)
    spec = cfg.baseline.vectors.fit if cfg.baseline.vectors else spec
    if spec is None:
        return
    for key in ("batch_size", "least_steps", "learning_rate", "epochs", "patience"):
        yield not 0 < spec[key] < inf, f"baseline.fit.{key}={spec[key]} should be above 0"
    for key in ("negatives", "weight_decay"):
        yield not 0 <= spec[key] < inf, f"baseline.fit.{key}={spec[key]} should be 0 or more"
    yield (
        spec.loss not in FIT_LOSSES,
        f"baseline.fit.loss={spec.loss}; choose from {', '.join(FIT_LOSSES)}",
    )
    few = f"baseline.fit.loss={spec.loss} compares with drawn items; give baseline.fit.negatives=1 or more"
    yield spec.loss != "softmax" and spec.negatives == 0, few


def _push(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    if cfg.push_to_hub is None:
        return
    needs = f"push_to_hub={cfg.push_to_hub} needs"
    yield not os.environ.get("HF_TOKEN"), f"{needs} a token: set the environment variable HF_TOKEN"
    own = cfg.baseline.adapt if cfg.baseline._target_ else (cfg.sft.enabled or cfg.rl.enabled)
    yield not own, f"{needs} an adapter, and this run trains none"
    last = cfg.until and stages.index(cfg.until)
    trained = "adapt" if cfg.baseline._target_ else "rl" if cfg.rl.enabled else "sft"
    yield bool(cfg.until) and last < stages.index(trained), f"{needs} until={trained} or later"


def _leaves(cfg: DictConfig) -> Iterator[tuple[str, str, DictConfig, int]]:
    """(where, dotted path, params, how many arguments the pipeline gives) of each leaf in use."""
    teacher = 4 if cfg.teacher.generation else 3
    scorer = 1 if cfg.baseline.fit else 3 if cfg.baseline.endpoint else 4
    if cfg.fusion._target_:
        yield "fusion", cfg.fusion._target_, cfg.fusion.params, 1 if cfg.fusion.fit else 4
    if cfg.baseline.vectors:
        yield "baseline.vectors", cfg.baseline.vectors._target_, cfg.baseline.vectors.params, 1
    given_to = {
        "dataset": 2,
        "noise": 4,
        "teacher": teacher,
        "chain_sampler": 4,
        "baseline": scorer,
    }
    for group, given in given_to.items():
        if cfg[group]._target_ is not None:
            yield group, cfg[group]._target_, cfg[group].params, given
    for name, part in cfg.reward.parts.items():
        yield f"reward.parts.{name!s}", part._target_, part.params, 1
    yield "generation", cfg.generation._target_, OmegaConf.create(), 1
    for name, target in cfg.evaluation.references.items():
        yield f"evaluation.references.{name}", target, OmegaConf.create(), 4


def _check_params(where: str, target: str, params: DictConfig, given: int) -> None:
    try:
        found = get_method(target)
        called = signature(found)
    except Exception as error:
        raise R2RecError(
            f"{where}._target_={target} cannot be imported: {' '.join(str(error).split())}"
        ) from error
    parameters = list(called.parameters.values())
    known = {p.name: p.annotation for p in parameters[given:]}
    free = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    for name, value in {str(key): value for key, value in params.items()}.items():
        if name not in known and not free:
            raise R2RecError(
                f"{where}.params.{name}: {target} takes {', '.join(known) or 'no options'}"
            )
        if not _fits(value, known.get(name, Any)):
            raise R2RecError(
                f"{where}.params.{name}={value} should be of type {known[name].__name__}"
            )
    if isinstance(found, type) and given > 1:
        raise R2RecError(
            f"{where}._target_={target} is a class; name a function, or give a model its `fit`"
        )
    try:
        whole = called.bind if given > 1 else called.bind_partial  # a reward's columns come by name
        whole(*[None] * given, **{str(key): value for key, value in params.items()})
    except TypeError as error:
        raise R2RecError(
            f"{where}._target_={target} can't be called as a {where} is: {error}"
        ) from error


def _check_reward(name: str, part: DictConfig) -> None:
    """Ask for the rewards of no completions: one of ours then says what it can't be given."""
    if part._target_.startswith("r2rec."):
        reward = get_method(part._target_)
        columns = {"positive": [], "n_candidates": [], "reasoned": True}
        known = {
            key: value for key, value in columns.items() if key in signature(reward).parameters
        }
        try:
            reward([], **known, **{str(key): value for key, value in part.params.items()})
        except (TypeError, ValueError) as error:
            raise R2RecError(f"reward.parts.{name}.params: {error}") from error


def _fits(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return kind not in (str, bool) or isinstance(value, kind)
