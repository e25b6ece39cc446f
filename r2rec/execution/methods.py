"""Which methods a run evaluates: the rows of its results."""

from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from r2rec.base.jobs import Stage
from r2rec.config import Baseline, Config, Endpoint
from r2rec.config.slices import Arm
from r2rec.evaluate.scores import takes_times
from r2rec.pipeline import STAGES
from r2rec.train.card import about

LATER = "told of later ratings"
"""What the variant of a method says that cannot keep to the past."""

# Methods of the paper that ask a closed model -> the model that they stand for.
PAPERS_MODELS = {
    "gpt_4o_mini": "gpt-4o-mini",
    "chatrec": "gpt-4o-mini",
    "o4_mini": "o4-mini",
}


def stage(name: str) -> Stage:
    """The row of the pipeline with this name."""
    return next(row for row in STAGES if row.name == name)


def arms(config: Config) -> list[Arm]:
    """The rows of a run's results, in order: references first, the full method last.

    Under `evaluation.temporal`, the variant of methods that cannot keep to the past says so.
    """
    rows = _arms(config)
    if not config.evaluation.temporal:
        return rows
    return [marked_as_later(arm) if _knows_later(config, arm) else arm for arm in rows]


def marked_as_later(arm: Arm) -> Arm:
    """The arm, with a variant that says that it knows ratings from after the targets' time."""
    return replace(arm, variant=", ".join(filter(None, [arm.variant, LATER])))


def fusion_knows_later(config: Config) -> bool:
    """Whether the baseline that arms are fused with knows ratings from after the targets' time."""
    fusion = config.fusion
    return fusion.fit is not None or not takes_times(fusion._target_)


def _knows_later(config: Config, arm: Arm) -> bool:
    """Whether a method reads ratings from after the time of the target that it ranks for."""
    if arm.target is None:
        return False
    baseline = config.baseline
    if arm.method == baseline.name and (baseline.adapt or reads_cases(baseline)):
        return baseline.vectors is not None
    if arm.method in [counter.name for counter in counters(config)]:
        return False
    return arm.adapter == "fit" or not takes_times(arm.target)


def _arms(config: Config) -> list[Arm]:
    if config.baseline._target_ is not None:
        return [*_references(config, config.baseline.name), _baseline(config)]
    rows = _references(config, config.fusion.name if config.fusion._target_ else None)
    if config.fusion._target_:
        adapter = "fit" if config.fusion.fit else None
        fused_with = Arm(
            config.fusion.name,
            adapter=adapter,
            target=config.fusion._target_,
            params=config.fusion.params,
        )
        rows.append(fused_with)
    chosen = config.evaluation.arms
    writing = []
    if "base" in chosen:
        writing.append(_untrained(config))
    if "sft" in chosen and config.sft.enabled:
        writing.append(Arm(stage("sft").method, "sft", adapter="sft"))
    if "rl" in chosen and config.rl.enabled:
        writing.append(_trained_by_rewards(config))
    if writing:
        rows += [_counter(counter) for counter in counters(config)]
    return rows + writing


def reads_cases(baseline: Baseline) -> bool:
    """Whether a baseline is asked about the same ranking cases as R2Rec, with their chains."""
    tuned_on_cases = baseline.adapt is not None and baseline.adapt.cases
    return baseline.endpoint is not None or baseline.count is not None or tuned_on_cases


def counters(config: Config) -> list[Baseline]:
    """The baselines of a run that count evidence chains, beside R2Rec or in its place.

    Beside R2Rec, one whose weights are to be fitted is left out where SFT has no samples.
    """
    baseline = config.baseline
    if baseline._target_ is not None:
        return [baseline] if baseline.count else []
    if not config.prompt.chains:
        return []
    found = config.counters.values()
    return [counter for counter in found if counter.count and counter.count.samples != 0]


def fitted_counters(config: Config) -> list[Baseline]:
    """Those of `counters` whose weights are fitted."""
    found = []
    for counter in counters(config):
        if counter.count and counter.count.samples is not None:
            found.append(counter)
    return found


def _references(config: Config, other_than: str | None) -> list[Arm]:
    """The scorers that every table shows."""
    references = config.evaluation.references.items()
    return [Arm(name, target=target) for name, target in references if name != other_than]


def _baseline(config: Config) -> Arm:
    baseline = config.baseline
    if baseline.count:
        return _counter(baseline)
    adapter = "fit" if baseline.fit else None
    variant = ""
    if baseline.endpoint:
        variant = _zero_shot(baseline.endpoint, PAPERS_MODELS.get(baseline.name))
    if baseline.adapt and config.model.adapter:
        adapter = None
        variant = _origin(config.model.adapter)
    elif baseline.adapt:
        adapter = "adapt_cases" if baseline.adapt.cases else "adapt"
        variant = config.model.name
    return Arm(baseline.name, variant, adapter, baseline._target_, baseline.params)


def _counter(counter: Baseline) -> Arm:
    variant = ""
    adapter = None
    if counter.count and counter.count.samples is not None:
        variant = f"{counter.count.samples} targets"
        adapter = "regress"
    return Arm(counter.name, variant, adapter, counter._target_, counter.params)


def _untrained(config: Config) -> Arm:
    """The model as it is given: bare, with an adapter from elsewhere, or behind a server."""
    server = config.generation.endpoint
    if server:
        return Arm("backbone", ", ".join([server.model, *_host(server)]))
    if config.model.adapter:
        return Arm("adapter", _origin(config.model.adapter))
    return Arm("backbone", "base")


def _trained_by_rewards(config: Config) -> Arm:
    trainer = stage(config.rl.trainer)
    if config.sft.enabled:
        return Arm(trainer.method, f"sft+{trainer.name}", adapter=trainer.name)
    return Arm(f"{trainer.method} without SFT", trainer.name, adapter=trainer.name)


def _zero_shot(endpoint: Endpoint, known: str | None) -> str:
    """Who answered: figures of another model or server are not the named one's.

    Args:
        known: What the name of the model begins with where a row need not tell it.
    """
    words = ["zero-shot"]
    if known is None or not endpoint.model.startswith(known):
        words.append(endpoint.model)
    return ", ".join(words + _host(endpoint))


def _host(endpoint: Endpoint) -> list[str]:
    """The server that is asked; nothing for OpenAI's own."""
    address = urlsplit(endpoint.base_url or "").netloc
    host = address.rpartition("@")[2]  # without a user and a password
    return [host] if host else []


def _origin(adapter: str) -> str:
    """What an adapter's card says about its training, else its name."""
    card = about(adapter)
    if card:
        return f"{card['stage']} on {card['dataset']}"
    return Path(adapter).name if Path(adapter).is_dir() else adapter
