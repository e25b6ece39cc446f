"""From tables to cases: what a prompt shows of a user, at the moment it is asked."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.chains.graph import Graph
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase


class Texts(NamedTuple):
    """What the data says in words: by item id, and by user id."""

    items: list[Item]
    profiles: list[str | None]

    def profile(self, user: int) -> str | None:
        """Nothing is known of fake users, whose ids follow the real ones'."""
        return self.profiles[user] if user < len(self.profiles) else None


def load_texts(prepare: Path) -> Texts:
    """Titles, attributes and profiles of a `prepare` artefact."""
    items = pl.read_parquet(prepare / "items.parquet").sort("item")
    users = pl.read_parquet(prepare / "users.parquet").sort("user")
    return texts(items, users)


def texts(items: pl.DataFrame, users: pl.DataFrame) -> Texts:
    """The same from tables sorted by id."""
    pairs = zip(items["title"], items["attributes"], strict=True)
    return Texts([Item(t, tuple(a)) for t, a in pairs], users["profile"].to_list())


class RankingQuestions(NamedTuple):
    """Ranking questions, one per entry: user u, having done their first `length` ratings, among `candidates`."""

    user: NDArray[np.int64]  # [q]
    length: NDArray[np.int64]  # [q]
    candidates: NDArray[np.uint32]  # [q, k] as shown


def ranking_cases(
    asked: RankingQuestions,
    chains: pl.DataFrame,
    graph: Graph,
    known: Texts,
    prompt: DictConfig,
    *,
    positive_above: float,
) -> list[RankingCase]:
    """The case of each question: what a thought rests on, and is judged by, is what the prompt shows and no more.

    Args:
        chains: With a column `query`, the index into `asked`, sorted by it.
        prompt: Group `prompt`: `history` is how many of the most recent liked items are shown, the latest last.
    """
    of_query = chains.partition_by("query", as_dict=True) if prompt.chains else {}
    cases = []
    for q, (user, length) in enumerate(zip(asked.user, asked.length, strict=True)):
        past = slice(graph.start[user], graph.start[user] + length)
        items, ratings = graph.item[past], graph.rating[past]
        liked = items[ratings > positive_above].tolist()
        own = of_query.get((q,))
        cases.append(
            RankingCase(
                known.profile(user) if prompt.profile else None,
                tuple(known.items[i] for i in liked[max(0, len(liked) - prompt.history) :]),
                tuple(chain_cases(own, known)) if own is not None else (),
                tuple(known.items[i] for i in asked.candidates[q]),
            )
        )
    return cases


def chain_cases(chains: pl.DataFrame, known: Texts) -> list[Chain]:
    """Rows of a chains table as a prompt shows them: texts in place of ids, the neighbour without a name."""
    columns = chains.select("item1", "rating_u1", "rating_v1", "rating_v2", "item2", "rating_u2")
    return [
        Chain(known.items[i1], u1, v1, v2, known.items[i2], u2)
        for i1, u1, v1, v2, i2, u2 in columns.iter_rows()
    ]


def rating_cases(chains: pl.DataFrame, known: Texts, prompt: DictConfig) -> list[RatingCase]:
    """The paper's question on one chain, for each row: what does the user rate item2?"""
    pairs = zip(chains["user"], chain_cases(chains, known), strict=True)
    return [
        RatingCase(known.profile(user) if prompt.profile else None, case) for user, case in pairs
    ]
