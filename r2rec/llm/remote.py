"""Generation engine `openai`: any OpenAI-compatible server, for example vLLM's.

Neither weights nor a tokenizer are here. The server applies its own chat template, and each answer
is paid for once.
"""

from collections.abc import Sequence
from dataclasses import replace

from r2rec.base.errors import R2RecError
from r2rec.config import Endpoint, Generation
from r2rec.llm import endpoint
from r2rec.llm.engine import Engine, Question, Setup
from r2rec.llm.responses import Answer


def remote_engine(setup: Setup) -> Engine:
    """The engine that sends requests to `generation.endpoint`.

    Raises:
        ValueError: `setup` has no folder for responses.
    """
    generation = setup.generation
    folder = setup.responses
    if folder is None:
        raise ValueError("generation=openai needs Setup.responses, a folder for the answers")

    def write(questions: Sequence[Question], seed: int) -> list[Answer | None]:
        conversations = [question.messages for question in questions]
        return list(endpoint.answers(conversations, seeded_endpoint(generation, seed), folder))

    def weigh(questions: Sequence[Question]) -> list[list[float] | None]:
        raise R2RecError(
            "generation=openai gives no probabilities of labels; use generation=hf, paged or vllm"
        )

    return Engine(write, weigh)


def seeded_endpoint(generation: Generation, seed: int) -> Endpoint:
    """The endpoint with all options of a request.

    Its own options win over those of the group `generation`; null leaves an option out.

    Raises:
        R2RecError: `generation` has no endpoint.
    """
    server = generation.endpoint
    if server is None:
        raise R2RecError(f"generation={generation.name} needs generation.endpoint, a server")
    options = {
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "max_completion_tokens": generation.max_new_tokens,
        "seed": seed,
        **server.options,
    }
    given = {name: value for name, value in options.items() if value is not None}
    return replace(server, options=given)
