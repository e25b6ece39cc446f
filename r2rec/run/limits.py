"""What a schema cannot say of single values: how large a number is, what a text names, which member promises what."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from math import inf
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf

Rules = Iterator[tuple[bool, str]]

SHORTEST = 4  # characters of a title that is cut: one and "..."
LEAST_VOCABULARY = 263  # all bytes, and the tokens that a template and a thought need
SIZES = (
    "hidden", "layers", "heads", "feed_forward", "initializer_range", "rope_theta", "prompts_per_world", "steps",
    "batch_tokens", "learning_rate",
)  # fmt: skip
LEAST = {
    "dim": 1, "length": 1, "window": 1, "layers": 1, "blocks": 1, "heads": 1, "hidden": 1, "horizontal": 1,
    "vertical": 1, "neighbours": 1, "targets": 1, "shrink": 0, "kept": 0, "seed": 0,
}  # fmt: skip
"""Of `params` of what ships with this package, by name."""
KINDS = ("random", "average", "bandwagon")
CATEGORIES = {
    "amazon_books": "Books",
    "amazon_electronics": "Electronics",
    "amazon_office": "Office_Products",
}
PLACES = (
    "artefacts",
    "dataset.root",
    "train_on.root",
    "model.path",
    "model.adapter",
    "model.tiny.start",
)
OPTIONAL = (
    "noise",
    "chain_sampler",
    "diagnostic",
    "baseline",
    "fusion",
)  # groups whose `none` has no `_target_`


def keys(cfg: DictConfig, stages: tuple[str, ...], where: str = "", each: Any = None) -> Rules:
    """Rules on what a schema lets pass: keys that `+key=value` adds, values never given, `key=${one}` of another type.

    Args:
        each: The type of all values, where keys are free.
    """
    kind = OmegaConf.get_type(cfg)
    known = get_type_hints(kind) if is_dataclass(kind) else dict.fromkeys(map(str, cfg), each)
    for key in map(str, cfg):
        yield key not in known, f"{where}{key} is no key; there are {', '.join(sorted(known))}"
        if OmegaConf.is_missing(cfg, key):
            yield (
                key != "category",
                f"{where}{key}=??? is no value; give it one",
            )  # `_run` says which there are
            continue
        value, meant = cfg[key], known[key]
        meant = (
            next((kind for kind in get_args(meant) if kind is not NoneType), meant)
            if _optional(meant)
            else meant
        )
        table = get_origin(meant) is dict or is_dataclass(meant)
        yield (
            table and not (value is None or OmegaConf.is_dict(value)),
            f"{where}{key}={value} should be a table",
        )
        listed = get_origin(meant) is list
        yield (
            listed and not (value is None or OmegaConf.is_list(value)),
            f"{where}{key}={value} should be a list",
        )
        if OmegaConf.is_dict(value):
            yield from keys(
                value,
                stages,
                f"{where}{key}.",
                get_args(meant)[1] if get_origin(meant) is dict else None,
            )


def _optional(kind: Any) -> bool:
    return NoneType in get_args(kind)


def limits(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    """Rules on numbers and on texts that must not be empty."""
    for key in PLACES:
        place = OmegaConf.select(cfg, key)
        yield (
            isinstance(place, str) and not place.strip(),
            f"{key}= is empty; give a folder, or leave it out",
        )
    threads, shown = cfg.hardware.threads, cfg.prompt.title_length
    yield (
        threads is not None and threads < 1,
        f"hardware.threads={threads} should be 1 or more, or null for all cores",
    )
    yield (
        0 < shown < SHORTEST,
        f"prompt.title_length={shown} should be {SHORTEST} or more: a title is cut with ...",
    )
    yield from _lora("model.lora", cfg.model.lora)
    if cfg.baseline.adapt:
        yield from _lora("baseline.adapt.lora", cfg.baseline.adapt.lora)
    if cfg.model.tiny:
        yield from _tiny(cfg.model.tiny)
    for where in ("dataset", "train_on", "noise", "baseline", "baseline.vectors", "fusion"):
        if leaf := OmegaConf.select(cfg, where):
            yield from _params(where, leaf)


def members(cfg: DictConfig, stages: tuple[str, ...]) -> Rules:
    """Rules on members of groups: a name is what tables say, so it must be what is run."""
    for group in OPTIONAL:
        name, nothing = (
            cfg[group].name,
            "baseline@fusion=none" if group == "fusion" else f"{group}=none",
        )
        unnamed = f"{group}._target_=null leaves nothing of {group}={name}; that is {nothing}"
        yield cfg[group]._target_ is None and name != "none", unnamed
    for where in ("dataset", "train_on"):
        data = cfg[where]
        own, category = (
            CATEGORIES.get(data.name),
            None if OmegaConf.is_missing(data, "category") else data.category,
        )
        group = "dataset" if where == "dataset" else "dataset@train_on"
        other = f"{group}={data.name} is {own}; for another category: {group}=amazon {where}.category={category}"
        yield own is not None and category != own, other
        elsewhere = data._target_.startswith("r2rec.") and not data._target_.startswith(
            "r2rec.data.amazon."
        )
        yield (
            elsewhere and category is not None,
            f"{where}={data.name} has no categories; leave {where}.category out",
        )
        unread = data.root is not None and not data.files
        yield unread, f"{where}={data.name} reads no files; leave {where}.root={data.root} out"


def _lora(where: str, lora: DictConfig) -> Rules:
    yield lora.r < 1, f"{where}.r={lora.r} should be 1 or more"
    yield (
        not 0 <= lora.dropout < 1,
        f"{where}.dropout={lora.dropout} should be 0 or more, and below 1",
    )


def _tiny(spec: DictConfig) -> Rules:
    for key in SIZES:
        yield not 0 < spec[key] < inf, f"model.tiny.{key}={spec[key]} should be above 0"
    few = f"model.tiny.vocabulary={spec.vocabulary} should be {LEAST_VOCABULARY} or more"
    yield spec.vocabulary < LEAST_VOCABULARY, few
    uneven = (
        f"model.tiny.hidden={spec.hidden} should be a multiple of 2 x model.tiny.heads={spec.heads}"
    )
    yield spec.hidden % (2 * spec.heads) != 0, uneven  # a head turns its numbers in pairs


def _params(where: str, leaf: DictConfig) -> Rules:
    """Rules on the params of what ships here; a user's own function may call anything by these names."""
    if not str(leaf._target_).startswith("r2rec."):
        return
    known = {key: value for key, value in leaf.params.items() if _is_number(value)}
    for key, least in LEAST.items():
        value = known.get(key, least)
        yield not least <= value < inf, f"{where}.params.{key}={value} should be {least} or more"
    dropout, ridge = known.get("dropout", 0), known.get("regularisation", 1)
    yield not 0 <= dropout < 1, f"{where}.params.dropout={dropout} should be 0 or more, and below 1"
    yield not ridge > 0, f"{where}.params.regularisation={ridge} should be above 0"
    yield from _shapes(where, known, leaf.params.get("kind"))


def _shapes(where: str, known: Mapping[Any, Any], kind: Any) -> Rules:
    dim, heads = known.get("dim", 1), known.get("heads", 1)
    uneven = f"{where}.params.dim={dim} should be a multiple of {where}.params.heads={heads}"
    yield "dim" in known and dim % heads != 0, uneven
    yield (
        kind is not None and kind not in KINDS,
        f"{where}.params.kind={kind}; choose from {', '.join(KINDS)}",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
