"""What a schema cannot say: combinations that can't work are refused before anything runs."""

from inspect import Parameter, signature
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, ListConfig

from r2rec.errors import R2RecError
from r2rec.prompts.cases import LABELS

TASKS = ("ranking", "chain_rating", "mix")
ARMS = ("base", "sft", "rl")


def check(cfg: DictConfig, stages: tuple[str, ...]) -> None:
    """Refuse an impossible configuration in one line.

    Raises:
        R2RecError: What clashes, and what to change.
    """
    for broken, why in _rules(cfg, stages):
        if broken:
            raise R2RecError(why)
    for where, target, params, given in _leaves(cfg):
        _check_params(where, target, params, given)


def _rules(cfg: DictConfig, stages: tuple[str, ...]) -> list[tuple[bool, str]]:
    sft, rl, evaluation = cfg.sft, cfg.rl, cfg.evaluation
    shown = evaluation.negatives + 1
    rollouts, processes = rl.prompts_per_step * rl.group_size, cfg.hardware.processes
    items = cfg.dataset.params.get("items") if cfg.dataset.name == "toy" else None
    unknown = [s for s in [cfg.until, *cfg.force] if s is not None and s not in stages]
    return [
        (bool(unknown), f"no stage {', '.join(map(str, unknown))}; there are {', '.join(stages)}"),
        (cfg.seed < 0, f"seed={cfg.seed} is negative; give 0 or more"),
        (evaluation.negatives < 1, "evaluation.negatives must be at least 1"),
        (shown > len(LABELS), f"evaluation.negatives={evaluation.negatives}: {shown} candidates, but only {len(LABELS)} labels"),
        (items is not None and shown > items, f"evaluation.negatives={evaluation.negatives} but the toy world has {items} items"),
        (evaluation.users < 1, f"evaluation.users={evaluation.users}; at least one user is ranked"),
        (evaluation.min_positives < 3, "evaluation.min_positives must be at least 3: test, validation and one to learn from"),
        (evaluation.resamples < 1, "evaluation.resamples must be at least 1"),
        (bool(set(evaluation.arms) - set(ARMS)), f"evaluation.arms={list(evaluation.arms)}: choose from {', '.join(ARMS)}"),
        (sft.task not in TASKS, f"sft.task={sft.task}; choose from {', '.join(TASKS)}"),
        (sft.enabled and sft.samples < 1, "sft.samples must be at least 1; or leave it out with sft=off"),
        (
            sft.enabled and sft.task != "ranking" and (cfg.chain_sampler._target_ is None or cfg.chain_sampler.per_user < 1),
            f"sft.task={sft.task} asks about chains, but chain_sampler={cfg.chain_sampler.name} makes none",
        ),
        (rl.enabled and not cfg.reward.parts, "rl needs a reward; choose reward=paper, or leave RL out with rl=off"),
        (rl.enabled and rl.group_size < 2, "rl.group_size must be at least 2: advantages compare rollouts of a group"),
        (rl.enabled and rl.samples < rl.prompts_per_step, f"rl.samples={rl.samples} is less than rl.prompts_per_step={rl.prompts_per_step}"),
        (
            rl.enabled and rollouts % (rl.micro_batch_size * processes) != 0,
            f"rl.prompts_per_step x rl.group_size = {rollouts} is not a multiple of rl.micro_batch_size x processes = "
            f"{rl.micro_batch_size * processes}",
        ),
        (
            sft.enabled and sft.batch_size % (sft.micro_batch_size * processes) != 0,
            f"sft.batch_size={sft.batch_size} is not a multiple of sft.micro_batch_size x processes = "
            f"{sft.micro_batch_size * processes}",
        ),
        (rl.enabled and rl.max_new_tokens >= cfg.model.max_length, "rl.max_new_tokens must be below model.max_length"),
        (
            cfg.generation.max_new_tokens >= cfg.model.max_length,
            f"generation.max_new_tokens={cfg.generation.max_new_tokens} leaves no room for a prompt in model.max_length={cfg.model.max_length}",
        ),
        (cfg.model.path is None and cfg.model.tiny is None, f"model={cfg.model.name} has neither model.path nor model.tiny"),
        (processes != 1, f"hardware.processes={processes}: several processes are not supported yet; give 1"),
        (cfg.dataset.name.startswith("amazon") and not cfg.dataset.category, "dataset=amazon needs dataset.category, e.g. Office_Products"),
    ]  # fmt: skip


def _leaves(cfg: DictConfig) -> list[tuple[str, str, DictConfig, int]]:
    """(where, dotted path, params, positional arguments that the pipeline gives) of each leaf in use."""
    leaves = [
        ("dataset", cfg.dataset._target_, cfg.dataset.params, 2),
        ("teacher", cfg.teacher._target_, cfg.teacher.params, 3),
        ("chain_sampler", cfg.chain_sampler._target_, cfg.chain_sampler.params, 4),
        ("baseline", cfg.baseline._target_, cfg.baseline.params, 4),
    ]
    rewards = [(f"reward.parts.{n}", p._target_, p.params, 1) for n, p in cfg.reward.parts.items()]
    return [leaf for leaf in [*leaves, *rewards] if leaf[1] is not None]  # type: ignore[list-item]


def _check_params(where: str, target: str, params: DictConfig, given: int) -> None:
    try:
        parameters = list(signature(get_method(target)).parameters.values())
    except Exception as error:
        raise R2RecError(f"{where}._target_={target} cannot be imported: {str(error).splitlines()[0]}") from error
    known = {p.name: p for p in parameters[given:]}
    free = any(p.kind is Parameter.VAR_KEYWORD for p in parameters)
    for name, value in params.items():
        if name not in known and not free:
            raise R2RecError(f"{where}.params.{name}: {target} takes {', '.join(known) or 'no options'}")
        if name in known and not _fits(value, known[name].annotation):
            kind = getattr(known[name].annotation, "__name__", known[name].annotation)
            raise R2RecError(f"{where}.params.{name}={value} should be of type {kind}")


def _fits(value: Any, kind: Any) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool):
        return isinstance(value, kind)
    return not isinstance(value, ListConfig) or kind is not str
