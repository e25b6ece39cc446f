"""Closed questions to a language model: what it is told of a user, and the answers to choose."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra.utils import get_method

from r2rec.config.slices import PromptSlice
from r2rec.llm import chat
from r2rec.llm.turns import end_token
from r2rec.prompts.cases import RankingCase
from r2rec.tasks.assemble import Texts

# Stands where an item's vector goes: a private character, and `clean` removes these from all data.
MARK = "\ue000"


class View(NamedTuple):
    """What a user had done before some moment, and which items are shown to them then."""

    user: int
    liked: list[int]  # items, latest last
    disliked: list[int]  # items with any other rating, latest last
    candidates: list[int]
    positive: int | None = None  # index of the true answer in `candidates`, where it is known


class ClosedQuestion(NamedTuple):
    """A question with a fixed list of answers.

    Options start with a space: that is how vocabularies hold words that follow others.
    """

    prompt: str
    lead: str  # what the model's turn begins with
    options: tuple[str, ...]  # what comes next; the first ones stand for candidates, in order
    answer: str | None  # the true one, where it is known
    marked: tuple[int, ...] = ()  # the items of the prompt's marks, in order


def closed_questions(
    choices: PromptSlice,
    target: str,
    params: Mapping[str, Any],
    views: Sequence[View],
    texts: Texts,
) -> list[ClosedQuestion]:
    """All questions about these views, in order; the same number for each view.

    Args:
        target, params: The baseline's function `(view, texts, prompt, words, **params)`.
    """
    ask = get_method(target)
    questions: list[ClosedQuestion] = []
    for view in views:
        questions += ask(view, texts, choices.prompt, choices.words, **params)
    return questions


def case_questions(
    choices: PromptSlice,
    target: str,
    params: Mapping[str, Any],
    cases: Sequence[RankingCase],
) -> list[ClosedQuestion]:
    """One question about each ranking case, in order; its options stand for the candidates.

    Args:
        target, params: The baseline's function `(case, prompt, words, **params)`.
    """
    ask = get_method(target)
    return [ask(case, choices.prompt, choices.words, **params) for case in cases]


def encode_closed(tokenizer: Any, question: ClosedQuestion, hybrid: bool) -> list[int]:
    """Token ids of the prompt and the lead.

    Args:
        hybrid: Put -1 - item at each mark, for the item's vector (`llara.Hybrid`); without it,
            marks are left out.
    """
    conversation = chat.rendered_conversation(tokenizer, question.prompt, reasoning=False)
    texts = (conversation + question.lead).split(MARK)
    if not hybrid:
        return _encode(tokenizer, "".join(texts))
    ids = _encode(tokenizer, texts[0])
    for item, text in zip(question.marked, texts[1:], strict=True):
        ids += [-1 - item, *_encode(tokenizer, text)]
    return ids


def encode_answer(tokenizer: Any, question: ClosedQuestion) -> list[int]:
    """Token ids of the true answer and its end."""
    if question.answer is None:
        raise ValueError("a question to learn from needs its answer")
    return [*_encode(tokenizer, question.answer), end_token(tokenizer)]


def encode_options(tokenizer: Any, question: ClosedQuestion) -> list[list[int]]:
    """Token ids of each option."""
    return [_encode(tokenizer, option) for option in question.options]


def _encode(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    return ids
