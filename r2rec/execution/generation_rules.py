"""Ways of generating that cannot work."""

from collections.abc import Iterator
from importlib.util import find_spec

from r2rec.config import Config, Generation
from r2rec.pipeline import PLACES

PLAIN_ENGINES = (
    "r2rec.llm.hf.hf_engine",
    "r2rec.llm.paged.paged_engine",
    "r2rec.llm.remote.remote_engine",
)

Rules = Iterator[str]


def generation_rules(config: Config) -> Rules:
    """Who writes answers, and who teaches."""
    generation = config.generation
    yield from _engine_rules("generation", generation, config.model.max_length)
    if generation.name == "vllm":
        if config.hardware.processes > 1:
            yield (
                "generation=vllm runs in one process; with hardware.processes above 1 use hf, "
                "or openai (`vllm serve`)"
            )
        ranks = config.until is None or PLACES.index(config.until) >= PLACES.index("rank")
        if ranks and find_spec("vllm") is None:
            yield "generation=vllm needs pip install 'r2rec[vllm]'; without, use generation=hf"
    teacher = config.teacher
    if teacher.model and teacher.model.packed:
        yield "teacher.model.path is a GGUF file; give a folder with safetensors, or a hub id"
    if teacher.generation:
        longest = (teacher.model or config.model).max_length
        yield from _engine_rules("teacher.generation", teacher.generation, longest)
        if teacher.generation.by != "text" or teacher.generation.constrained:
            yield "teacher.generation: a teacher writes freely, by=text"
    judge = teacher.judge
    if judge:
        longest = (teacher.model or config.model).max_length
        yield from _engine_rules("teacher.judge", judge, longest)
        if judge.by != "text" or judge.constrained:
            yield "teacher.judge: a judge writes its verdict freely, by=text"
    if config.prompt.prose and config.prompt.compact:
        yield "prompt.compact shortens what prompt.prose spells out: leave one of them out"
    if generation.by == "labels" and config.prompt.reasoning:
        yield (
            "generation.by=labels asks which label comes first, not for a thought: "
            "add prompt=no_reasoning"
        )
    trained = [
        name
        for name in ("sft", "rl")
        if getattr(config, name).enabled and name in config.evaluation.arms
    ]
    if generation.endpoint and config.baseline._target_ is None and trained:
        yield (
            f"generation={generation.name} asks a server, which has no adapter trained here: "
            "add evaluation.arms=[base]"
        )


def _given_params(where: str, generation: Generation) -> Rules:
    """Arguments for an engine of ours that takes none."""
    given = [name for name, value in generation.params.items() if value is not None]
    if given and generation._target_ in PLAIN_ENGINES:
        yield (
            f"{where}.params.{given[0]}: {where}={generation.name} takes no further arguments, "
            "generation=vllm does"
        )


def _engine_rules(where: str, generation: Generation, longest: int) -> Rules:
    """One way of generating, for a model that reads `longest` tokens."""
    yield from _given_params(where, generation)
    if generation.by == "labels" and generation.constrained:
        yield f"{where}.by=labels writes no answer to be constrained"
    if generation.endpoint:
        cannot = f"{where}={generation.name} asks a server"
        if generation.constrained:
            yield f"{cannot}, which can't name each label once: leave {where}.constrained out"
        if generation.by == "labels":
            yield f"{cannot}, which gives no probabilities of labels: leave {where}.by out"
    elif generation.max_new_tokens >= longest:
        yield (
            f"{where}.max_new_tokens={generation.max_new_tokens} leaves no room for a prompt "
            f"in model.max_length={longest}"
        )
