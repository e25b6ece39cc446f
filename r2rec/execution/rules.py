"""Configurations that cannot work are refused in one line, before anything runs."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import isfinite
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError, guess
from r2rec.base.tracking import TRACKERS
from r2rec.config import Config, Dataset
from r2rec.evaluate.names import metric_mistakes
from r2rec.execution import own_folders
from r2rec.execution.compare_rules import compare_rules
from r2rec.execution.generation_rules import generation_rules
from r2rec.execution.hardware_rules import hardware_rules
from r2rec.execution.leaf_rules import leaf_rules
from r2rec.execution.methods import fitted_counters, reads_cases
from r2rec.execution.model_rules import model_rules, size_rules, with_packaged
from r2rec.execution.schema_rules import bound_rules, key_rules, text_rules
from r2rec.execution.training_rules import probe_rules, rl_rules, sft_rules
from r2rec.execution.trials import template_rules, trial_rules
from r2rec.pipeline import PLACES
from r2rec.prompts.cases import LABELS

ARMS = ("base", "sft", "rl")
CATEGORIES = {
    "amazon_books": "Books",
    "amazon_electronics": "Electronics",
    "amazon_office": "Office_Products",
}
EVIDENCE = "r2rec.chains.evidence.evidence"

Rules = Iterator[str]


def checked_config(cfg: DictConfig) -> Config:
    """A composed configuration as dataclasses, once it is known to make sense.

    Raises:
        R2RecError: The first mistake found: what is wrong, and what to change.
    """
    _refuse_first(key_rules(cfg))
    for group in ("dataset", "train_on"):
        if OmegaConf.is_missing(cfg[group], "category"):
            needs = "dataset=amazon needs dataset.category, e.g. dataset.category=Office_Products"
            raise R2RecError(needs)
    own_folders.make_importable()
    config: Any = OmegaConf.to_object(cfg)
    config = with_packaged(own_folders.with_template(config))
    for rules in RULES:
        _refuse_first(rules(config))
    return with_roots(config)


def with_roots(config: Config) -> Config:
    """The configuration with a folder from `roots` for data sets without one of their own."""

    def rooted(data: Dataset) -> Dataset:
        if data.root is not None:
            return data
        return replace(data, root=config.roots.get(data.name))

    return replace(config, dataset=rooted(config.dataset), train_on=rooted(config.train_on))


def _refuse_first(rules: Rules) -> None:
    for message in rules:
        raise R2RecError(message)


def run_rules(config: Config) -> Rules:
    """Stages, trackers, noise."""
    if config.until is not None and config.until not in PLACES:
        yield _no_stage([config.until])
    unknown = [str(name) for name in config.force if name not in PLACES]
    if unknown:
        yield _no_stage(unknown)
    unknown = [str(name) for name in config.logger.report_to if name not in TRACKERS]
    if unknown:
        meant = guess(unknown[0], TRACKERS)
        yield f"logger.report_to has {', '.join(unknown)}{meant}; choose from {', '.join(TRACKERS)}"
    share = config.noise.params.get("share", 0.0)
    if isinstance(share, (int, float)) and not 0 <= share <= 1:
        yield f"noise.params.share={share} should be 0 to 1"


def _no_stage(names: list[str]) -> str:
    return f"no stage {', '.join(names)}{guess(names[0], PLACES)}; there are {', '.join(PLACES)}"


def data_rules(config: Config) -> Rules:
    """Data sets, and training on another one."""
    for group, member in (("dataset", "dataset"), ("train_on", "dataset@train_on")):
        data: Dataset = getattr(config, group)
        own_category = CATEGORIES.get(data.name)
        if own_category is not None and data.category != own_category:
            yield (
                f"{member}={data.name} is {own_category}; for another category: "
                f"{member}=amazon {group}.category={data.category}"
            )
        is_amazon = data._target_.startswith("r2rec.data.amazon.")
        if data._target_.startswith("r2rec.") and not is_amazon and data.category is not None:
            yield f"{group}={data.name} has no categories; leave {group}.category out"
        if data.root is not None and not data.files:
            yield (
                f"{group}={data.name} reads no files, so {group}.root={data.root} has no effect; "
                f"leave it out, or name the files that the reader opens in {group}.files"
            )
        if is_amazon and not data.category:
            yield "dataset=amazon needs dataset.category, e.g. dataset.category=Office_Products"
    if config.dataset.name == "same":
        yield "dataset=same is for train_on alone; name a data set"
    elsewhere = config.train_on.name not in ("same", config.dataset.name)
    trains = config.sft.enabled or config.rl.enabled
    if elsewhere and (config.baseline._target_ is not None or not trains):
        yield (
            f"dataset@train_on={config.train_on.name} needs SFT or RL to train there; "
            "baselines cannot be trained on another data set"
        )


def member_rules(config: Config) -> Rules:
    """The name of a member is what tables say, so it must be what is run."""
    for group in ("noise", "chain_sampler", "diagnostic", "baseline", "fusion", "witness"):
        member = getattr(config, group)
        if member._target_ is None and member.name != "none":
            is_baseline = group in ("fusion", "witness")
            none = f"baseline@{group}=none" if is_baseline else f"{group}=none"
            yield f"{group}._target_=null leaves nothing of {group}={member.name}; that is {none}"


def protocol_rules(config: Config) -> Rules:
    """Who is evaluated, and on which candidates."""
    protocol = config.evaluation
    given = f"evaluation.negatives={protocol.negatives}"
    candidates = protocol.negatives + 1
    items = config.dataset.params.get("items")
    if not isfinite(protocol.positive_above):
        yield f"evaluation.positive_above={protocol.positive_above} should be a rating"
    if protocol.negatives < 1:
        yield f"{given}; a positive needs at least one negative beside it"
    if candidates > len(LABELS):
        yield f"{given} makes {candidates} candidates, but there are {len(LABELS)} labels"
    if isinstance(items, int) and candidates > items:
        yield f"{given} is more than the world's {items} items have to give"
    for key in ("users", "items", "ratings_per_user"):
        size = config.dataset.params.get(key)
        if isinstance(size, int) and size < 1:
            yield f"dataset.params.{key}={size} should be 1 or more"
    for mistake in metric_mistakes(list(map(str, protocol.metrics)), candidates):
        yield f"evaluation.metrics: {mistake}"
    if protocol.users < 1:
        yield f"evaluation.users={protocol.users}; rank at least one"
    if protocol.min_positives < 3:
        yield "evaluation.min_positives must be 3 or more: test, validation, one to learn from"
    if protocol.resamples < 1:
        yield "evaluation.resamples must be 1 or more"
    no_baseline = config.baseline._target_ is None
    if no_baseline and not protocol.references and not protocol.arms:
        yield (
            "no methods to evaluate: evaluation.arms and evaluation.references are empty, "
            "and baseline=none"
        )
    unknown = [str(arm) for arm in protocol.arms if arm not in ARMS]
    if unknown:
        meant = guess(unknown[0], ARMS)
        yield f"evaluation.arms has {', '.join(unknown)}{meant}; choose from {', '.join(ARMS)}"


def baseline_rules(config: Config) -> Rules:
    """Baselines and fusions."""
    baseline = config.baseline
    vectors = baseline.vectors
    if baseline.adapt is not None and baseline.adapt.cases:
        if vectors is not None:
            yield "baseline.adapt.cases shows no item vectors; leave baseline.vectors out"
        if baseline.adapt.disliked:
            yield (
                "baseline.adapt.disliked has no effect on ranking cases; "
                "leave it out, or set baseline.adapt.cases=false"
            )
    if baseline.adapt is not None and vectors is not None:
        if vectors.fit is None:
            yield "baseline.vectors needs a fitted baseline, e.g. sasrec"
        if config.model.adapter is not None:
            yield (
                f"baseline={baseline.name} reads vectors of this run's items; "
                "model.adapter can't bring it along"
            )
    fit = (vectors or baseline).fit
    if fit and fit.loss != "softmax" and fit.negatives == 0:
        yield (
            f"baseline.fit.loss={fit.loss} compares with drawn items; "
            "give baseline.fit.negatives=1 or more"
        )
    fusion = config.fusion
    if fusion._target_ is None:
        return
    if fusion.endpoint or fusion.adapt or fusion.count:
        yield (
            f"baseline@fusion={fusion.name} has no scores; choose one that has, e.g. sasrec or ease"
        )
    if baseline._target_:
        yield (
            f"baseline@fusion={fusion.name} joins answers of R2Rec; "
            f"leave baseline={baseline.name} out"
        )
    if config.evaluation.validation_users < 1:
        yield (
            "evaluation.validation_users must be 1 or more: "
            "the weight of a fusion is learnt on them"
        )


def witness_rules(config: Config) -> Rules:
    """A model that evidence chains tell about; its `_target_` can be imported (`leaf_rules`)."""
    witness = config.witness
    if witness._target_ is None:
        return
    given = f"baseline@witness={witness.name}"
    if not (witness.fit and getattr(get_method(witness._target_), "from_history", False)):
        yield f"{given} can't place items by a history alone; choose gru4rec or sasrec"
    if config.evaluation.temporal:
        yield (
            f"{given} has learnt from ratings of any time, which evaluation.temporal=true keeps "
            "out of prompts: leave one of them out"
        )
    if _has_no_evidence(config):
        yield f"{given} is told with evidence chains: add chain_sampler=evidence prompt=evidence"
    baseline = config.baseline
    if baseline._target_ and not reads_cases(baseline):
        yield f"{given} is told to R2Rec; leave baseline={baseline.name} out"


def counter_rules(config: Config) -> Rules:
    """Baselines that count evidence chains, in place of R2Rec and beside it."""
    for name, counter in config.counters.items():
        if counter._target_ and not counter.count:
            yield (
                f"baseline@counters.{name}={counter.name} counts no evidence chains; "
                "choose one that has `count`, e.g. counter"
            )
    fitted = [counter.name for counter in fitted_counters(config)]
    if len(fitted) > 1:
        yield f"counters: {' and '.join(fitted)} are both fitted; leave all but one out"
    baseline = config.baseline
    if not baseline.count:
        return
    if _has_no_evidence(config) or not config.prompt.chains:
        yield (
            f"baseline={baseline.name} counts evidence chains: "
            "add chain_sampler=evidence prompt=evidence"
        )
    if baseline.count.samples == 0:
        yield (
            f"baseline={baseline.name} has no targets to learn from: "
            "give baseline.count.samples=500"
        )


def _has_no_evidence(config: Config) -> bool:
    """Whether chains are of a kind of this package that is no evidence."""
    target = config.chain_sampler._target_ or "r2rec."
    return target.startswith("r2rec.") and target != EVIDENCE


def push_rules(config: Config) -> Rules:
    """Pushing an adapter to the Hub."""
    if config.push_to_hub is None:
        return
    needs = f"push_to_hub={config.push_to_hub} needs"
    if not os.environ.get("HF_TOKEN"):
        yield f"{needs} a token: set the environment variable HF_TOKEN"
    if config.baseline._target_:
        last = "adapt" if config.baseline.adapt else ""
    elif config.rl.enabled:
        last = "rl"
    else:
        last = "sft" if config.sft.enabled else ""
    if not last:
        yield f"{needs} an adapter, and this run trains none"
    elif config.until and PLACES.index(config.until) < PLACES.index(last):
        yield f"{needs} until={last} or later"


def device_rules(config: Config) -> Rules:
    """What the machine must have; checked here, before cheap stages run for nothing."""
    yield from hardware_rules(config.hardware)


RULES: tuple[Callable[[Config], Rules], ...] = (
    bound_rules,
    text_rules,
    run_rules,
    device_rules,
    member_rules,
    data_rules,
    protocol_rules,
    sft_rules,
    rl_rules,
    probe_rules,
    model_rules,
    generation_rules,
    size_rules,
    baseline_rules,
    counter_rules,
    push_rules,
    leaf_rules,
    witness_rules,
    template_rules,
    trial_rules,
    compare_rules,
)
