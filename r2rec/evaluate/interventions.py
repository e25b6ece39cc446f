"""A ranking case with one thing about it changed, to see what the answer rests on."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from r2rec.prompts.cases import Chain, Item, RankingCase

Cases = Sequence[RankingCase]


def shuffled(
    cases: Cases, rng: np.random.Generator
) -> tuple[list[RankingCase], list[NDArray[np.int64]]]:
    """Candidates in a new order, and for each case where its k-th candidate stood before."""
    orders = [rng.permutation(len(case.candidates)) for case in cases]
    pairs = zip(cases, orders, strict=True)
    return [
        case._replace(candidates=tuple(case.candidates[k] for k in order)) for case, order in pairs
    ], orders


def without_chains(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    return [case._replace(chains=()) for case in cases]


def swapped_chains(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    """Each case with the chains of another user: the next one in a random ring."""
    ring = rng.permutation(len(cases))
    given = dict(zip(ring.tolist(), np.roll(ring, 1).tolist(), strict=True))
    return [case._replace(chains=cases[given[k]].chains) for k, case in enumerate(cases)]


def reversed_ratings(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    """Every rating in a chain turned into its opposite, 5 stars into 1."""

    def turned(chain: Chain) -> Chain:
        given = {
            k: v for k, v in chain._asdict().items() if k.startswith("rating") and v is not None
        }
        return chain._replace(**{k: 6 - v for k, v in given.items()})

    return [case._replace(chains=tuple(map(turned, case.chains))) for case in cases]


def without_history(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    return [case._replace(history=()) for case in cases]


def unknown_user(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    """Nothing but the candidates: what is still right is known from elsewhere, or a prior."""
    return [RankingCase(None, (), (), case.candidates) for case in cases]


def masked_titles(cases: Cases, rng: np.random.Generator) -> list[RankingCase]:
    """Titles that say nothing, one and the same for an item wherever it stands in a case; attributes stay."""
    return [_renamed(case, {}) for case in cases]


def _renamed(case: RankingCase, names: dict[Item, Item]) -> RankingCase:
    def renamed(item: Item) -> Item:
        return names.setdefault(item, Item(f"Title {len(names) + 1}", item.attributes))

    chains = tuple(c._replace(item1=renamed(c.item1), item2=renamed(c.item2)) for c in case.chains)
    history, candidates = tuple(map(renamed, case.history)), tuple(map(renamed, case.candidates))
    return RankingCase(case.profile, history, chains, candidates)
