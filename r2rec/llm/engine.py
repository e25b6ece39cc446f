"""What an engine is: questions in, answers out, in order and seeded.

An engine is made by a function `(Setup) -> Engine`, which `generation._target_` names. How it loads
its model is its own affair; nothing heavy is imported here.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base import processes
from r2rec.base.errors import R2RecError
from r2rec.config import Generation, Hardware, Model
from r2rec.llm.chat import Messages, dialect, encode, rendered_conversation
from r2rec.llm.responses import Answer
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS
from r2rec.prompts.dialects import in_dialect


class Written(NamedTuple):
    """A completion."""

    text: str
    tokens: int  # generated for it, the end of the turn included


class Question(NamedTuple):
    """A conversation that the model continues."""

    messages: Messages
    labels: int = 0  # candidates that the answer ranks; 0: it ranks none
    expected: str = ""  # what the answer may be close to: makes engines faster, and nothing else


class Setup(NamedTuple):
    """What an engine may load from."""

    generation: Generation
    model: Model | None  # None: an endpoint answers
    hardware: Hardware
    reasoning: bool  # whether a thought is asked for
    made: Path | None = None  # the backbone trained here, where `model` has no path
    adapter: Path | str | None = None
    responses: Path | None = None  # where the answers of an endpoint are stored

    @property
    def backbone(self) -> Model:
        """The model, for engines that have its weights.

        Raises:
            R2RecError: None is given.
        """
        if self.model is None:
            raise R2RecError(
                f"generation={self.generation.name} needs the weights of a model: name one, "
                "or let an endpoint answer with generation=openai"
            )
        return self.model


class Engine(NamedTuple):
    """A language model, loaded once.

    Both functions give None for a prompt that leaves no room for its answer.
    """

    # (questions, seed) -> answers
    write: Callable[[Sequence[Question], int], list[Answer | None]]
    # questions -> ln P(label k opens the list | some label does), [labels] for each question
    weigh: Callable[[Sequence[Question]], list[list[float] | None]]


Prompts = list[list[int]]  # token ids
# (prompts, seeds, labels, expected texts) -> completions
Generate = Callable[[Prompts, list[int], list[int], list[str]], list[Written]]
Weigh = Callable[[Prompts, Prompts], Any]  # (prompts [n], options [k]) -> log-probabilities [n, k]


class TokenEngine:
    """What engines have in common that hold tokenizer and weights: questions become token ids."""

    def __init__(
        self,
        setup: Setup,
        tokenizer: Any,
        generate: Generate,
        weigh: Weigh,
    ) -> None:
        self.tokenizer = tokenizer
        self.reasoning = setup.reasoning
        self.max_length = setup.backbone.max_length
        self.new_tokens = setup.generation.max_new_tokens
        self.generate_texts = generate
        self.weigh_options = weigh

    def write(self, questions: Sequence[Question], seed: int) -> list[Answer | None]:
        """Answers to the questions.

        Each has its own seed, so neither batching nor the number of processes changes an answer.
        """
        encoded = []
        for question in questions:
            ids = encode(self.tokenizer, question.messages, self.reasoning)
            encoded.append(ids)
        prompts = self._fitting(encoded, self.new_tokens)
        rows = []
        for index, ids in prompts.items():
            question = questions[index]
            rows.append((ids, seed + index, question.labels, question.expected))
        completions = processes.map_rows(rows, self._generate_rows)
        answers: list[Answer | None] = [None] * len(questions)
        for index, completion in zip(prompts, completions, strict=True):
            answers[index] = Answer(
                completion.text,
                prompt_tokens=len(prompts[index]),
                completion_tokens=completion.tokens,
                cost=0.0,
            )
        return answers

    def weigh(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """Log-probabilities of the labels of each question."""
        opening, options = _first_labels(self.tokenizer)
        encoded = []
        for question in questions:
            ids = _opened(self.tokenizer, question.messages, self.reasoning, opening)
            encoded.append(ids)
        longest_option = max(map(len, options))
        prompts = self._fitting(encoded, longest_option)
        weights: list[list[float] | None] = [None] * len(questions)
        if not prompts:
            return weights
        most_labels = max(questions[index].labels for index in prompts)
        fitting = list(prompts.values())
        table = self.weigh_options(fitting, options[:most_labels])
        for index, row in zip(prompts, table, strict=True):
            labels = questions[index].labels
            weights[index] = _normalised(row[:labels])
        return weights

    def _fitting(self, prompts: Prompts, new_tokens: int) -> dict[int, list[int]]:
        """Index -> prompt, of the prompts that leave room for so many new tokens."""
        fitting = {}
        longest = self.max_length - new_tokens
        for index, ids in enumerate(prompts):
            if len(ids) <= longest:
                fitting[index] = ids
        return fitting

    def _generate_rows(self, rows: list[tuple[list[int], int, int, str]]) -> list[Written]:
        """Completions for rows (prompt, seed, labels, expected text)."""
        prompts = []
        seeds = []
        labels = []
        expected = []
        for ids, seed, n, text in rows:
            prompts.append(ids)
            seeds.append(seed)
            labels.append(n)
            expected.append(text)
        return self.generate_texts(prompts, seeds, labels, expected)


def on_tokens(
    setup: Setup,
    tokenizer: Any,
    generate: Generate,
    weigh: Weigh,
) -> Engine:
    """The engine on two functions of token ids."""
    engine = TokenEngine(setup, tokenizer, generate, weigh)
    return Engine(engine.write, engine.weigh)


def in_process(setup: Setup, generate: Callable[..., list[Written]]) -> Engine:
    """The engine on weights that are loaded here; `generate` has the signature of `hf.generate`."""
    from r2rec.llm.scoring import option_logprobs

    tokenizer, model = loaded(setup)
    generation = setup.generation

    def texts(
        prompts: Prompts, seeds: list[int], labels: list[int], expected: list[str]
    ) -> list[Written]:
        constrained_labels = None
        if generation.constrained:
            constrained_labels = labels
        return generate(
            model,
            tokenizer,
            prompts,
            generation,
            seeds,
            constrained_labels,
            setup.reasoning,
            expected,
        )

    def weigh(prompts: Prompts, options: Prompts) -> Any:
        longest_prompt = max(map(len, prompts))
        longest_option = max(map(len, options))
        batch_tokens = generation.batch_size * (longest_prompt + longest_option)
        return option_logprobs(model, tokenizer, prompts, options, batch_tokens)

    return on_tokens(setup, tokenizer, texts, weigh)


def loaded(setup: Setup) -> tuple[Any, Any]:
    """Tokenizer, and model on the device, with the adapter merged into it."""
    from r2rec.llm import load, runtime

    device = runtime.settle(setup.hardware)
    backbone = setup.backbone
    tokenizer = load.tokenizer(backbone, setup.made)
    model = load.weights(backbone, setup.made, setup.adapter, device=device)
    model = model.to(device)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()  # the same function, without the adapter's extra products
    return tokenizer, model.eval()


def _opened(
    tokenizer: Any,
    messages: Messages,
    reasoning: bool,
    opening: str,
) -> list[int]:
    """Token ids of a conversation whose answer has begun, after an empty thought if one is due."""
    text = rendered_conversation(tokenizer, messages, reasoning=False)
    marks = dialect(tokenizer)
    closed = text.rstrip().endswith((marks.closing.strip(), marks.plain or marks.closing.strip()))
    thought = None
    if reasoning and not closed:
        thought = ""
    text += in_dialect(render_completion(thought, opening), marks)
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids


def _first_labels(tokenizer: Any) -> tuple[str, Prompts]:
    """How an answer begins, and for each label the token ids that follow."""
    opening = render_ranking("").rstrip()
    start = len(tokenizer.encode(opening, add_special_tokens=False))
    options = []
    for label in LABELS:
        ids = tokenizer.encode(f"{opening} {label}", add_special_tokens=False)
        options.append(ids[start:])
    return opening, options


def _normalised(row: Any) -> list[float]:
    """Log-probabilities that sum to one."""
    import numpy as np

    values = np.asarray(row, np.float64)
    total = np.logaddexp.reduce(values)
    normalised: list[float] = (values - total).tolist()
    return normalised
