"""Closed questions to a language model: what it is told of a user at some moment, and the answers it chooses from."""

from typing import Any, NamedTuple

from numpy.typing import NDArray

from r2rec.chains.graph import Graph
from r2rec.llm import chat

MARK = "\ue000"  # stands where an item's vector goes; `clean` lets no text from the data hold a private character


class View(NamedTuple):
    """What a user had done before some moment, and what is shown to them then."""

    user: int
    liked: list[int]  # items, latest last
    disliked: list[int]  # items rated otherwise, latest last
    candidates: list[int]
    positive: int | None = None  # the place of the true answer in `candidates`


class ClosedQuestion(NamedTuple):
    """Options start with a space: that is how vocabularies hold words that follow others."""

    prompt: str
    lead: str  # what the model's turn begins with
    options: tuple[str, ...]  # what comes next; the first ones stand for candidates, in order
    answer: str | None  # the true one, where it is known
    marked: tuple[int, ...] = ()  # the items of the prompt's marks, in order


def build_views(
    graph: Graph, user: NDArray, length: NDArray, shown: NDArray, history: int, above: float,
    place: NDArray | None = None,
) -> list[View]:  # fmt: skip
    """A view per row: user u after their first `length` ratings, before candidates [n, k].

    Args:
        history: Items of each kind that are told, the latest ones.
        above: A rating above this is a like.
        place: [n] where the true answer stands; None: it is not known.
    """
    made = []
    for row, (u, end) in enumerate(zip(user, length, strict=True)):
        past = slice(graph.start[u], graph.start[u] + end)
        items, likes = graph.item[past], graph.rating[past] > above
        liked, disliked = (
            items[which][max(0, which.sum() - history) :].tolist() for which in (likes, ~likes)
        )
        made.append(
            View(
                int(u),
                liked,
                disliked,
                shown[row].tolist(),
                None if place is None else int(place[row]),
            )
        )
    return made


def encode_closed(tokenizer: Any, question: ClosedQuestion, hybrid: bool) -> list[int]:
    """Token ids of the prompt; with `hybrid` an item's vector is named at each mark, as -1 - item."""
    words = (
        chat.rendered_conversation(tokenizer, question.prompt, reasoning=False) + question.lead
    ).split(MARK)
    if not hybrid:
        return tokenizer.encode("".join(words), add_special_tokens=False)
    ids = tokenizer.encode(words[0], add_special_tokens=False)
    for item, text in zip(question.marked, words[1:], strict=True):
        ids += [-1 - item, *tokenizer.encode(text, add_special_tokens=False)]
    return ids
