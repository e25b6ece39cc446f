"""From tables to cases: what a prompt shows of a user, at the moment the question is asked."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.chains.before import others_before
from r2rec.chains.graph import Graph, own_ratings
from r2rec.config import Prompt
from r2rec.prompts.cases import Chain, Evidence, Facts, Item, RankingCase, RatingCase
from r2rec.prompts.render import TITLE_LENGTH, clean


class Texts(NamedTuple):
    """The texts of a data set: items by item id, profiles by user id."""

    items: list[Item]
    profiles: list[str | None]

    def profile(self, user: int) -> str | None:
        """The profile of a user; None for fake users, whose ids follow those of the real ones."""
        if user < len(self.profiles):
            return self.profiles[user]
        return None

    def cut(self, length: int) -> "Texts":
        """The same texts, with titles of at most `length` characters."""
        items = [Item(clean(item.title, length), item.attributes) for item in self.items]
        return Texts(items, self.profiles)


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
    time: NDArray[np.int64] | None = None  # [q] what others rated from then on is unknown too


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
    if prompt.title_length < TITLE_LENGTH:
        texts = texts.cut(prompt.title_length)  # a thought may tell no more than the prompt
    chains_by_question: dict[Any, tuple[Chain, ...]] = {}
    evidence_by_question: dict[Any, tuple[Evidence, ...]] = {}
    if prompt.chains:
        by_question = chains.partition_by("query", as_dict=True)
        for (question,), rows in by_question.items():
            if "strength" in chains.columns:
                shown = questions.candidates[question].tolist()
                evidence_by_question[question] = evidence_of(rows, shown, texts)
            else:
                chains_by_question[question] = tuple(chain_cases(rows, texts, prompt))
    facts: list[tuple[Facts, ...]] = [()] * len(questions.user)
    tells_facts = prompt.facts
    if tells_facts is None:
        tells_facts = bool(evidence_by_question)
    if tells_facts:
        facts = candidate_facts(questions, graph, positive_above)
    cases = []
    pairs = zip(questions.user.tolist(), questions.length.tolist(), strict=True)
    for question, (user, length) in enumerate(pairs):
        liked = _recent_likes(graph, user, length, positive_above, prompt.history)
        case = RankingCase(
            profile=texts.profile(user) if prompt.profile else None,
            history=tuple(texts.items[item] for item in liked),
            chains=chains_by_question.get(question, ()),
            candidates=tuple(texts.items[item] for item in questions.candidates[question]),
            evidence=evidence_by_question.get(question, ()),
            facts=facts[question],
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


def evidence_of(rows: pl.DataFrame, shown: list[int], texts: Texts) -> tuple[Evidence, ...]:
    """The evidence chains of one question, in the order in which its candidates are shown.

    Args:
        rows: One for each candidate, the strongest first (`chains.evidence`).
    """
    if "witness" not in rows.columns:
        rows = rows.with_columns(witness=None)
    columns = rows.select(
        "item2", "item1", "rating_u1", "raters", "soon", "liked", "links", "witness"
    )
    by_item = {}
    for place, row in enumerate(columns.iter_rows(), start=1):
        item2, item1, rating, raters, soon, liked, links, witness = row
        begins = None if item1 is None else texts.items[item1]
        by_item[item2] = Evidence(
            place, begins, rating or 0.0, raters or 0, soon, liked, links, witness
        )
    return tuple(by_item[item] for item in shown)


def candidate_facts(
    questions: RankingQuestions, graph: Graph, positive_above: float
) -> list[tuple[Facts, ...]]:
    """How many others rated each candidate, and what percentage of them liked it.

    The question's own user is left out: their rating of a training target would give it away.
    """
    n_ratings, n_likes = _others(questions, graph, positive_above)
    percent = np.round(100 * n_likes / np.maximum(n_ratings, 1)).astype(np.int64)
    facts = []
    for row_ratings, row_percent in zip(n_ratings.tolist(), percent.tolist(), strict=True):
        facts.append(tuple(map(Facts, row_ratings, row_percent)))
    return facts


def _others(
    questions: RankingQuestions, graph: Graph, positive_above: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """[q, k] how many others rated each candidate, and [q, k] how many of them liked it."""
    shown = questions.candidates.astype(np.int64)
    if questions.time is not None:
        return others_before(graph, questions.user, shown, questions.time, positive_above)
    is_like = graph.rating > positive_above
    likes = np.bincount(graph.item, weights=is_like, minlength=graph.n_items)
    ratings = np.diff(graph.raters.indptr)
    own = own_ratings(graph, questions.user, shown)
    return ratings[shown] - (own > 0), likes[shown] - (own > positive_above)


def chain_cases(chains: pl.DataFrame, texts: Texts, prompt: Prompt) -> list[Chain]:
    """Rows of a chains table as a prompt shows them: item texts for ids, the neighbour unnamed.

    Prompts in prose tell the neighbour's profile where they tell the user's.
    """
    columns = chains.select("item1", "rating_u1", "rating_v1", "rating_v2", "item2", "rating_u2")
    profiles: list[str | None] = [None] * chains.height
    if prompt.prose and prompt.profile and "neighbour" in chains.columns:
        profiles = [texts.profile(neighbour) for neighbour in chains["neighbour"]]
    cases = []
    for row, profile in zip(columns.iter_rows(), profiles, strict=True):
        item1, rating_u1, rating_v1, rating_v2, item2, rating_u2 = row
        first, second = texts.items[item1], texts.items[item2]
        cases.append(Chain(first, rating_u1, rating_v1, rating_v2, second, rating_u2, profile))
    return cases


def rating_cases(chains: pl.DataFrame, texts: Texts, prompt: Prompt) -> list[RatingCase]:
    """The paper's question (section 3.2.1) on the chain of each row: how does u rate item2?"""
    cases = []
    for user, chain in zip(chains["user"], chain_cases(chains, texts, prompt), strict=True):
        profile = texts.profile(user) if prompt.profile else None
        cases.append(RatingCase(profile, chain))
    return cases
