"""What a schema cannot say: combinations that can't work are refused before anything runs."""

import logging
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from inspect import Parameter, signature
from math import inf, isfinite
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from r2rec.errors import R2RecError
from r2rec.prompts.cases import LABELS

TASKS = ("ranking", "chain_rating", "mix")
ARMS = ("base", "sft", "rl")
DEVICES = ("auto", "cpu", "cuda", "mps")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo")
SCALES = ("group", "batch", "none")
FIT_LOSSES = ("softmax", "bpr", "bce")
TRACKERS = ("tensorboard", "wandb")
DTYPES = ("float32", "bfloat16", "float16")
ABOVE_ZERO = (
    "model.max_length", "model.lora.r", "prompt.title_length", "teacher.oversample",
    "sft.epochs", "sft.learning_rate", "sft.batch_size", "sft.micro_batch_size", "sft.save_steps",
    "rl.epochs", "rl.learning_rate", "rl.prompts_per_step", "rl.micro_batch_size", "rl.max_new_tokens",
    "rl.temperature", "rl.top_p", "rl.epsilon", "rl.save_steps",
    "generation.batch_size", "generation.max_new_tokens", "generation.top_p",
    "probe.every", "probe.batch_size", "probe.max_new_tokens", "probe.top_p",
)  # fmt: skip
NOT_NEGATIVE = (
    "seed", "prompt.history", "chain_sampler.per_user", "evaluation.min_history", "generation.temperature",
    "sft.samples", "sft.warmup", "rl.samples", "rl.warmup", "rl.beta", "probe.users", "probe.temperature",
)  # fmt: skip


def check(cfg: DictConfig, stages: tuple[str, ...]) -> None:
    """Refuse an impossible configuration in one line.

    Raises:
        R2RecError: What clashes, and what to change.
    """
    for rules in (_keys, _numbers, _run, _protocol, _training, _model, _baseline):
        for broken, why in rules(cfg, stages):
            if broken:
                raise R2RecError(why)
    for leaf in _leaves(cfg):
        _check_params(*leaf)


Rules = Iterator[tuple[bool, str]]

logging.getLogger("hydra.utils").addHandler(logging.NullHandler())  # or it prints what `_check_params` tells


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


def _keys(cfg: DictConfig, stages: tuple[str, ...], where: str = "") -> Rules:
    """`+key=value` and `++key=value` make Hydra add what a schema does not know."""
    kind = OmegaConf.get_type(cfg)
    for key in map(str, cfg):
        known = {f.name for f in fields(kind)} if is_dataclass(kind) else {key}
        yield key not in known, f"{where}{key} is no key; there are {', '.join(sorted(known))}"
        if not OmegaConf.is_missing(cfg, key) and OmegaConf.is_dict(cfg[key]):
            yield from _keys(cfg[key], stages, f"{where}{key}.")


def _run(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    unknown = [str(s) for s in [cfg.until, *cfg.force] if s is not None and s not in stages]
    yield bool(unknown), f"no stage {', '.join(unknown)}; there are {', '.join(stages)}"
    device = cfg.hardware.device
    yield device not in DEVICES, f"hardware.device={device}; choose from {', '.join(DEVICES)}"
    several = cfg.hardware.processes != 1
    yield several, f"hardware.processes={cfg.hardware.processes}: several processes are not supported yet; give 1"
    unknown = [name for name in cfg.logger.report_to if name not in TRACKERS]
    yield bool(unknown), f"logger.report_to has {', '.join(unknown)}; choose from {', '.join(TRACKERS)}"
    nameless = cfg.dataset.name.startswith("amazon") and not cfg.dataset.category
    yield nameless, "dataset=amazon needs dataset.category, e.g. dataset.category=Office_Products"


def _protocol(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    group = cfg.evaluation
    shown, items = group.negatives + 1, cfg.dataset.params.get("items")
    given = f"evaluation.negatives={group.negatives}"
    yield group.negatives < 1, f"{given}; a positive needs at least one beside it"
    yield shown > len(LABELS), f"{given} makes {shown} candidates, but there are {len(LABELS)} labels"
    yield isinstance(items, int) and shown > items, f"{given} is more than the world's {items} items have to give"
    yield group.users < 1, f"evaluation.users={group.users}; rank at least one"
    yield group.min_positives < 3, "evaluation.min_positives must be 3 or more: test, validation, one to learn from"
    yield group.resamples < 1, "evaluation.resamples must be 1 or more"
    unknown = [arm for arm in group.arms if arm not in ARMS]
    nobody = cfg.baseline._target_ is None and not group.references and not group.arms
    yield nobody, "nobody to rank: evaluation.arms and evaluation.references are empty, and baseline=none"
    yield bool(unknown), f"evaluation.arms has {', '.join(unknown)}; choose from {', '.join(ARMS)}"


def _training(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    sft, rl = cfg.sft, cfg.rl
    if sft.enabled:
        chains = cfg.chain_sampler._target_ is not None and cfg.chain_sampler.per_user > 0
        yield sft.task not in TASKS, f"sft.task={sft.task}; choose from {', '.join(TASKS)}"
        yield sft.samples < 1, "sft.samples must be 1 or more; leave SFT out with sft=off"
        no_chain = f"sft.task={sft.task} asks about chains, but chain_sampler={cfg.chain_sampler.name} makes none"
        yield sft.task != "ranking" and not chains, no_chain
        unanswered = f"sft.task={sft.task} asks for the last rating of a chain, which chain_sampler=open does not have"
        yield sft.task != "ranking" and cfg.chain_sampler.name == "open", unanswered
        uneven = f"sft.batch_size={sft.batch_size} is not a multiple of sft.micro_batch_size={sft.micro_batch_size}"
        yield sft.batch_size % sft.micro_batch_size != 0, uneven
    if rl.enabled:
        rollouts, few = rl.prompts_per_step * rl.group_size, rl.samples < rl.prompts_per_step
        yield not cfg.reward.parts, "rl needs a reward; choose reward=paper, or leave RL out with rl=off"
        yield rl.group_size < 2, "rl.group_size must be 2 or more: rollouts of a group are compared"
        yield few, f"rl.samples={rl.samples} is less than rl.prompts_per_step={rl.prompts_per_step}"
        made = f"rl.prompts_per_step x rl.group_size = {rollouts}"
        uneven = f"{made} is not a multiple of rl.micro_batch_size={rl.micro_batch_size}"
        yield rollouts % rl.micro_batch_size != 0, uneven
        yield rl.loss not in LOSSES, f"rl.loss={rl.loss}; choose from {', '.join(LOSSES)}"
        yield rl.scale_rewards not in SCALES, f"rl.scale_rewards={rl.scale_rewards}; choose from {', '.join(SCALES)}"


def _model(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    longest, name = cfg.model.max_length, cfg.model.name
    yield cfg.model.path is None and cfg.model.tiny is None, f"model={name} has neither model.path nor model.tiny"
    yield cfg.model.dtype not in DTYPES, f"model.dtype={cfg.model.dtype}; choose from {', '.join(DTYPES)}"
    for group in ("rl", "generation") if cfg.rl.enabled else ("generation",):
        new = cfg[group].max_new_tokens
        yield new >= longest, f"{group}.max_new_tokens={new} leaves no room for a prompt in model.max_length={longest}"


def _baseline(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    spec, asked = cfg.baseline.fit, cfg.baseline.endpoint
    if asked is not None:
        for key in ("ceiling", "concurrency", "timeout", "backoff"):
            yield not 0 < asked[key] < inf, f"baseline.endpoint.{key}={asked[key]} should be above 0"
        for key in ("dollars_in", "dollars_out", "retries"):
            yield not 0 <= asked[key] < inf, f"baseline.endpoint.{key}={asked[key]} should be 0 or more"
    if spec is None:
        return
    for key in ("batch_size", "learning_rate", "epochs", "patience"):
        yield not 0 < spec[key] < inf, f"baseline.fit.{key}={spec[key]} should be above 0"
    for key in ("negatives", "weight_decay"):
        yield not 0 <= spec[key] < inf, f"baseline.fit.{key}={spec[key]} should be 0 or more"
    yield spec.loss not in FIT_LOSSES, f"baseline.fit.loss={spec.loss}; choose from {', '.join(FIT_LOSSES)}"
    few = f"baseline.fit.loss={spec.loss} compares with drawn items; give baseline.fit.negatives=1 or more"
    yield spec.loss != "softmax" and spec.negatives == 0, few


def _leaves(cfg: DictConfig) -> Iterator[tuple[str, str, DictConfig, int]]:
    """(where, dotted path, params, how many arguments the pipeline gives) of each leaf in use."""
    scorer = 1 if cfg.baseline.fit else 3 if cfg.baseline.endpoint else 4
    for group, given in (("dataset", 2), ("teacher", 3), ("chain_sampler", 4), ("baseline", scorer)):
        if cfg[group]._target_ is not None:
            yield group, cfg[group]._target_, cfg[group].params, given
    for name, part in cfg.reward.parts.items():
        yield f"reward.parts.{name!s}", part._target_, part.params, 1
    yield "generation", cfg.generation._target_, OmegaConf.create(), 5
    for name, target in cfg.evaluation.references.items():
        yield f"evaluation.references.{name}", target, OmegaConf.create(), 4


def _check_params(where: str, target: str, params: DictConfig, given: int) -> None:
    try:
        parameters = list(signature(get_method(target)).parameters.values())
    except Exception as error:
        raise R2RecError(f"{where}._target_={target} cannot be imported: {' '.join(str(error).split())}") from error
    known = {p.name: p.annotation for p in parameters[given:]}
    free = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    for name, value in {str(key): value for key, value in params.items()}.items():
        if name not in known and not free:
            raise R2RecError(f"{where}.params.{name}: {target} takes {', '.join(known) or 'no options'}")
        if not _fits(value, known.get(name, Any)):
            raise R2RecError(f"{where}.params.{name}={value} should be of type {known[name].__name__}")


def _fits(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return kind not in (str, bool) or isinstance(value, kind)
