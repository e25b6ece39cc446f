"""Diagnostics: what the metrics do not show of a language model.

Does the position of a candidate decide? Do answers depend on the chains? Is the model calibrated?
Each diagnostic is a member of group `diagnostic`: a function `(arm, rng, **params) -> Diagnosis`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from r2rec.base.errors import R2RecError
from r2rec.evaluate import interventions
from r2rec.evaluate.agreement import first_of_all, kendall_tau, mean_or_none
from r2rec.evaluate.arrays import Floats, Integers
from r2rec.evaluate.interventions import Cases
from r2rec.evaluate.orders import Order
from r2rec.evaluate.statistics import paired_comparison
from r2rec.prompts.answer import split_thought
from r2rec.prompts.cases import RankingCase
from r2rec.thoughts.truth import claims_of

Row = dict[str, Any]
Weights = list[float] | None
Intervention = Callable[[Cases, Generator], list[RankingCase]]


class Reply(NamedTuple):
    """A parsed answer."""

    order: Order
    text: str
    tokens: int  # generated


class DiagnosedArm(NamedTuple):
    """An arm, what it answered, and the means to ask it again."""

    cases: Cases  # [n]
    positive: Integers  # [n] index of the held-out item among the candidates
    popularity: Integers  # [n] train ratings of the held-out item
    replies: Sequence[Reply]  # [n] the answers in the rankings table
    ask: Callable[[Cases, int], list[Reply]]  # (cases, seed) -> replies
    # cases -> ln P(label k comes first) [n][k]; None: the prompt is too long
    weigh: Callable[[Cases], list[Weights]]


class Diagnosis(NamedTuple):
    """What a diagnostic measured."""

    rows: list[Row]  # of a table, whose first column says what a row is about
    facts: Mapping[str, float | None]  # None: there was nothing to measure


def position(arm: DiagnosedArm, rng: Generator, *, shuffles: int) -> Diagnosis:
    """Ask about the same candidates in `shuffles` random orders.

    Rows, by slot: the share of answers that put it first, and HR@1 of positives shown there. Facts:
    HR@1 of one answer and of the aggregated ranking (1 / rank points over the orders), how often
    two orders agree on the first item, and Kendall's tau of their rankings.
    """
    k = len(arm.cases[0].candidates)
    rounds = [_ask_shuffled(arm, rng) for _ in range(shuffles)]
    first_slot = np.concatenate([one.first_slot for one in rounds])
    positive_slot = np.concatenate([one.positive_slot for one in rounds])
    hits = first_slot == positive_slot
    combined_first = []
    same_first = []  # of each pair of orders in which one user was asked
    correlations = []
    for user in range(len(arm.cases)):
        orders = [one.orders[user] for one in rounds]
        valid = list(filter(None, orders))
        combined_first.append(first_of_all(valid, k))
        for a, b in combinations(valid, 2):
            same_first.append(a[0] == b[0])
            correlations.append(kendall_tau(a, b, k))
    combined_hits = np.array(combined_first) == arm.positive
    facts = {
        "hr@1 of one order": float(hits.mean()),
        f"hr@1 of {shuffles} orders together": float(combined_hits.mean()),
        "two orders agree on the first": mean_or_none(same_first),
        "rank correlation of two orders": mean_or_none(correlations),
    }
    rows = _slot_rows(first_slot, positive_slot, k)
    return Diagnosis(rows, facts)


class _ShuffledRound(NamedTuple):
    """Answers about all cases, each with its candidates in a random order."""

    first_slot: Integers  # [n] the slot that the answer puts first; -1: invalid
    positive_slot: Integers  # [n] the slot that shows the positive
    orders: list[Order]  # [n] the answers as stored indices of candidates


def _ask_shuffled(arm: DiagnosedArm, rng: Generator) -> _ShuffledRound:
    cases, stored_indices = interventions.shuffled(arm.cases, rng)
    replies = arm.ask(cases, _draw_seed(rng))
    first_slot = []
    positive_slot = []
    orders = []
    rows = zip(replies, stored_indices, arm.positive, strict=True)
    for reply, stored_index, positive in rows:
        first = -1
        if reply.order:
            first = reply.order[0]
        first_slot.append(first)
        shown_at = np.flatnonzero(stored_index == positive)
        positive_slot.append(int(shown_at[0]))
        order = (int(stored_index[slot]) for slot in reply.order)
        orders.append(tuple(order))
    return _ShuffledRound(np.array(first_slot), np.array(positive_slot), orders)


def _slot_rows(first_slot: Integers, positive_slot: Integers, k: int) -> list[Row]:
    hits = first_slot == positive_slot
    valid_first = first_slot[first_slot >= 0]
    rows: list[Row] = []
    for slot in range(k):
        shown_here = positive_slot == slot
        row = {
            "slot": slot + 1,
            "put first": mean_or_none(valid_first == slot),
            "hr@1": mean_or_none(hits[shown_here]),
            "n": int(shown_here.sum()),
        }
        rows.append(row)
    return rows


def faithfulness(arm: DiagnosedArm, rng: Generator) -> Diagnosis:
    """Change what a thought claims to rest on: does the answer change, and are its claims true?

    If a thought is faithful to the chains, the answer changes with them more than it does by
    sampling alone. Facts: shares of the steps that are in the template's wording, by whether they
    are true of the case; and, of what all other steps cite, the shares of items and of ratings (of
    numbers, where chains are evidence) that the prompt has (None where nothing is cited).
    """
    have_evidence = any(case.evidence for case in arm.cases)
    changes: dict[str, Intervention] = {
        "chains removed": interventions.without_chains,
        "chains of another user": interventions.swapped_chains,
    }
    if have_evidence:
        changes["evidence reversed"] = interventions.reversed_evidence
    else:
        changes["chain ratings reversed"] = interventions.reversed_ratings
    changes["history removed"] = interventions.without_history
    if any(case.facts for case in arm.cases):
        changes["facts removed"] = interventions.without_facts

    true: list[bool | None] = []
    cited_items: list[bool] = []
    cited_numbers: list[bool] = []
    for case, reply in zip(arm.cases, arm.replies, strict=True):
        thought = split_thought(reply.text, reasoned=True)[0] or ""
        claims = claims_of(case, thought)
        true += claims.true
        cited_items += claims.items
        cited_numbers += claims.numbers
    n_steps = max(1, len(true))
    numbers = "numbers" if have_evidence else "ratings"
    facts = {
        "steps that say what is there": true.count(True) / n_steps,
        "steps that do not": true.count(False) / n_steps,
        "other steps": true.count(None) / n_steps,
        "items cited in them that the prompt has": mean_or_none(cited_items),
        f"{numbers} cited in them that the prompt has": mean_or_none(cited_numbers),
    }
    return Diagnosis(_compare_changes(arm, rng, changes), facts)


def memory(arm: DiagnosedArm, rng: Generator) -> Diagnosis:
    """Hide titles, the user, or both: what is still right comes from the model's memory."""

    def both(cases: Cases, rng: Generator) -> list[RankingCase]:
        return interventions.masked_titles(interventions.unknown_user(cases, rng), rng)

    changes: dict[str, Intervention] = {
        "titles masked": interventions.masked_titles,
        "user unknown": interventions.unknown_user,
        "both": both,
    }
    return Diagnosis(_compare_changes(arm, rng, changes), {})


def _unchanged(cases: Cases, rng: Generator) -> list[RankingCase]:
    return list(cases)


def _compare_changes(
    arm: DiagnosedArm, rng: Generator, changes: Mapping[str, Intervention]
) -> list[Row]:
    """One row per change: what it does to HR@1 and to the item ranked first.

    The row "asked again" changes nothing: it shows how far sampling alone moves an answer.
    """
    hits_before = _hits(arm, arm.replies)
    as_asked = {
        "change": "as asked",
        "hr@1": mean_or_none(hits_before),
        "valid": _valid_share(arm.replies),
    }
    rows: list[Row] = [as_asked]
    for name, change in {"asked again": _unchanged, **changes}.items():
        cases = change(arm.cases, rng)
        replies = arm.ask(cases, _draw_seed(rng))
        hits = _hits(arm, replies)
        comparison = paired_comparison(hits, hits_before)
        low, high = comparison["ci95"]
        row = {
            "change": name,
            "hr@1": mean_or_none(hits),
            "valid": _valid_share(replies),
            "first moved": _share_of_moved(arm.replies, replies),
            "gained": mean_or_none(hits > hits_before),
            "lost": mean_or_none(hits < hits_before),
            "difference": comparison["difference"],
            "low": low,
            "high": high,
            "p": comparison["p"],
        }
        rows.append(row)
    return rows


def _share_of_moved(before: Sequence[Reply], after: Sequence[Reply]) -> float | None:
    """How often the first item changed, among pairs of valid answers."""
    moved = []
    for old, new in zip(before, after, strict=True):
        if old.order and new.order:
            old_first = old.order[0]
            moved.append(new.order[0] != old_first)
    return mean_or_none(moved)


def consistency(arm: DiagnosedArm, rng: Generator, *, samples: int) -> Diagnosis:
    """Combine 1, 2, ... `samples` answers to one question (1 / rank points), against their cost."""
    k = len(arm.cases[0].candidates)
    rounds = []
    for _ in range(samples):
        replies = arm.ask(arm.cases, _draw_seed(rng))
        rounds.append(replies)
    rows = []
    for n in range(1, samples + 1):
        first = []
        tokens = []
        for samples_of_user in zip(*rounds[:n], strict=True):
            valid = [reply.order for reply in samples_of_user if reply.order]
            first.append(first_of_all(valid, k))
            tokens.append(sum(reply.tokens for reply in samples_of_user))
        hits = np.array(first) == arm.positive
        row = {
            "samples": n,
            "hr@1": float(hits.mean()),
            "tokens a user": float(np.mean(tokens)),
        }
        rows.append(row)
    return Diagnosis(rows, {})


def calibration(arm: DiagnosedArm, rng: Generator, *, bins: int) -> Diagnosis:
    """Compare how likely the first label is with how often it is right.

    The answer is asked for at once, without a thought. The fact is the expected calibration error:
    the mean distance of the two over bins of equal width (Guo et al., 2017, eq. 3).

    Raises:
        R2RecError: Every prompt is too long.
    """
    kept = []
    log_probabilities = []
    for user, weights in enumerate(arm.weigh(arm.cases)):
        if weights is not None:
            kept.append(user)
            log_probabilities.append(weights)
    if not kept:
        raise R2RecError(
            "diagnostic=calibration: no prompt fits in model.max_length; raise it, or show less"
        )
    probabilities = np.exp(np.array(log_probabilities, np.float64))
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == arm.positive[kept]
    bin_index = np.minimum((confidence * bins).astype(int), bins - 1)
    rows: list[Row] = []
    distance = 0.0
    for number in range(bins):
        in_bin = bin_index == number
        if not in_bin.any():
            continue
        distance += abs(confidence[in_bin].sum() - correct[in_bin].sum())
        low = number / bins
        high = (number + 1) / bins
        row = {
            "probability": f"{low:.1f} to {high:.1f}",
            "said": mean_or_none(confidence[in_bin]),
            "right": mean_or_none(correct[in_bin]),
            "n": int(in_bin.sum()),
        }
        rows.append(row)
    facts = {
        "expected calibration error": distance / len(kept),
        "hr@1 of the likeliest label": mean_or_none(correct),
    }
    return Diagnosis(rows, facts)


def popularity(arm: DiagnosedArm, rng: Generator, *, strata: int) -> Diagnosis:
    """HR@1 by the popularity of the held-out item, in `strata` groups of equally many users."""
    hits = _hits(arm, arm.replies)
    by_popularity = np.argsort(arm.popularity, kind="stable")
    rows = []
    for users in np.array_split(by_popularity, strata):
        if not len(users):
            continue
        ratings = arm.popularity[users]
        row = {
            "train ratings": f"{ratings.min()} to {ratings.max()}",
            "hr@1": mean_or_none(hits[users]),
            "n": len(users),
        }
        rows.append(row)
    return Diagnosis(rows, {})


def _draw_seed(rng: Generator) -> int:
    return int(rng.integers(2**31))


def _hits(arm: DiagnosedArm, replies: Sequence[Reply]) -> Floats:
    """[n] 1 where the positive is ranked first, else 0."""
    hits = []
    for reply, positive in zip(replies, arm.positive, strict=True):
        is_hit = reply.order[:1] == (positive,)
        hits.append(float(is_hit))
    return np.array(hits)


def _valid_share(replies: Sequence[Reply]) -> float | None:
    return mean_or_none([bool(reply.order) for reply in replies])
