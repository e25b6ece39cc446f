"""What a score does not say of a language model: is it biased by position, does it read its chains, does it know what
it knows. Each diagnostic is a function `(asked, rng, **params) -> Diagnosis`, a member of group `diagnostic`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError
from r2rec.evaluate import interventions
from r2rec.evaluate.orders import Order, aggregate
from r2rec.evaluate.statistics import compare
from r2rec.prompts.answer import split_thought, thought_steps
from r2rec.prompts.cases import RankingCase
from r2rec.thoughts.claims import checked
from r2rec.thoughts.statements import stated


class Reply(NamedTuple):
    """An answer, read."""

    order: Order
    text: str
    tokens: int  # written


class DiagnosedArm(NamedTuple):
    """An arm, its users' cases and what it answered; and the arm itself, to be asked again."""

    cases: Sequence[RankingCase]
    positive: NDArray[np.int64]  # [n] place of the held-out item
    popularity: NDArray[np.int64]  # [n] its train ratings
    replies: Sequence[Reply]
    ask: Callable[[Sequence[RankingCase], int], list[Reply]]  # (cases, seed)
    weigh: Callable[
        [Sequence[RankingCase]], list[list[float] | None]
    ]  # ln P of each label to come first


class Diagnosis(NamedTuple):
    rows: list[dict[str, Any]]  # a table, its first column what each row is about
    facts: Mapping[str, float | None]  # None: nothing to measure it on


def position(asked: DiagnosedArm, rng: np.random.Generator, *, shuffles: int) -> Diagnosis:
    """The same candidates in other orders: where the first place goes, whether answers agree, and their sum.

    Rows: per slot, the share of answers that put it first, and HR@1 of positives shown there. Facts: HR@1 of one
    answer and of the aggregated ranking (1 / rank points over the orders), how often two orders agree on the first
    item, and the rank correlation (Kendall's tau) of their rankings.
    """
    k = len(asked.cases[0].candidates)
    slots, shown, votes = np.zeros(k), [], []
    for _ in range(shuffles):
        cases, orders = interventions.shuffled(asked.cases, rng)
        replies = asked.ask(cases, int(rng.integers(2**31)))
        first = np.array([reply.order[0] if reply.order else -1 for reply in replies])
        slots += np.bincount(first[first >= 0], minlength=k)
        where = np.array(
            [np.flatnonzero(o == p)[0] for o, p in zip(orders, asked.positive, strict=True)]
        )
        shown += list(zip(where.tolist(), (first == where).tolist(), strict=True))
        votes.append(
            [
                tuple(int(o[c]) for c in reply.order)
                for o, reply in zip(orders, replies, strict=True)
            ]
        )
    place, hit = np.array(shown).T
    rows = [
        {"slot": s + 1, "put first": slots[s] / slots.sum() if slots.sum() else None, "hr@1": _mean(hit[place == s]),
         "n": int((place == s).sum())}
        for s in range(k)
    ]  # fmt: skip
    answered = [[order for order in orders if order] for orders in zip(*votes, strict=True)]
    pairs = [pair for orders in answered for pair in combinations(orders, 2)]
    summed = np.array([_first(orders, k) for orders in answered])
    facts = {
        "hr@1 of one order": float(hit.mean()),
        f"hr@1 of {shuffles} orders together": float((summed == asked.positive).mean()),
        "two orders agree on the first": _mean([a[0] == b[0] for a, b in pairs]),
        "rank correlation of two orders": _mean([_tau(a, b, k) for a, b in pairs]),
    }
    return Diagnosis(rows, facts)


def _compared(
    asked: DiagnosedArm, rng: np.random.Generator, changes: dict[str, Any]
) -> list[dict[str, Any]]:
    """What each change does to the first place, beside the same question asked again: sampling moves it too."""
    before = _hits(asked, asked.replies)
    rows: list[dict[str, Any]] = [
        {"change": "as asked", "hr@1": _mean(before), "valid": _valid(asked.replies)}
    ]
    for name, change in {"asked again": lambda cases, _: cases, **changes}.items():
        replies = asked.ask(change(asked.cases, rng), int(rng.integers(2**31)))
        hits = _hits(asked, replies)
        found = compare(hits, before)
        both = [
            (a.order[0], b.order[0])
            for a, b in zip(asked.replies, replies, strict=True)
            if a.order and b.order
        ]
        rows.append({
            "change": name, "hr@1": _mean(hits), "valid": _valid(replies),
            "first moved": _mean([a != b for a, b in both]), "gained": _mean(hits > before),
            "lost": _mean(hits < before), "difference": found["difference"],
            "low": found["ci95"][0], "high": found["ci95"][1], "p": found["p"],
        })  # fmt: skip
    return rows


def faithfulness(asked: DiagnosedArm, rng: np.random.Generator) -> Diagnosis:
    """Does the answer move when what the thought claims to rest on is changed, and does the thought say what is there?

    A thought that is faithful to chains moves with them, more than sampling alone moves it. Facts: shares of steps, by
    whether they are in the template's wording and true to the case; and, of all other steps, which share of the items
    and of the ratings that they cite the prompt has (None where none is cited).
    """
    changes = {
        "chains removed": interventions.without_chains,
        "chains of another user": interventions.swapped_chains,
        "chain ratings reversed": interventions.reversed_ratings,
        "history removed": interventions.without_history,
    }
    true, untrue, free = 0, 0, 0
    items: list[bool] = []
    ratings: list[bool] = []
    for case, reply in zip(asked.cases, asked.replies, strict=True):
        thought = split_thought(reply.text, True)[0] or ""
        cited = checked(case, thought)
        items, ratings = items + cited.items, ratings + cited.ratings
        for statement in stated(thought_steps(thought), case):
            true += statement is not None and statement.plain is not None
            untrue += statement is not None and statement.plain is None
            free += statement is None
    total = max(1, true + untrue + free)
    facts = {
        "steps that say what is there": true / total,
        "steps that do not": untrue / total,
        "other steps": free / total,
        "items cited in them that the prompt has": sum(items) / len(items) if items else None,
        "ratings cited in them that the prompt has": sum(ratings) / len(ratings)
        if ratings
        else None,
    }
    return Diagnosis(_compared(asked, rng, changes), facts)


def memory(asked: DiagnosedArm, rng: np.random.Generator) -> Diagnosis:
    """What is known from elsewhere: titles that say nothing, and users of whom nothing is said."""
    changes = {
        "titles masked": interventions.masked_titles,
        "user unknown": interventions.unknown_user,
        "both": lambda cases, rng: interventions.masked_titles(
            interventions.unknown_user(cases, rng), rng
        ),
    }
    return Diagnosis(_compared(asked, rng, changes), {})


def consistency(asked: DiagnosedArm, rng: np.random.Generator, *, samples: int) -> Diagnosis:
    """Several samples of one question, their rankings added up (1 / rank), against what they cost."""
    drawn = [asked.ask(asked.cases, int(rng.integers(2**31))) for _ in range(samples)]
    rows = []
    for n in range(1, samples + 1):
        orders = [[r.order for r in replies if r.order] for replies in zip(*drawn[:n], strict=True)]
        best = np.array([_first(given, len(asked.cases[0].candidates)) for given in orders])
        cost = np.mean([sum(r.tokens for r in replies) for replies in zip(*drawn[:n], strict=True)])
        rows.append(
            {
                "samples": n,
                "hr@1": float((best == asked.positive).mean()),
                "tokens a user": float(cost),
            }
        )
    return Diagnosis(rows, {})


def calibration(asked: DiagnosedArm, rng: np.random.Generator, *, bins: int) -> Diagnosis:
    """Is the first label as often right as it is likely? The answer is asked for at once, without a thought.

    Expected calibration error: the mean distance of the two, over bins of equal width (Guo et al., 2017, eq. 3).
    """
    weighed = asked.weigh(asked.cases)
    kept = [n for n, row in enumerate(weighed) if row is not None]
    if not kept:
        raise R2RecError(
            "diagnostic=calibration: no prompt fits in model.max_length; raise it, or show less"
        )
    likely = np.exp(np.array([weighed[n] for n in kept], np.float64))
    sure, right = likely.max(1), likely.argmax(1) == asked.positive[kept]
    of_bin = np.minimum((sure * bins).astype(int), bins - 1)
    rows = [
        {"probability": f"{b / bins:.1f} to {(b + 1) / bins:.1f}", "said": _mean(sure[of_bin == b]),
         "right": _mean(right[of_bin == b]), "n": int((of_bin == b).sum())}
        for b in range(bins) if (of_bin == b).any()
    ]  # fmt: skip
    error = sum(abs(sure[of_bin == b].sum() - right[of_bin == b].sum()) for b in range(bins)) / max(
        1, len(kept)
    )
    return Diagnosis(
        rows, {"expected calibration error": error, "hr@1 of the likeliest label": _mean(right)}
    )


def popularity(asked: DiagnosedArm, rng: np.random.Generator, *, strata: int) -> Diagnosis:
    """HR@1 by how popular the held-out item is: strata of equal numbers of users."""
    hits, order = _hits(asked, asked.replies), np.argsort(asked.popularity, kind="stable")
    rows = []
    for users in filter(len, np.array_split(order, strata)):
        rated = asked.popularity[users]
        rows.append(
            {
                "train ratings": f"{rated.min()} to {rated.max()}",
                "hr@1": _mean(hits[users]),
                "n": len(users),
            }
        )
    return Diagnosis(rows, {})


def _hits(asked: DiagnosedArm, replies: Sequence[Reply]) -> NDArray[np.float64]:
    pairs = zip(replies, asked.positive.tolist(), strict=True)
    return np.array([float(reply.order[:1] == (place,)) for reply, place in pairs])


def _valid(replies: Sequence[Reply]) -> float | None:
    return _mean([bool(reply.order) for reply in replies])


def _first(orders: Sequence[Order], k: int) -> int:
    """The place that comes first in all orders together; -1 without a valid order."""
    return (aggregate(orders, k) or (-1,))[0]


def _tau(a: Order, b: Order, k: int) -> float:
    """Kendall's tau-b of two rankings of k items; those left out share the last rank."""
    from scipy.stats import kendalltau

    ranks = np.full((2, k), k)
    for row, order in zip(ranks, (a, b), strict=True):
        row[list(order)] = np.arange(len(order))
    return float(np.nan_to_num(kendalltau(*ranks).statistic))


def _mean(values: Any) -> float | None:
    return float(np.mean(values)) if len(values) else None
