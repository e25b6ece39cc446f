"""What types alone cannot say: unknown keys, missing values, numbers out of bounds, empty texts.

Each rule yields one line per mistake. Bounds and choices are declared beside their fields
(`config.fields`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import guess
from r2rec.config import Config

MIN_TITLE_LENGTH = 4  # characters of a title that is cut: one and "..."
PATHS = (
    "artefacts",
    "dataset.root",
    "train_on.root",
    "model.path",
    "model.adapter",
    "model.tiny.start",
    "prompt.template",
)
REASON_LEFT_OUT = ("category",)  # missing values that a rule about combinations explains better


def key_rules(cfg: DictConfig, where: str = "", element: Any = None) -> Iterator[str]:
    """Unknown keys, values never given, and values of another kind, which a schema lets pass.

    Args:
        where: Dotted path of `cfg`, with a final dot.
        element: The type of all values, where the keys are free.
    """
    kind = OmegaConf.get_type(cfg)
    if is_dataclass(kind):
        types = get_type_hints(kind)
    else:
        types = dict.fromkeys(map(str, cfg), element)
    for name in map(str, cfg):
        if name not in types:
            yield f"unknown key {where}{name}{_valid(name, types)}"
        elif OmegaConf.is_missing(cfg, name):
            if name not in REASON_LEFT_OUT:
                yield f"{where}{name}=??? is not a value; give it one"
        else:
            yield from _value_rules(cfg[name], f"{where}{name}", types[name])


def _value_rules(value: Any, path: str, kind: Any) -> Iterator[str]:
    if NoneType in get_args(kind):
        kind = next(option for option in get_args(kind) if option is not NoneType)
    is_table = get_origin(kind) is dict or is_dataclass(kind)
    if is_table and not (value is None or OmegaConf.is_dict(value)):
        yield f"{path}={value} should be a table"
    if get_origin(kind) is list and not (value is None or OmegaConf.is_list(value)):
        yield f"{path}={value} should be a list"
    if OmegaConf.is_dict(value):
        element = get_args(kind)[1] if get_origin(kind) is dict else None
        yield from key_rules(value, f"{path}.", element)


def _valid(name: str, types: Mapping[str, Any]) -> str:
    """The end of a message about an unknown key: the likely one, and all there are."""
    close = get_close_matches(name, types, n=1)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"{guess}; valid keys: {', '.join(sorted(types))}"


def bound_rules(value: Any, where: str = "") -> Iterator[str]:
    """Numbers and texts of a configuration that break what is declared beside their field."""
    if is_dataclass(value):
        for spec in fields(value):
            path = f"{where}{spec.name}"
            content = getattr(value, spec.name)
            yield from _field_rules(path, content, spec.metadata)
            yield from bound_rules(content, f"{path}.")
    elif isinstance(value, dict):
        for name, content in value.items():
            yield from bound_rules(content, f"{where}{name}.")


def _field_rules(path: str, value: Any, declared: Mapping[str, Any]) -> Iterator[str]:
    if value is None:
        return
    bounds = declared.get("bounds")
    if bounds and bounds.broken(value):
        yield f"{path}={value} should be {bounds.words()}"
    options = declared.get("options")
    if options and value not in options:
        yield f"{path}={value}{guess(str(value), options)}; choose from {', '.join(options)}"


def text_rules(config: Config) -> Iterator[str]:
    """Texts that must not be empty, and lengths that leave nothing."""
    for path in PATHS:
        value = _select(config, path)
        if isinstance(value, str) and not value.strip():
            yield f"{path}= is empty; give a folder, or leave it out"
    threads = config.hardware.threads
    if threads is not None and threads < 1:
        yield f"hardware.threads={threads} should be 1 or more, or null for all cores"
    length = config.prompt.title_length
    if 0 < length < MIN_TITLE_LENGTH:
        yield (
            f"prompt.title_length={length} should be {MIN_TITLE_LENGTH} or more: "
            "a longer title is cut with ..."
        )


def _select(config: Config, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name, None)
    return value
