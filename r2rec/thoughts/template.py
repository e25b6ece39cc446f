"""The `template` teacher: rule-based, offline, grounded in the chain. Wording varies, facts don't.

It keeps the paper's rules (section 3.2.2, appendix A.1): a step rests on earlier steps, a chain is
read hop by hop, and the answer guides only where the evidence leaves a choice, namely which of
several close candidates comes first. Where the evidence speaks against the answer, the thought
still says what the evidence says, and the audit rejects the trace.
"""

from collections.abc import Sequence
from math import ceil, floor

import numpy as np

from r2rec.config import Prompt
from r2rec.prompts.answer import render_completion, render_ranking, render_rating
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import prose, taste, weighing

# Two wordings of each, the first one more frequent (`FIRST_SHARE`).
VERDICT = {1: ("liked", "enjoyed"), 0: ("neutral", "lukewarm"), -1: ("disliked", "not enjoyed")}
BEST = ("Best supported", "Strongest")
AGREES = {True: ("agrees", "sees it alike"), False: ("differs", "sees it otherwise")}
FIRST_SHARE = 0.7


def write_thoughts(
    cases: Sequence[RankingCase | RatingCase],
    answers: Sequence[str],
    seed: int,
    masked: bool = True,
    progressive: bool = True,
    sentences: bool = False,
) -> list[tuple[str, str]]:
    """(thought, answer) of each case.

    Args:
        answers: What the user did, to guide the writer: the positive's label, or the rating as a
            digit.
        masked: False, to measure what the rule is worth: a RankingCase's chains are read from
            their end.
        progressive: False: a RankingCase's chains are counted on top of a history that the thought
            tells only after them.
        sentences: Chains are read in whole sentences, without counts (`prose`).
    """
    rng = np.random.default_rng(seed)
    written = []
    for case, answer in zip(cases, answers, strict=True):
        if isinstance(case, RankingCase) and sentences and not case.evidence:
            written.append(_in_sentences(case, answer, masked, progressive))
        elif isinstance(case, RankingCase):
            written.append(_ranking(case, answer, rng, masked, progressive))
        else:
            written.append(_rating(case, answer, rng, sentences))
    return written


def expected_replies(cases: Sequence[RankingCase], prompt: Prompt) -> list[str]:
    """What a model that has learnt from this teacher is likely to reply to each case.

    Nothing guides the choice, so nothing is told of the positive.
    """
    unguided = [""] * len(cases)
    written = write_thoughts(cases, unguided, seed=0, sentences=prompt.prose)
    replies = []
    for thought, answer in written:
        replies.append(render_completion(thought if prompt.reasoning else None, answer))
    return replies


def _ranking(
    case: RankingCase, positive: str, rng: np.random.Generator, masked: bool, progressive: bool
) -> tuple[str, str]:
    """(thought, answer) of a RankingCase."""
    if case.evidence:
        steps, answer = weighing.reason(case, positive)
        return _numbered(steps), answer
    counted = taste.running(taste.verdicts(case))
    liked = []
    for n, _ in enumerate(case.history, 1):
        liked.append(f"Liked {n}: {counts(next(counted))}")
    read_chain = _read if masked else _read_from_its_end
    chains = []
    for n, chain in enumerate(case.chains, 1):
        first = next(counted)
        second = next(counted)
        chains.append(read_chain(n, chain, first, second, rng))
    support = taste.filled(taste.support(case))
    concluded, answer = conclusion(support, positive, rng)
    history = [f"{'; '.join(liked)}."] if liked else []
    read = history + chains if progressive else chains + history
    return _numbered(read + concluded), answer


def _in_sentences(
    case: RankingCase, positive: str, masked: bool, progressive: bool
) -> tuple[str, str]:
    """(thought, answer) of a RankingCase about chains, in whole sentences."""
    history = [prose.history_step(case)] if case.history else []
    chains = [prose.chain_step(n, chain, masked) for n, chain in enumerate(case.chains, 1)]
    support = taste.filled(taste.support(case))
    score = taste.trait_scores(support)
    best = taste.best(score)
    first = chosen(score, positive)
    read = history + chains if progressive else chains + history
    steps = [*read, prose.taste_step(case), *prose.last_steps(support, best, first)]
    return _numbered(steps), ranked(score, best, first)


def conclusion(
    support: dict[str, taste.Counted], positive: str, rng: np.random.Generator
) -> tuple[list[str], str]:
    """The last two or three steps of a ranking thought, and its answer.

    The steps: the candidates counted; the best in order; which comes first, if any has support. The
    answer has that one, the other best in order, and the rest as listed.
    """
    counted = "; ".join(f"{label} {summed(pairs)}" for label, pairs in support.items())
    score = taste.trait_scores(support)
    best = taste.best(score)
    steps = [f"Candidates: {counted}.", f"{_pick(BEST, rng)}: {listed(score, best)}."]
    first = chosen(score, positive)
    if first:
        steps.append(f"First: {first}.")
    return steps, ranked(score, best, first)


def chosen(score: dict[str, int], positive: str) -> str | None:
    """The candidate that comes first: the positive where it is close to the best, else the best.

    None has support: None.
    """
    best = taste.best(score)
    if positive in taste.choices(score):
        return positive
    return best[0] if best else None


def listed(score: dict[str, int], best: Sequence[str]) -> str:
    """Labels with their scores: "C 5, A 3"."""
    return ", ".join(f"{label} {score[label]}" for label in best) or "none"


def ranked(score: dict[str, int], best: Sequence[str], first: str | None) -> str:
    """The answer: `first`, the other best, then the rest as listed."""
    front = sorted(best, key=lambda label: label != first)
    rest = [label for label in score if label not in front]
    return render_ranking(front + rest)


def _read(
    n: int,
    chain: Chain,
    first: taste.Counted,
    second: taste.Counted,
    rng: np.random.Generator,
) -> str:
    """Chain n hop by hop: the user, the neighbour, the second item, the user.

    Args:
        first: What the first item adds up to.
        second: What the second item adds up to.
    """
    text = (
        f"Chain {n}: user {chain.rating_u1:g} {_verdict(chain.rating_u1, rng)}: {counts(first)}; "
        f"neighbour gave {chain.rating_v1:g}, {_agreement(chain, rng)}; then {chain.rating_v2:g}"
    )
    if chain.rating_u2 is not None:
        text += f"; user {chain.rating_u2:g} {_verdict(chain.rating_u2, rng)}"
    return f"{text}: {counts(second)}."


def _read_from_its_end(
    n: int,
    chain: Chain,
    first: taste.Counted,
    second: taste.Counted,
    rng: np.random.Generator,
) -> str:
    """As `_read`, the other way round: the second item comes before what leads to it."""
    end = ""
    if chain.rating_u2 is not None:
        end = f"user {chain.rating_u2:g} {_verdict(chain.rating_u2, rng)}, "
    return (
        f"Chain {n}: from its end {end}{counts(second)}; neighbour gave {chain.rating_v2:g}; "
        f"before it {chain.rating_v1:g}, {_agreement(chain, rng)}; "
        f"user {chain.rating_u1:g} {_verdict(chain.rating_u1, rng)}: {counts(first)}."
    )


def _rating(
    case: RatingCase, answer: str, rng: np.random.Generator, sentences: bool
) -> tuple[str, str]:
    """(thought, answer) of a RatingCase."""
    chain = case.chain
    expected = VERDICT[expectation(chain, int(answer))]
    read = prose.rating_steps(chain) if sentences else _read_rating(chain, rng)
    concluded = f"Taken together, I expect this one to be {_pick(expected, rng)}."
    return _numbered([*read, concluded]), render_rating(answer)


def _read_rating(chain: Chain, rng: np.random.Generator) -> list[str]:
    """The three known ratings of a chain, hop by hop."""
    guide = "a guide" if taste.tastes_agree(chain) else "a weak guide"
    shared = ", ".join(taste.shared_traits(chain)) or "nothing"
    return [
        f"{named_traits(chain.item1)} {_verdict(chain.rating_u1, rng)} "
        f"by the user ({chain.rating_u1:g}).",
        f"Neighbour 1 gave it {chain.rating_v1:g} and {_agreement(chain, rng)}, "
        f"so their taste is {guide}.",
        f"Neighbour 1 gave {named_traits(chain.item2)} a {chain.rating_v2:g}; "
        f"it shares {shared} with the first.",
    ]


def expectation(chain: Chain, answer: int | None = None) -> int:
    """The verdict (1, 0, -1) that an unclosed chain speaks for.

    That is the neighbour's rating of item2, moved by half of what the two users differ by on item1.
    The answer guides only where the result falls between two ratings.
    """
    value = chain.rating_v2 + (chain.rating_u1 - chain.rating_v1) / 2
    if answer is not None:
        guided = taste.sign(answer)
        if guided in (taste.sign(floor(value)), taste.sign(ceil(value))):
            return guided
    return taste.sign(value)


def _agreement(chain: Chain, rng: np.random.Generator) -> str:
    return _pick(AGREES[taste.tastes_agree(chain)], rng)


def _verdict(rating: float, rng: np.random.Generator) -> str:
    return _pick(VERDICT[taste.sign(rating)], rng)


def _pick(wordings: Sequence[str], rng: np.random.Generator) -> str:
    return wordings[0] if rng.random() < FIRST_SHARE else wordings[1]


def named_traits(item: Item) -> str:
    """The traits of an item as a thought names it."""
    return ", ".join(taste.traits(item)) or "an item"


def summed(counted: taste.Counted) -> str:
    """Counts and their sum: "Crime 2, Drama 1 = 3"."""
    if not counted:
        return counts(counted)
    return f"{counts(counted)} = {taste.total(counted)}"


def counts(pairs: taste.Counted) -> str:
    """Counts as a thought writes them: "Crime 2, Drama 1"."""
    return ", ".join(f"{trait} {count}" for trait, count in pairs) or "-"


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"Step {n}: {text}" for n, text in enumerate(steps, 1))
