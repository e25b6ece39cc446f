"""What an engine is: questions in, answers out, in order and seeded; how it loads is its own affair.

An engine is a function `(Setup) -> Engine`, named by `generation._target_`. Nothing heavy is imported here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from r2rec.base import processes
from r2rec.llm.chat import Messages, encode, rendered_conversation
from r2rec.llm.endpoint import Answer
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS


class Question(NamedTuple):
    messages: Messages
    labels: int = 0  # candidates that the answer ranks; 0: it ranks none


class Setup(NamedTuple):
    """What an engine may load from."""

    generation: DictConfig
    model: DictConfig | None
    hardware: DictConfig
    reasoning: bool  # whether a thought is asked for
    made: Path | None = None  # the backbone made here, where `model` names none
    adapter: Path | str | None = None
    responses: Path | None = None  # where answers of an endpoint are kept


class Engine(NamedTuple):
    """A language model, loaded once; both functions give None for a prompt that leaves no room for its answer."""

    write: Callable[[Sequence[Question], int], list[Answer | None]]  # (questions, seed)
    # ln P(label k opens the answer's list | one of the labels does), [labels] for each question
    weigh: Callable[[Sequence[Question]], list[list[float] | None]]


Generate = Callable[
    [list[list[int]], list[int], list[int]], list[str]
]  # (prompts, seeds and labels of each) -> texts
Weigh = Callable[
    [list[list[int]], list[list[int]]], Any
]  # (prompts [n], options [k]) -> log-probabilities [n, k]


def on_tokens(setup: Setup, tokenizer: Any, generate: Generate, weigh: Weigh) -> Engine:
    """The engine on token ids: what those with weights in this process have in common."""

    def fitting(prompts: list[list[int]], new_tokens: int) -> dict[int, list[int]]:
        """Index -> the prompts that leave room for so many new tokens."""
        return {
            k: ids
            for k, ids in enumerate(prompts)
            if len(ids) + new_tokens <= _model(setup).max_length
        }

    def write(questions: Sequence[Question], seed: int) -> list[Answer | None]:
        asked = [encode(tokenizer, q.messages, setup.reasoning) for q in questions]
        prompts = fitting(asked, setup.generation.max_new_tokens)
        # A seed each: who answers which questions, and how many at once, changes no answer.
        rows = [(ids, seed + k, questions[k].labels) for k, ids in prompts.items()]
        texts = processes.map_rows(
            rows,
            lambda own: generate([r[0] for r in own], [r[1] for r in own], [r[2] for r in own]),
        )
        spent = {
            k: Answer(t, len(prompts[k]), len(tokenizer.encode(t)), 0.0)
            for k, t in zip(prompts, texts, strict=True)
        }
        return [spent.get(k) for k in range(len(questions))]

    def weighed(questions: Sequence[Question]) -> list[list[float] | None]:
        begun, options = _first_labels(tokenizer)
        asked = [_up_to(begun, tokenizer, q.messages, setup.reasoning) for q in questions]
        prompts = fitting(asked, max(map(len, options)))
        most = max((questions[k].labels for k in prompts), default=0)
        rows = weigh([*prompts.values()], options[:most]) if prompts else []
        found = {
            k: _normal(row[: questions[k].labels]) for k, row in zip(prompts, rows, strict=True)
        }
        return [found.get(k) for k in range(len(questions))]

    return Engine(write, weighed)


def in_process(setup: Setup, generate: Callable[..., list[str]]) -> Engine:
    """The engine on weights that are loaded here; `generate` is called as `hf.generate`."""
    from r2rec.llm.scoring import option_logprobs

    tokenizer, model = loaded(setup)
    spec = setup.generation

    def texts(prompts: list[list[int]], seeds: list[int], labels: list[int]) -> list[str]:
        ranked = labels if spec.constrained else None
        return generate(model, tokenizer, prompts, spec, seeds, ranked, setup.reasoning)

    def weigh(prompts: list[list[int]], options: list[list[int]]) -> Any:
        longest = max(map(len, prompts)) + max(map(len, options))
        return option_logprobs(model, tokenizer, prompts, options, spec.batch_size * longest)

    return on_tokens(setup, tokenizer, texts, weigh)


def loaded(setup: Setup) -> tuple[Any, Any]:
    """Tokenizer and weights, on the device, with the adapter merged."""
    from r2rec.llm import load, runtime

    device = runtime.settle(setup.hardware)
    tokenizer = load.tokenizer(_model(setup), setup.made)
    model = load.weights(_model(setup), setup.made, setup.adapter).to(device)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()  # the same function, without the adapter's extra products
    return tokenizer, model.eval()


def _model(setup: Setup) -> DictConfig:
    assert setup.model is not None
    return setup.model


def _up_to(begun: str, tokenizer: Any, messages: Messages, reasoning: bool) -> list[int]:
    """Token ids of a conversation in which the answer has begun; after an empty thought, where one is asked for."""
    text = rendered_conversation(tokenizer, messages, reasoning=False)
    thought = "" if reasoning and not text.rstrip().endswith("</think>") else None
    return tokenizer.encode(text + render_completion(thought, begun), add_special_tokens=False)


def _first_labels(tokenizer: Any) -> tuple[str, list[list[int]]]:
    """How an answer begins, and for each label the token ids that follow."""
    begun = render_ranking("").rstrip()
    start = len(tokenizer.encode(begun, add_special_tokens=False))
    return begun, [
        tokenizer.encode(f"{begun} {x}", add_special_tokens=False)[start:] for x in LABELS
    ]


def _normal(row: Any) -> list[float]:
    """Log-probabilities that sum to one."""
    import numpy as np

    values = np.asarray(row, np.float64)
    return (values - np.logaddexp.reduce(values)).tolist()
