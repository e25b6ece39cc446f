"""From tables to cases: what a prompt shows of a user, at the moment the question is asked."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.chains.graph import Graph
from r2rec.config import Prompt
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase


class Texts(NamedTuple):
    """The texts of a data set: items by item id, profiles by user id."""

    items: list[Item]
    profiles: list[str | None]

    def profile(self, user: int) -> str | None:
        """The profile of a user; None for fake users, whose ids follow those of the real ones."""
        if user < len(self.profiles):
            return self.profiles[user]
        return None


def load_texts(prepare: Path) -> Texts:
    """Titles, attributes and profiles of a `prepare` artefact."""
    items = pl.read_parquet(prepare / "items.parquet").sort("item")
    users = pl.read_parquet(prepare / "users.parquet").sort("user")
    return texts(items, users)


def texts(items: pl.DataFrame, users: pl.DataFrame) -> Texts:
    """Titles, attributes and profiles of tables that are sorted by id."""
    shelf = []
    for title, attributes in zip(items["title"], items["attributes"], strict=True):
        shelf.append(Item(title, tuple(attributes)))
    return Texts(shelf, users["profile"].to_list())


class RankingQuestions(NamedTuple):
    """Ranking questions: user q has given `length[q]` ratings so far and is shown `candidates[q]`.

    Later ratings of the user are unknown to the question, for they would give away its answer.
    """

    user: NDArray[np.int64]  # [q]
    length: NDArray[np.int64]  # [q]
    candidates: NDArray[np.uint32]  # [q, k] as shown


def ranking_cases(
    questions: RankingQuestions,
    chains: pl.DataFrame,
    graph: Graph,
    texts: Texts,
    prompt: Prompt,
    *,
    positive_above: float,
) -> list[RankingCase]:
    """The case of each question. It holds what the prompt shows and no more.

    Thoughts are audited against the case, so they too can rest on nothing but the prompt.

    Args:
        chains: Has a column `query`, the index into `questions`, and is sorted by it.
        prompt: `history` is the number of recently liked items shown, the latest last.
        positive_above: A rating above this is a like.
    """
    chains_by_question = {}
    if prompt.chains:
        for key, rows in chains.partition_by("query", as_dict=True).items():
            chains_by_question[key[0]] = tuple(chain_cases(rows, texts))
    cases = []
    pairs = zip(questions.user.tolist(), questions.length.tolist(), strict=True)
    for question, (user, length) in enumerate(pairs):
        liked = _recent_likes(graph, user, length, positive_above, prompt.history)
        case = RankingCase(
            profile=texts.profile(user) if prompt.profile else None,
            history=tuple(texts.items[item] for item in liked),
            chains=chains_by_question.get(question, ()),
            candidates=tuple(texts.items[item] for item in questions.candidates[question]),
        )
        cases.append(case)
    return cases


def _recent_likes(
    graph: Graph, user: int, length: int, positive_above: float, limit: int
) -> list[int]:
    """Items that the user liked among their first `length` ratings: the last `limit`, in order."""
    start = graph.start[user]
    past = slice(start, start + length)
    is_liked = graph.rating[past] > positive_above
    liked: list[int] = graph.item[past][is_liked].tolist()
    return liked[max(0, len(liked) - limit) :]


def chain_cases(chains: pl.DataFrame, texts: Texts) -> list[Chain]:
    """Rows of a chains table as a prompt shows them: item texts for ids, the neighbour unnamed."""
    columns = chains.select("item1", "rating_u1", "rating_v1", "rating_v2", "item2", "rating_u2")
    cases = []
    for item1, rating_u1, rating_v1, rating_v2, item2, rating_u2 in columns.iter_rows():
        chain = Chain(
            texts.items[item1], rating_u1, rating_v1, rating_v2, texts.items[item2], rating_u2
        )
        cases.append(chain)
    return cases


def rating_cases(chains: pl.DataFrame, texts: Texts, prompt: Prompt) -> list[RatingCase]:
    """The paper's question (section 3.2.1) on the chain of each row: how does u rate item2?"""
    cases = []
    for user, chain in zip(chains["user"], chain_cases(chains, texts), strict=True):
        profile = texts.profile(user) if prompt.profile else None
        cases.append(RatingCase(profile, chain))
    return cases
