"""Made-up ranking cases with evidence chains, to pretrain the tiny backbone on.

Titles, attributes and counts are random: what follows from them is all there is to learn. By which
criterion the first candidate is chosen is random too, so that the backbone learns no rule about it.
"""

import re
from collections.abc import Sequence
from random import Random

import numpy as np

from r2rec.config import Prompt, Words
from r2rec.pretrain.conclusions import numbered
from r2rec.pretrain.levels import FEW, READING, WEIGHED, Example, Level
from r2rec.pretrain.naming import PROFILES, FreshNames, random_word
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import render_prompt, title
from r2rec.thoughts import template, weighing

# Of examples, once whole tasks have begun; the rest are whole tasks. Drills are short.
DRILL_SHARES = {"comparison": 0.35, "order": 0.1, "reading": 0.1, "title": 0.05}
FIRST_SHARES = {"comparison": 0.4, "reading": 0.2, "title": 0.4}  # before that
PIECE_TITLES = 16  # in a drill of titles from a tokenizer's entries
MOST_PIECES = 9  # of such a title
CRITERION_SHARE = 0.7  # of prompts: the first candidate is the best by one criterion
FULL_SHARE = 0.5  # of prompts: as many candidates and liked items as the level allows
FACTS_SHARE = 0.85  # of prompts tell how many rated a candidate
WITNESS_SHARE = 0.35  # of prompts say where another model ranks a candidate
UNLINKED_SHARE = 0.3  # of prompts: chains lead to few candidates


def weighed_example(words: Words, rng: np.random.Generator, level: Level = WEIGHED) -> Example:
    """A prompt with evidence chains and what the template teacher writes, or a drill."""
    if rng.random() < sum(DRILL_SHARES.values()):
        return drill(words, rng, DRILL_SHARES)
    case = random_case(rng, level)
    favourite = ""
    told = weighing.criteria(case)
    if told and rng.random() < CRITERION_SHARE:
        favourite = told[rng.integers(len(told))].best
    prompt = Prompt(
        name="pretrain",
        reasoning=bool(rng.random() < 0.97),
        facts=bool(case.facts),
        detailed=int(rng.integers(3, 7)),
    )
    ((thought, answer),) = template.write_thoughts([case], [favourite], seed=0)
    text = render_prompt(case, prompt, words)
    return Example(text, render_completion(thought if prompt.reasoning else None, answer))


def drill(words: Words, rng: np.random.Generator, shares: dict[str, float]) -> Example:
    """A drill of a kind drawn by these shares."""
    weights = np.array(list(shares.values()))
    kind = list(shares)[rng.choice(len(shares), p=weights / weights.sum())]
    if kind == "comparison":
        return comparison_drill(rng)
    if kind == "order":
        return order_drill(rng)
    if kind == "reading":
        return reading_drill(words, rng)
    return title_drill(words, rng)


def title_drill(words: Words, rng: np.random.Generator) -> Example:
    """A few candidates and what a thought says of them, in any order.

    Little else than copying follows from it, and nothing is harder for a small model.
    """
    case = random_case(rng, FEW)
    statements = []
    for index in rng.permutation(len(case.candidates)).tolist():
        statements.append(f"{weighing.candidate_line(case, index)}.")
    return Example(_told_lines(case, words), "\n".join(numbered(statements, 1)))


def piece_drill(pieces: Sequence[str], rng: np.random.Generator) -> Example:
    """Titles that are strung together from a tokenizer's entries, to be copied in another order.

    Every entry is as likely as any other, so that a backbone can copy those that words seldom have.
    """
    statements = []
    lines = []
    for label in LABELS[:PIECE_TITLES]:
        chosen = rng.choice(len(pieces), rng.integers(2, MOST_PIECES + 1))
        text = "".join(pieces[index] for index in chosen)
        line = f"{label}: {title(Item(text, ()))}"
        lines.append(f"- {line}")
        statements.append(f"{line}.")
    order = rng.permutation(len(statements)).tolist()
    completion = "\n".join(numbered([statements[index] for index in order], 1))
    return Example("\n".join(["Read these lines.", *lines]), completion)


def reading_drill(words: Words, rng: np.random.Generator) -> Example:
    """A few chains and candidates, and what a thought reads of them: a model must first copy."""
    case = random_case(rng, READING)
    statements = [weighing.read_step(case, place) for place in range(len(case.candidates))]
    return Example(_told_lines(case, words), "\n".join(numbered(statements, 1)))


def _told_lines(case: RankingCase, words: Words) -> str:
    """The lines of a case's prompt about candidates and chains, and nothing else of it."""
    prompt = Prompt(name="pretrain", facts=bool(case.facts))
    lines = render_prompt(case, prompt, words).split("\n")
    told = [line for line in lines if re.match(r"- (?:[A-T]|Chain \d+): ", line)]
    return "\n".join(["Read these lines.", *told])


def comparison_drill(rng: np.random.Generator) -> Example:
    """Comparisons of numbers and a conclusion: whole tasks have few, between much to copy.

    The loss is over what follows from the numbers alone. They are random: learning them would be
    noise.
    """
    draw = Random(int(rng.integers(2**63)))
    labels = draw.sample(LABELS[:20], draw.choice((2, 3, 3, 3)))
    steps = []
    best = {weighing.ALL: labels[0]}
    for name in draw.sample(weighing.CRITERIA, draw.randint(1, len(weighing.CRITERIA))):
        numbers = _numbers(draw, len(labels))
        part = weighing.criterion(name, list(zip(labels, numbers, strict=True)))
        steps.append(weighing.criterion_step(part))
        best[name] = part.best
    by = draw.choice(list(best))
    ranked = [best[by], *(label for label in labels if label != best[by])]
    steps.append(weighing.conclusion_step(by, ranked))
    completion = "\n".join(numbered(steps, first=draw.randint(1, 5)))
    prompt = f"Compare. By evidence, strongest first: {', '.join(labels)}."
    learned = rf"{'|'.join(weighing.VERDICTS)}|(?<=; )[A-T]|best by [a-z ]+: [A-T]|: [A-T] comes.*"
    return Example(prompt, completion, learned=learned)


def order_drill(rng: np.random.Generator) -> Example:
    """The answer that follows from an order and from what was concluded, which is given."""
    n = int(rng.integers(3, 21))
    order = [LABELS[index] for index in rng.permutation(n)]
    first = order[rng.integers(weighing.COMPARED)]
    ranked = [first, *(label for label in order if label != first)]
    by = str(rng.choice([weighing.ALL, *weighing.CRITERIA]))
    conclusion = weighing.conclusion_step(by, ranked[: weighing.COMPARED])
    thought = "\n".join(numbered([conclusion], 7))
    completion = render_completion(thought, render_ranking(ranked))
    given = completion.partition("Ranking")[0]
    return Example(f"By evidence, strongest first: {', '.join(order)}.", completion, given)


def _numbers(draw: Random, count: int) -> list[int]:
    """Numbers of one size, often close, at times equal."""
    largest = draw.choice((5, 20, 20, 99, 99, 300, 900))
    first = draw.randint(0, largest)
    numbers = [first]
    for _ in range(count - 1):
        number = draw.randint(0, largest)
        if draw.random() < 0.3:
            number = max(0, first + draw.randint(-9, 9))
        if draw.random() < 0.1:
            number = first
        numbers.append(number)
    return numbers


def random_case(rng: np.random.Generator, level: Level = WEIGHED) -> RankingCase:
    """A user, candidates and evidence, all made up; no more of each than the level has."""
    draw = Random(int(rng.integers(2**63)))
    names = FreshNames(draw, mixed=True)
    n_candidates = level.candidates
    n_history = level.history
    if draw.random() >= FULL_SHARE:
        n_candidates = draw.randint(min(2, n_candidates), n_candidates)
        n_history = draw.randint(0, n_history)
    profile = None
    if draw.random() < PROFILES:
        profile = ", ".join(random_word(draw) for _ in range(3)).lower()
    items = [names.item(_item(number, draw)) for number in range(n_candidates + n_history + 6)]
    candidates = items[:n_candidates]
    history = items[n_candidates : n_candidates + n_history]
    begins = items[n_candidates:]
    places = rng.permutation(n_candidates) + 1
    evidence, facts = _counts(places, begins, draw, rng)
    return RankingCase(
        profile=profile,
        history=tuple(history),
        chains=(),
        candidates=tuple(candidates),
        evidence=tuple(evidence),
        facts=tuple(facts) if rng.random() < FACTS_SHARE else (),
    )


def _item(number: int, draw: Random) -> Item:
    """An item that `FreshNames` can name; the number keeps it apart from others."""
    genres = draw.sample(range(12), draw.randint(0, 3))
    attributes = [f"g{genre}" for genre in genres]
    if draw.random() < 0.5:
        attributes.append(f"d{draw.randint(0, 5)}")
    return Item(str(number), tuple(attributes))


def _counts(
    places: np.ndarray, begins: list[Item], draw: Random, rng: np.random.Generator
) -> tuple[list[Evidence], list[Facts]]:
    """Evidence and facts of each candidate, from its place. Counts fall with the place, roughly."""
    n = len(places)
    n_linked = n
    if rng.random() < UNLINKED_SHARE:
        n_linked = draw.randint(0, min(n, 4))
    elif rng.random() < 0.5:
        n_linked = draw.randint(n // 2, n)
    size = float(np.exp(rng.uniform(np.log(3), np.log(200))))  # of the data set
    fall = rng.uniform(0.03, 0.4)
    most_links = draw.randint(2, 20)
    witness: list[int] | None = None
    if rng.random() < WITNESS_SHARE:  # it agrees with the evidence, roughly
        witness = (np.argsort(np.argsort(places + rng.normal(0, n / 4, n))) + 1).tolist()
    evidence = []
    facts = []
    for index, place in enumerate(places.tolist()):
        typical = size * np.exp(-fall * (place - 1) + rng.normal(0, 0.5))
        soon = max(1, int(typical))
        raters = soon + int(soon * rng.exponential(4)) + draw.randint(0, 5)
        liked = int(rng.binomial(soon, rng.uniform(0.3, 1)))
        links = most_links * np.exp(-0.5 * fall * (place - 1) + rng.normal(0, 0.3))
        rating = draw.choice((1, 2, 3, 3, 4, 4, 4, 5, 5, 5, 3.5, 4.5))
        n_ratings = int(size * rng.exponential(3)) + draw.randint(0, 9)
        share = int(np.clip(rng.normal(62, 18), 0, 100))
        facts.append(Facts(n_ratings, share if n_ratings else 0))
        if place > n_linked:
            evidence.append(Evidence(place, None, 0.0, 0, 0, 0, 0))
            continue
        item1 = begins[draw.randrange(len(begins))]
        links_shown = int(np.clip(links, 1, 20))
        ranked = witness[index] if witness else None
        evidence.append(Evidence(place, item1, rating, raters, soon, liked, links_shown, ranked))
    return evidence, facts
