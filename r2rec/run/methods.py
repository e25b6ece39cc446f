"""Who is ranked in a run: the rows of its results, and the stages that these need."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from omegaconf import DictConfig, OmegaConf

from r2rec.train.card import about


class Arm(NamedTuple):
    """A row of the results: a model with an adapter or without, or a baseline function."""

    method: str
    variant: str
    adapter: str | None = (
        None  # the stage whose weights it takes: an adapter on the backbone, or a baseline's own
    )
    target: str | None = None  # a baseline's function or module
    params: Mapping[str, Any] = {}


def arms(cfg: DictConfig) -> list[Arm]:
    """The rows of this run's results, in order: references first, the full method last."""
    references = cfg.evaluation.references.items()
    plain = [
        Arm(name, "", target=target) for name, target in references if name != cfg.baseline.name
    ]
    if cfg.baseline._target_ is not None:
        params: Any = OmegaConf.to_container(cfg.baseline.params, resolve=True)
        fitted = "fit" if cfg.baseline.fit else None
        variant = _asked(cfg.baseline.endpoint) if cfg.baseline.endpoint else ""
        if cfg.baseline.adapt:
            fitted, variant = (
                (None, _given(cfg.model.adapter))
                if cfg.model.adapter
                else ("adapt", cfg.model.name)
            )
        return [*plain, Arm(cfg.baseline.name, variant, fitted, cfg.baseline._target_, params)]
    after_rl = ("R2Rec", "sft+rl") if cfg.sft.enabled else ("R2Rec without SFT", "rl")
    trained = {
        "base": _base(cfg),
        "sft": Arm("R2Rec without RL", "sft", adapter="sft") if cfg.sft.enabled else None,
        "rl": Arm(*after_rl, adapter="rl") if cfg.rl.enabled else None,
    }
    if cfg.fusion._target_:
        given: Any = OmegaConf.to_container(cfg.fusion.params, resolve=True)
        fitted = "fit" if cfg.fusion.fit else None
        plain = [arm for arm in plain if arm.method != cfg.fusion.name]
        plain.append(Arm(cfg.fusion.name, "", fitted, cfg.fusion._target_, given))
    return plain + [arm for name, arm in trained.items() if arm and name in cfg.evaluation.arms]


def _base(cfg: DictConfig) -> Arm:
    """The model as it is given: bare, with an adapter from elsewhere, or behind a server."""
    if server := cfg.generation.endpoint:
        return Arm("backbone", f"{server.model}, {_asked(server).removeprefix('zero-shot, ')}")
    return (
        Arm("adapter", _given(cfg.model.adapter)) if cfg.model.adapter else Arm("backbone", "base")
    )


def _asked(endpoint: DictConfig) -> str:
    """How a row says who answered: figures of another server are not the named model's."""
    host = urlsplit(endpoint.base_url or "").netloc.rpartition("@")[
        2
    ]  # without a user and a password
    return f"zero-shot, {host}" if host else "zero-shot"


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
    if (
        (asks_model and not cfg.generation.endpoint) or cfg.baseline.adapt
    ) and cfg.model.path is None:
        names.add("backbone")
    adapters = {arm.adapter for arm in rows if arm.adapter}
    names |= adapters & {"fit", "adapt"}
    if cfg.baseline.vectors or cfg.fusion.fit:
        names.add("fit")
    if "rl" in adapters:
        names.add("rl")
    if cfg.sft.enabled and adapters & {"sft", "rl"}:
        names |= {"think", "sft"}
    return names
