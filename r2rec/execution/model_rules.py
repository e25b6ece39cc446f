"""Backbones that cannot be used as they are configured, or not in a lifetime."""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from r2rec.config import Config, Model
from r2rec.llm import packaged

MIN_VOCABULARY = 263  # all bytes, and the tokens that a template and a thought need
LARGE = 2.0  # billions of weights that a CPU trains or asks for days
BYTES_OF_WEIGHT = 2  # in the files of most models
SIZE = re.compile(r"(?<![A-Za-z\d.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z\d])", re.IGNORECASE)

Rules = Iterator[str]


def with_packaged(config: Config) -> Config:
    """The configuration with the file of an installed package for a hub id that it carries."""
    model = replace(config.model, path=packaged.located(config.model.path))
    return replace(config, model=model)


def model_rules(config: Config) -> Rules:
    """The backbone: where it is, and whether a tiny one can be built."""
    model = config.model
    if model.path is None and model.tiny is None:
        yield f"model={model.name} has neither model.path nor model.tiny"
    folders = {"model.adapter": model.adapter}
    if not model.packed:
        folders["model.path"] = model.path
    for name, place in folders.items():
        if place and Path(place).is_absolute() and not Path(place).is_dir():  # not a hub id
            yield f"{name}={place}: No such file or directory; give a folder or a hub id"
    if model.packed and not Path(str(model.path)).is_file():
        yield f"model.path={model.path}: No such file; give a GGUF file of this machine"
    elif model.packed and find_spec("gguf") is None:
        yield f"model.path={model.path} needs pip install 'r2rec[gguf]', or weights in safetensors"
    if model.architecture and "vllm" in (config.generation.name, config.hardware.rollouts):
        yield (
            f"model={model.name} has random weights, which vLLM cannot be given: it would load "
            "those of model.path; use generation=hf hardware.rollouts=hf"
        )
    tiny = model.tiny
    if tiny:
        if tiny.vocabulary < MIN_VOCABULARY:
            yield f"model.tiny.vocabulary={tiny.vocabulary} should be {MIN_VOCABULARY} or more"
        if tiny.hidden % (2 * tiny.heads) != 0:  # a head rotates its numbers in pairs
            yield (
                f"model.tiny.hidden={tiny.hidden} should be a multiple of "
                f"2 x model.tiny.heads={tiny.heads}"
            )


def size_rules(config: Config) -> Rules:
    """Models that are too large for the device, and limits that cut their thoughts."""
    for where, model, limits in _asked(config):
        size = billions(model)
        if size >= LARGE and config.hardware.device == "cpu":
            yield (
                f"{where}={model.name} has {size:g} billion weights, which hardware.device=cpu "
                "would train or ask for days: add hardware=gpu "
                "(hardware.device=auto takes what is there, a CPU as well)"
            )
        if size >= LARGE and model.dtype == "float32":
            yield (
                f"{where}={model.name} has {size:g} billion weights, {4 * size:g} GB as "
                f"{where}.dtype=float32: set {where}.dtype=bfloat16"
            )
        for name, tokens in limits.items():
            if tokens < model.thought_tokens:
                yield (
                    f"{name}={tokens} would cut the thoughts of {where}={model.name}: give "
                    f"{model.thought_tokens} or more, as +experiment=paper does"
                )


def _asked(config: Config) -> Iterator[tuple[str, Model, dict[str, int]]]:
    """(key, model, token limits by key) of the models whose weights a run uses here."""
    baseline = config.baseline
    generation = config.generation
    writes = baseline._target_ is None and generation.endpoint is None
    limits = {}
    if writes and config.prompt.reasoning:
        if generation.by == "text":
            limits["generation.max_new_tokens"] = generation.max_new_tokens
        if config.rl.enabled:
            limits["rl.max_new_tokens"] = config.rl.max_new_tokens
    if writes or baseline.adapt:
        yield "model", config.model, limits
    teacher = config.teacher
    if writes and config.sft.enabled and teacher.generation and not teacher.generation.endpoint:
        name = "teacher.generation.max_new_tokens"
        model = teacher.model or config.model
        where = "teacher.model" if teacher.model else "model"
        yield where, model, {name: teacher.generation.max_new_tokens}


def billions(model: Model) -> float:
    """Weights of a model in billions, by its name, else by the size of its files; 0: unknown."""
    if model.path is None or model.architecture:
        return 0.0
    path = Path(model.path).expanduser()
    named = SIZE.search(path.name)
    if named:
        return float(named[1]) / (1 if named[2].upper() == "B" else 1000)
    if not path.is_dir():
        return 0.0
    total = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return round(total / BYTES_OF_WEIGHT / 1e9, 1)
