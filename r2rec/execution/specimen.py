"""A handful of made-up ratings, cases and answers, for functions of one's own to be tried on."""

import numpy as np
import polars as pl
from numpy.random import Generator

from r2rec.chains.graph import Graph, Queries, build_graph, queries
from r2rec.config import Config
from r2rec.evaluate.diagnostics import DiagnosedArm, Reply
from r2rec.prompts.answer import render_ranking
from r2rec.prompts.cases import LABELS, Chain, Evidence, Facts, Item, RankingCase
from r2rec.tasks.assemble import Texts

N_USERS = 12
N_ITEMS = 30
N_RATED = 10  # ratings of each user
K = 4  # candidates
USERS = np.array([0, 3, 5], np.uint32)
FIRST_DAY = 1_700_000_000  # seconds
SHIPPED = "r2rec."
EVIDENCE = "r2rec.chains.evidence."


def rng() -> Generator:
    """The same draws at every call."""
    return np.random.default_rng(0)


def train_table() -> pl.DataFrame:
    """Ratings as stage `split` leaves them: user, item, rating, timestamp, by user and time."""
    draw = rng()
    items = np.concatenate([_items(draw) for _ in range(N_USERS)])
    user = np.repeat(np.arange(N_USERS), N_RATED)
    return pl.DataFrame(
        {
            "user": user.astype(np.uint32),
            "item": items.astype(np.uint32),
            "rating": draw.integers(1, 6, len(items)).astype(np.float32),
            "timestamp": FIRST_DAY + np.arange(len(items), dtype=np.int64),
        }
    )


def _items(draw: Generator) -> np.ndarray:
    return draw.permutation(N_ITEMS - K)[:N_RATED]


def candidates() -> np.ndarray:
    """[users, K] items that none of USERS has rated."""
    return np.tile(np.arange(N_ITEMS - K, N_ITEMS, dtype=np.uint32), (len(USERS), 1))


def graph() -> Graph:
    """The graph of `train_table`."""
    return build_graph(train_table(), N_USERS, N_ITEMS)


def chain_queries() -> Queries:
    """A query of each of USERS."""
    return queries(graph(), USERS, candidates=candidates())


def item(number: int) -> Item:
    """An item as data describe it."""
    return Item(f"Title {number}", ("Drama",))


def item_texts() -> Texts:
    """Titles and profiles of all items and users."""
    return Texts([item(number) for number in range(N_ITEMS)], ["25-34 writer"] * N_USERS)


def case(config: Config) -> RankingCase:
    """A ranking case with the chains that this configuration tells."""
    prompt = config.prompt
    target = config.chain_sampler._target_ or ""
    chains: tuple[Chain, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    if prompt.chains and target.startswith(EVIDENCE):
        evidence = tuple(
            Evidence(place + 1, item(place), 5.0, 30, 12 - place, 6, 2) for place in range(K)
        )
    elif prompt.chains and target:
        last = 4.0 if config.chain_sampler.closed else None
        chains = tuple(Chain(item(n), 5.0, 4.0, 2.0, item(n + 2), last) for n in range(2))
    return RankingCase(
        profile="25-34 writer" if prompt.profile else None,
        history=(item(10), item(11))[: prompt.history],
        chains=chains,
        candidates=tuple(item(N_ITEMS - K + index) for index in range(K)),
        evidence=evidence,
        facts=() if prompt.facts is False else (Facts(20, 60),) * K,
    )


def two_answers(reasoning: bool) -> list[str]:
    """Two answers to a case: a good one, and one that cannot be read."""
    thought = "<think>\nStep 1: A is liked.\nStep 2: B is not.\nStep 3: A first.\n</think>\n"
    good = render_ranking(LABELS[:K])
    return [f"{thought}{good}" if reasoning else good, "I cannot tell."]


def diagnosed(config: Config) -> DiagnosedArm:
    """An arm that answers everything in the order shown."""
    cases = [case(config)] * len(USERS)
    shown = tuple(range(K))
    text = two_answers(config.prompt.reasoning)[0]

    def ask(asked: object, seed: int) -> list[Reply]:
        return [Reply(shown, text, 20) for _ in asked]  # type: ignore[attr-defined]

    def weigh(asked: object) -> list[list[float] | None]:
        return [[-1.0, -2.0, -3.0, -4.0] for _ in asked]  # type: ignore[attr-defined]

    positive = np.zeros(len(cases), np.int64)
    popularity = np.arange(1, len(cases) + 1)
    return DiagnosedArm(cases, positive, popularity, ask(cases, 0), ask, weigh)
