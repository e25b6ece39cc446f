"""Counters: they rank by the evidence chains that R2Rec is told, without a language model (ours).

R2Rec is credited with what it adds to them. A counter is a function `(cases, prompt, **params) ->
numbers`: name -> [n, k], one number for each of the k candidates of n cases. A candidate's score
is their weighted sum. The weights are 1, or fitted by stage `regress`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from r2rec.chains.graph import FloatArray
from r2rec.config import Prompt
from r2rec.prompts.cases import Evidence, Facts, RankingCase
from r2rec.prompts.render import told_in_full

Numbers = dict[str, FloatArray]

NOTHING = Evidence(place=0, item1=None, rating_u1=0.0, raters=0, soon=0, liked=0, links=0)
"""A chain that is not told: its counts are zero."""


def order(cases: Sequence[RankingCase], prompt: Prompt) -> Numbers:
    """The order of the evidence, which a prompt ends with."""
    return {"order": -_of_evidence(cases, lambda chain: chain.place)}


def told_numbers(cases: Sequence[RankingCase], prompt: Prompt) -> Numbers:
    """All that the prompt tells of each candidate: no more, and no text.

    Counts are in logarithms, as one more matters less the more there are. Of candidates whose chain
    is not told in full (`prompt.detailed`), there is the order, whether a chain leads to them, and
    the facts.
    """
    in_full = [_only_told(case, prompt.detailed) for case in cases]
    return {
        "order": -np.log(_of_evidence(cases, lambda chain: chain.place)),
        "linked": _of_evidence(cases, lambda chain: chain.item1 is not None),
        "in full": _of_evidence(in_full, lambda chain: chain.item1 is not None),
        "rating": _of_evidence(in_full, lambda chain: chain.rating_u1),
        "raters": np.log1p(_of_evidence(in_full, lambda chain: chain.raters)),
        "soon": np.log1p(_of_evidence(in_full, lambda chain: chain.soon)),
        "liked": np.log1p(_of_evidence(in_full, lambda chain: chain.liked)),
        "links": np.log1p(_of_evidence(in_full, lambda chain: chain.links)),
        "placed": _of_evidence(in_full, lambda chain: chain.witness is not None),
        "witness": -np.log(_of_evidence(in_full, lambda chain: chain.witness or 1)),
        "ratings": np.log1p(_of_facts(cases, lambda facts: facts.ratings)),
        "percent liked": _of_facts(cases, lambda facts: facts.liked),
    }


def _only_told(case: RankingCase, detailed: int) -> RankingCase:
    """The case without the chains that its prompt does not tell in full."""
    in_full = set(told_in_full(case, detailed))
    kept = []
    for index, evidence in enumerate(case.evidence):
        kept.append(evidence if index in in_full else NOTHING)
    return case._replace(evidence=tuple(kept))


def _of_evidence(cases: Sequence[RankingCase], number: Callable[[Evidence], float]) -> FloatArray:
    """[n, k] a number of the evidence chain to each candidate."""
    rows = [list(map(number, case.evidence)) for case in cases]
    return np.array(rows, np.float64)


def _of_facts(cases: Sequence[RankingCase], number: Callable[[Facts], float]) -> FloatArray:
    """[n, k] a number of each candidate's facts; 0 where a prompt tells none."""
    rows = []
    for case in cases:
        facts = case.facts or (Facts(0, 0),) * len(case.candidates)
        rows.append(list(map(number, facts)))
    return np.array(rows, np.float64)
