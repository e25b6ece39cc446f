"""What each stage may depend on: one dataclass per stage, and nothing else can be read.

A field is found in the configuration under its own name, or where `at` says. The key of an artefact
is derived from these fields (`run.keys`), so whatever a stage can read also names its result.
`seed` is that of the side that a stage is on (`config.run.Seeds`): data, training, or answers.
`data_seed` beside it says who is asked about, and is in keys where it is another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from r2rec.config.data import ChainSampler, Diagnostic, Noise, Words
from r2rec.config.fields import at, at_other, not_in_key
from r2rec.config.models import Endpoint, Generation, Model, Prompt, Teacher, TinySpec
from r2rec.config.run import Config
from r2rec.config.training import Adapt, Baseline, Count, Fit, Probe, Reward, Rl, Sft


@dataclass(frozen=True)
class Arm:
    """One row of the results: a model with or without an adapter, or a baseline."""

    method: str
    variant: str = not_in_key("")  # shown to readers
    adapter: str | None = None  # the stage whose weights it uses
    target: str | None = None  # a baseline's function or module; None: the arm writes text
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PrepareSlice:
    name: str = at("dataset.name")
    target: str = at("dataset._target_")
    category: str | None = at("dataset.category")
    params: dict[str, Any] = at("dataset.params")


@dataclass(frozen=True)
class SplitSlice:
    seed: int = at("data_seed")
    noise: Noise = at("noise")
    negatives: int = at("evaluation.negatives")
    matched: bool = at("evaluation.matched")
    positive_above: float = at("evaluation.positive_above")
    min_positives: int = at("evaluation.min_positives")


@dataclass(frozen=True)
class TellSlice:
    """Nothing: all follows from the inputs."""


@dataclass(frozen=True)
class FitSlice:
    """`baseline` is whatever is fitted: the run's baseline, its `vectors`, or the fusion."""

    seed: int = at("train_seed")
    name: str = at("baseline.name")
    target: str = at("baseline._target_")
    params: dict[str, Any] = at("baseline.params")
    fit: Fit = at("baseline.fit")
    positive_above: float = at("evaluation.positive_above")


@dataclass(frozen=True)
class WitnessSlice(FitSlice):
    """`baseline` is the witness."""

    folds: int = at("witness.folds")


@dataclass(frozen=True)
class WeighSlice:
    seed: int = at("data_seed")
    chain_sampler: ChainSampler = at("chain_sampler")
    temporal: bool = at("evaluation.temporal", untold=False)


@dataclass(frozen=True)
class ChainSlice:
    seed: int = at("data_seed")
    chain_sampler: ChainSampler = at("chain_sampler")
    users: int = at("evaluation.users")
    temporal: bool = at("evaluation.temporal", untold=False)


@dataclass(frozen=True)
class BackboneSlice:
    tiny: TinySpec = at("model.tiny")


@dataclass(frozen=True)
class UnpackSlice:
    """A GGUF file, and the numbers that its weights become."""

    file: str = at("model.path", local=True)
    dtype: str = at("model.dtype")


@dataclass(frozen=True)
class PromptSlice:
    """What every prompt about a user depends on."""

    seed: int = at("train_seed")
    prompt: Prompt = at("prompt")
    words: Words = at("dataset.words")
    positive_above: float = at("evaluation.positive_above")


@dataclass(frozen=True)
class TargetSlice(PromptSlice):
    """What a prompt about a train-side target depends on."""

    min_history: int = at("evaluation.min_history")
    targets: str = at("evaluation.targets", untold="likes")


@dataclass(frozen=True)
class CaseSlice(PromptSlice):
    """What a ranking prompt with freshly drawn chains depends on."""

    data_seed: int = at_other("data_seed", "seed")
    chain_sampler: ChainSampler = at("chain_sampler")
    negatives: int = at("evaluation.negatives")
    temporal: bool = at("evaluation.temporal", untold=False)


@dataclass(frozen=True)
class TaskSlice(CaseSlice, TargetSlice):
    """What a training task depends on."""


@dataclass(frozen=True)
class ThinkSlice(TaskSlice):
    teacher: Teacher = at("teacher")
    samples: int = at("sft.samples")
    task: str = at("sft.task")
    model: Model | None = at("model")  # None unless the teacher is the run's own model


@dataclass(frozen=True)
class SftSlice(TaskSlice):
    sft: Sft = at("sft")
    model: Model = at("model")
    probe: Probe = at("probe")


@dataclass(frozen=True)
class RlSlice(TaskSlice):
    rl: Rl = at("rl")
    reward: Reward = at("reward")
    model: Model = at("model")
    probe: Probe = at("probe")


@dataclass(frozen=True)
class AdaptSlice(TargetSlice):
    model: Model = at("model")
    name: str = at("baseline.name")
    target: str = at("baseline._target_")
    params: dict[str, Any] = at("baseline.params")
    adapt: Adapt = at("baseline.adapt")


@dataclass(frozen=True)
class AdaptCasesSlice(TaskSlice, AdaptSlice):
    """A language model tuned by questions about ranking cases."""


@dataclass(frozen=True)
class RegressSlice(TaskSlice):
    """`baseline` is the counter whose weights are fitted."""

    target: str = at("baseline._target_")
    params: dict[str, Any] = at("baseline.params")
    count: Count = at("baseline.count")


@dataclass(frozen=True)
class ScoreSlice:
    """How a scorer ranks."""

    seed: int = at("answer_seed")
    data_seed: int = at_other("data_seed", "seed")
    arm: Arm = at("arm")
    users: int = at("evaluation.users")
    temporal: bool = at("evaluation.temporal", untold=False)


@dataclass(frozen=True)
class QuestionSlice(PromptSlice):
    """What a ranking question to an arm depends on."""

    seed: int = at("answer_seed")
    data_seed: int = at_other("data_seed", "seed")
    arm: Arm = at("arm")
    users: int = at("evaluation.users")
    temporal: bool = at("evaluation.temporal", untold=False)


@dataclass(frozen=True)
class CountSlice(QuestionSlice):
    """How a counter of evidence chains ranks: nothing is drawn but who is evaluated."""

    seed: int = at("data_seed")


@dataclass(frozen=True)
class ChooseSlice(QuestionSlice):
    """How a language model tuned for a baseline ranks."""

    model: Model = at("model")
    batch_tokens: int = at("baseline.adapt.batch_tokens")


@dataclass(frozen=True)
class AskSlice(QuestionSlice):
    """How a baseline behind an endpoint ranks; its seed is the endpoint's own affair."""

    seed: int = at("data_seed")
    endpoint: Endpoint = at("baseline.endpoint")


@dataclass(frozen=True)
class RankSlice(QuestionSlice):
    """How a language model ranks."""

    generation: Generation = at("generation")
    model: Model = at("model")


@dataclass(frozen=True)
class DiagnoseSlice(RankSlice):
    diagnostic: Diagnostic = at("diagnostic")


@dataclass(frozen=True)
class FuseSlice(RankSlice, CaseSlice):
    fusion: Baseline = at("fusion")
    validation_users: int = at("evaluation.validation_users")


@dataclass(frozen=True)
class ReportSlice:
    """A report is written anew each time and has no key: it may read everything."""

    config: Config


Slice = TypeVar("Slice")


def cut(kind: type[Slice], config: Config, /, **given: Any) -> Slice:
    """The slice of a configuration that `kind` describes; `given` fields replace its own."""
    values = {
        spec.name: given[spec.name] if spec.name in given else _found(config, spec)
        for spec in fields(kind)  # type: ignore[arg-type]
    }
    return kind(**values)


def _found(config: Config, spec: Any) -> Any:
    value: Any = config
    for name in spec.metadata.get("at", spec.name).split("."):
        value = getattr(value, name)
    return value
