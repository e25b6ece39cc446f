"""Whether functions named by `_target_` can be imported, and called with their params."""

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature, signature
from math import inf, isfinite
from pathlib import Path
from typing import Any

from hydra.utils import get_method

from r2rec.base.errors import R2RecError
from r2rec.config import Config, RewardPart
from r2rec.execution.own_folders import own_folders

# Smallest values of params of functions that ship with this package, by name.
LEAST = {
    "dim": 1,
    "length": 1,
    "window": 1,
    "layers": 1,
    "blocks": 1,
    "heads": 1,
    "hidden": 1,
    "horizontal": 1,
    "vertical": 1,
    "neighbours": 1,
    "recent": 1,
    "targets": 1,
    "taste": 0,
    "witness": 0,
    "shrink": 0,
    "kept": 0,
    "seed": 0,
}
ATTACKS = ("random", "average", "bandwagon")
REWARD_COLUMNS: Mapping[str, Any] = {
    "positive": [],
    "n_candidates": [],
    "cases": [],
    "reasoned": True,
}


@dataclass(frozen=True)
class Leaf:
    """A function that users can swap, and how it is called."""

    where: str  # its place in the configuration, e.g. "baseline"
    target: str
    arguments: tuple[str, ...]  # what the pipeline passes by position
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The word for it in messages: "reward" for "reward.parts.step"."""
        return self.where.split(".")[0]


SCORER: tuple[str, ...] = ("train", "users", "candidates", "rng")
MODULE: tuple[str, ...] = ("data",)
COUNTER: tuple[str, ...] = ("cases", "prompt")
REWARD: tuple[str, ...] = ("completions",)
NOISE: tuple[str, ...] = ("train", "n_users", "n_items", "rng")
SAMPLER: tuple[str, ...] = ("graph", "queries", "per_query", "rng")
WRITER: tuple[str, ...] = ("cases", "answers", "seed")
TEACHER: tuple[str, ...] = ("case", "answer", "prompt", "words")
ENDPOINT: tuple[str, ...] = ("case", "prompt", "words")
QUESTION: tuple[str, ...] = ("case", "prompt", "words")
VIEWER: tuple[str, ...] = ("view", "texts", "prompt", "words")
DIAGNOSTIC: tuple[str, ...] = ("arm", "rng")


def leaves(config: Config) -> Iterator[Leaf]:
    """All leaves that a configuration names."""
    data = config.dataset
    yield Leaf("dataset", data._target_, ("root", "category"), data.params)
    noise = config.noise
    if noise._target_ is not None:
        yield Leaf("noise", noise._target_, NOISE, noise.params)
    sampler = config.chain_sampler
    if sampler._target_ is not None:
        yield Leaf("chain_sampler", sampler._target_, SAMPLER, sampler.params)
    teacher = config.teacher
    writes = TEACHER if teacher.generation else WRITER
    yield Leaf("teacher", teacher._target_, writes, teacher.params)
    yield from _methods(config)
    for name, part in config.reward.parts.items():
        yield Leaf(f"reward.parts.{name}", part._target_, REWARD, part.params)
    diagnostic = config.diagnostic
    if diagnostic._target_ is not None:
        yield Leaf("diagnostic", diagnostic._target_, DIAGNOSTIC, diagnostic.params)
    yield Leaf("generation", config.generation._target_, ("setup",))


def _methods(config: Config) -> Iterator[Leaf]:
    """The baselines among the leaves."""
    baseline = config.baseline
    if baseline._target_ is not None:
        arguments = SCORER
        if baseline.fit:
            arguments = MODULE
        elif baseline.endpoint:
            arguments = ENDPOINT
        elif baseline.adapt:
            arguments = QUESTION if baseline.adapt.cases else VIEWER
        elif baseline.count:
            arguments = COUNTER
        yield Leaf("baseline", baseline._target_, arguments, baseline.params)
    vectors = baseline.vectors
    if vectors and vectors._target_ is not None:
        yield Leaf("baseline.vectors", vectors._target_, MODULE, vectors.params)
    fusion = config.fusion
    if fusion._target_ is not None:
        arguments = MODULE if fusion.fit else SCORER
        yield Leaf("fusion", fusion._target_, arguments, fusion.params)
    witness = config.witness
    if witness._target_ is not None and witness.fit:
        yield Leaf("witness", witness._target_, MODULE, witness.params)
    for name, counter in config.counters.items():
        if counter._target_ is not None:
            yield Leaf(f"counters.{name}", counter._target_, COUNTER, counter.params)
    for name, target in config.evaluation.references.items():
        yield Leaf(f"evaluation.references.{name}", target, SCORER)


def leaf_rules(config: Config) -> Iterator[str]:
    """What is wrong with the leaves of a configuration."""
    # Hydra logs what `get_method` fails on, but the message below tells it.
    logging.getLogger("hydra.utils").addHandler(logging.NullHandler())
    for leaf in leaves(config):
        yield from _call_rules(leaf)
        yield from _range_rules(leaf)
    train_on = Leaf("train_on", config.train_on._target_, (), config.train_on.params)
    yield from _range_rules(train_on)
    for name, part in config.reward.parts.items():
        yield from _reward_rules(name, part)


def _range_rules(leaf: Leaf) -> Iterator[str]:
    """Bounds of params by name; a user's own function may use these names for anything finite."""
    numbers = {name: value for name, value in leaf.params.items() if _is_number(value)}
    where = f"{leaf.where}.params"
    for name, value in numbers.items():
        if not isfinite(value):
            yield f"{where}.{name}={value} should be finite"
    if not leaf.target.startswith("r2rec."):
        return
    for name, least in LEAST.items():
        value = numbers.get(name, least)
        if not least <= value < inf:
            yield f"{where}.{name}={value} should be {least} or more"
    dropout = numbers.get("dropout", 0)
    if not 0 <= dropout < 1:
        yield f"{where}.dropout={dropout} should be 0 or more, and below 1"
    ridge = numbers.get("regularisation", 1)
    if not ridge > 0:
        yield f"{where}.regularisation={ridge} should be above 0"
    dim = numbers.get("dim")
    heads = numbers.get("heads", 1)
    if dim is not None and heads and dim % heads != 0:
        yield f"{where}.dim={dim} should be a multiple of {where}.heads={heads}"
    kind = leaf.params.get("kind")
    if kind is not None and kind not in ATTACKS:
        yield f"{where}.kind={kind}; choose from {', '.join(ATTACKS)}"


def _hidden(target: str) -> str:
    """What hides the user's own module: one of the same name that Python found first."""
    name = target.partition(".")[0]
    found = getattr(sys.modules.get(name), "__file__", None)
    for folder in own_folders():
        own = folder / f"{name}.py"
        if found and own.is_file() and own != Path(found):
            return f"; {own} is hidden by {found}: give it another name"
    return ""


def _call_rules(leaf: Leaf) -> Iterator[str]:
    """Whether the pipeline can call the function with its arguments and params."""
    try:
        function = get_method(leaf.target)
        called = signature(function)
    except Exception as error:
        reason = " ".join(str(error).split())
        hidden = _hidden(leaf.target)
        yield f"{leaf.where}._target_={leaf.target} cannot be imported: {reason}{hidden}"
        return
    yield from _param_rules(leaf, called)
    by_position = len(leaf.arguments)
    if isinstance(function, type) and by_position > 1:
        yield (
            f"{leaf.where}._target_={leaf.target} is a class; name a function, "
            "or give a model its `fit`"
        )
    # A reward's other columns come by name, and a module's data are one argument.
    bind = called.bind if by_position > 1 else called.bind_partial
    try:
        bind(*[None] * by_position, **leaf.params)
    except TypeError as error:
        yield (
            f"{leaf.where}._target_={leaf.target} can't be called as a {leaf.kind} is: {error}; "
            f"it is called as ({', '.join(leaf.arguments)}, **params)"
        )


def _param_rules(leaf: Leaf, called: Signature) -> Iterator[str]:
    """Unknown params, and params of another type than the function declares."""
    parameters = list(called.parameters.values())
    options = {spec.name: spec.annotation for spec in parameters[len(leaf.arguments) :]}
    if leaf.arguments == SCORER:
        options.pop("times", None)  # of `evaluation.temporal`, given by the pipeline
    takes_any = any(spec.kind is Parameter.VAR_KEYWORD for spec in parameters)
    for name, value in leaf.params.items():
        if name not in options and not takes_any:
            names = ", ".join(options) or "no options"
            yield f"{leaf.where}.params.{name}: {leaf.target} takes {names}"
        elif not _fits(value, options.get(name, Any)):
            kind = options[name].__name__
            yield f"{leaf.where}.params.{name}={value} should be of type {kind}"


def _reward_rules(name: str, part: RewardPart) -> Iterator[str]:
    """Call a reward of this package on no completions: it then says which params it refuses."""
    if not part._target_.startswith("r2rec."):
        return
    reward = get_method(part._target_)
    accepted = signature(reward).parameters
    columns = {key: value for key, value in REWARD_COLUMNS.items() if key in accepted}
    try:
        reward([], **columns, **part.params)
    except (TypeError, ValueError, R2RecError) as error:
        yield f"reward.parts.{name}.params: {error}"


def _fits(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
