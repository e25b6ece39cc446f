"""Generation engine `openai`: any OpenAI-compatible server, vLLM's and `transformers serve` among them.

No weights and no tokenizer are here; the server keeps its own chat template, and what it answers is paid for once.
"""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError
from r2rec.llm import endpoint
from r2rec.llm.engine import Engine, Question, Setup


def remote_engine(setup: Setup) -> Engine:
    """Requests by the endpoint of `generation`; its options come before the group's own, and null leaves one out."""
    spec, responses = setup.generation, setup.responses
    assert responses is not None

    def write(questions: Sequence[Question], seed: int) -> list[endpoint.Answer | None]:
        return list(endpoint.answers([q.messages for q in questions], asked(spec, seed), responses))

    def weigh(questions: Sequence[Question]) -> list[list[float] | None]:
        raise R2RecError(
            "generation=openai gives no probabilities of labels; use generation=hf, paged or vllm"
        )

    return Engine(write, weigh)


def asked(generation: DictConfig, seed: int) -> DictConfig:
    """The endpoint, with all that a request says."""
    options = {
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "max_completion_tokens": generation.max_new_tokens,
        "seed": seed,
        **generation.endpoint.options,
    }
    spec = generation.endpoint.copy()
    spec.options = OmegaConf.create(
        {key: value for key, value in options.items() if value is not None}
    )
    return spec
