"""The `template` teacher: rule-based, offline, grounded in the chain; its wording varies, its facts don't.

It keeps the paper's rules (3.2.2, A.1): steps rest on earlier steps, a chain is read hop by hop, and the answer
guides only where the evidence leaves a choice - which of the best comes first, of those that are close. Where the
evidence speaks against the answer it says what it sees, and the audit turns the trace down.
"""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np

from r2rec.prompts.answer import render_ranking, render_rating
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import evidence

VERDICT = {1: ("liked", "enjoyed"), 0: ("neutral", "lukewarm"), -1: ("disliked", "not enjoyed")}
BEST = ("Best supported", "Strongest")
AGREES = {True: ("agrees", "sees it alike"), False: ("differs", "sees it otherwise")}


def write_thoughts(
    cases: Sequence[RankingCase | RatingCase],
    answers: Sequence[str],
    seed: int,
    masked: bool = True,
    progressive: bool = True,
) -> list[tuple[str, str]]:
    """(thought, answer) of each case.

    Args:
        answers: What the user did, to guide the writer: the positive's label, or the rating as a digit.
        masked: False, to see what the rule is worth: a chain is read from its end, in a RankingCase.
        progressive: False: chains are counted on top of a history that is told after them, in a RankingCase.
    """
    rng = np.random.default_rng(seed)
    return [
        _ranking(c, a, rng, masked, progressive)
        if isinstance(c, RankingCase)
        else _rating(c, a, rng)
        for c, a in zip(cases, answers, strict=True)
    ]


def _ranking(
    case: RankingCase, positive: str, rng: np.random.Generator, masked: bool, progressive: bool
) -> tuple[str, str]:
    counted, tell = (
        evidence.running(evidence.verdicts(case)),
        _read if masked else _read_from_its_end,
    )
    liked = [
        f"{'; '.join(f'Liked {n}: {counts(next(counted))}' for n, _ in enumerate(case.history, 1))}."
    ]
    told = liked if case.history else []
    read = [tell(n, c, next(counted), next(counted), rng) for n, c in enumerate(case.chains, 1)]
    concluded, answer = conclusion(evidence.filled(evidence.support(case)), positive, rng)
    return _numbered([*(told + read if progressive else read + told), *concluded]), answer


def conclusion(
    support: dict[str, evidence.Counted], positive: str, rng: np.random.Generator
) -> tuple[list[str], str]:
    """Three steps and the answer: candidates counted; the best in order; which comes first, where any has support.

    The answer has that one, the other best in order, and the rest as listed.
    """
    counted = "; ".join(f"{label} {summed(pairs)}" for label, pairs in support.items())
    score = evidence.trait_scores(support)
    best = evidence.best(score)
    first = positive if positive in evidence.choices(score) else next(iter(best), None)
    steps = [f"Candidates: {counted}.", f"{_pick(BEST, rng)}: {listed(score, best)}."]
    return [*steps, *([f"First: {first}."] if first else [])], ranked(score, best, first)


def listed(score: dict[str, int], best: Sequence[str]) -> str:
    return ", ".join(f"{label} {score[label]}" for label in best) or "none"


def ranked(score: dict[str, int], best: Sequence[str], first: str | None) -> str:
    """The answer: one in front, the other best, then the rest as listed."""
    front = sorted(best, key=lambda label: label != first)
    return render_ranking([*front, *(label for label in score if label not in front)])


def _read(
    n: int,
    chain: Chain,
    first: evidence.Counted,
    second: evidence.Counted,
    rng: np.random.Generator,
) -> str:
    """One chain, hop by hop, with what each item adds up to: the user, the neighbour, the second item, the user."""
    text = (
        f"Chain {n}: user {chain.rating_u1:g} {_verdict(chain.rating_u1, rng)}: {counts(first)}; "
        f"neighbour gave {chain.rating_v1:g}, {_agreement(chain.rating_u1, chain.rating_v1, rng)}; "
        f"then {chain.rating_v2:g}"
    )
    if chain.rating_u2 is not None:
        text += f"; user {chain.rating_u2:g} {_verdict(chain.rating_u2, rng)}"
    return f"{text}: {counts(second)}."


def _read_from_its_end(
    n: int,
    chain: Chain,
    first: evidence.Counted,
    second: evidence.Counted,
    rng: np.random.Generator,
) -> str:
    """The same the other way round: what the chain leads to is told before what leads there."""
    end = (
        ""
        if chain.rating_u2 is None
        else f"user {chain.rating_u2:g} {_verdict(chain.rating_u2, rng)}, "
    )
    return (
        f"Chain {n}: from its end {end}{counts(second)}; neighbour gave {chain.rating_v2:g}; "
        f"before it {chain.rating_v1:g}, {_agreement(chain.rating_u1, chain.rating_v1, rng)}; "
        f"user {chain.rating_u1:g} {_verdict(chain.rating_u1, rng)}: {counts(first)}."
    )


def _rating(case: RatingCase, answer: str, rng: np.random.Generator) -> tuple[str, str]:
    chain = case.chain
    alike = _alike(chain.rating_u1, chain.rating_v1)
    common = [t for t in evidence.traits(chain.item2) if t in evidence.traits(chain.item1)]
    expected = expectation(chain, int(answer))
    steps = [
        f"{_traits(chain.item1)} {_verdict(chain.rating_u1, rng)} by the user ({chain.rating_u1:g}).",
        f"Neighbour 1 gave it {chain.rating_v1:g} and {_pick(AGREES[alike], rng)}, "
        f"so their taste is {'a guide' if alike else 'a weak guide'}.",
        f"Neighbour 1 gave {_traits(chain.item2)} a {chain.rating_v2:g}; "
        f"it shares {', '.join(common) if common else 'nothing'} with the first.",
        f"Taken together, I expect this one to be {_pick(VERDICT[expected], rng)}.",
    ]
    return _numbered(steps), render_rating(answer)


def expectation(chain: Chain, answer: int | None = None) -> int:
    """The verdict (1, 0, -1) that an unclosed chain speaks for.

    That is the neighbour's rating of item2, moved by half of what the two differ by on item1. The answer
    guides only where that falls between two ratings.
    """
    value = chain.rating_v2 + (chain.rating_u1 - chain.rating_v1) / 2
    near = (evidence.sign(floor(value)), evidence.sign(ceil(value)))
    guided = evidence.sign(answer) if answer is not None else None
    return guided if guided in near else evidence.sign(value)


def _alike(one: float, other: float) -> bool:
    return evidence.sign(one) == evidence.sign(other)


def _agreement(one: float, other: float, rng: np.random.Generator) -> str:
    return _pick(AGREES[_alike(one, other)], rng)


def _verdict(rating: float, rng: np.random.Generator) -> str:
    return _pick(VERDICT[evidence.sign(rating)], rng)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[0] if rng.random() < 0.7 else options[1]


def _traits(item: Item) -> str:
    return ", ".join(evidence.traits(item)) or "an item"


def summed(counted: evidence.Counted) -> str:
    return counts(counted) + (f" = {sum(count for _, count in counted)}" if counted else "")


def counts(pairs: evidence.Counted) -> str:
    return ", ".join(f"{trait} {count}" for trait, count in pairs) or "-"


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"Step {n}: {text}" for n, text in enumerate(steps, 1))
