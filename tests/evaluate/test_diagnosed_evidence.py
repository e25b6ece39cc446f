"""Diagnostics and interventions where chains are evidence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.config import Prompt, Words
from r2rec.evaluate import diagnostics, interventions
from r2rec.evaluate.diagnostics import Reply
from r2rec.prompts.cases import LABELS, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.thoughts.template import write_thoughts
from tests.evaluate.test_diagnostics import K, N, arm, rows_of, world

WORDS = Words("movie", "movies", "watched")


def evidence_world(seed: int = 0) -> tuple[list[RankingCase], np.ndarray]:
    """The cases of `world` with evidence in the place of chains: the positive's is the strongest.

    No chain leads to the two weakest candidates.
    """
    rng = np.random.default_rng(seed + 2)
    plain, positive_index = world(seed)
    cases = []
    for n, (case, positive) in enumerate(zip(plain, positive_index, strict=True)):
        others = [k for k in rng.permutation(K) if k != positive]
        place = {k: number for number, k in enumerate([positive, *others], 1)}
        evidence = []
        for k in range(K):
            begins = Item(f"Seen {n}", ())
            told = Evidence(place[k], begins, 4.0, 900, 90 - 10 * place[k], 9 - place[k], 7)
            if place[k] > K - 2:
                told = Evidence(place[k], None, 0.0, 0, 0, 0, 0)
            evidence.append(told)
        facts = tuple(Facts(100 + k, 50 + k) for k in range(K))
        cases.append(case._replace(chains=(), evidence=tuple(evidence), facts=facts))
    return cases, positive_index


def reads_evidence(case: RankingCase, rng: np.random.Generator) -> int:
    return case.strongest()[0] if case.evidence else int(rng.integers(K))


def reads_facts(case: RankingCase, rng: np.random.Generator) -> int:
    """The candidate that most liked, which is always the last."""
    return case.facts.index(max(case.facts)) if case.facts else int(rng.integers(K))


def titles(case: RankingCase) -> set[str]:
    """Of the items that evidence chains begin at."""
    return {told.item1.title for told in case.evidence if told.item1}


def test_faithfulness_tells_reading_evidence_from_reading_facts() -> None:
    evidence, facts = (
        rows_of(
            diagnostics.faithfulness(arm(choose, make=evidence_world), np.random.default_rng(0)),
            "change",
        )
        for choose in (reads_evidence, reads_facts)
    )
    assert "chain ratings reversed" not in evidence
    assert evidence["as asked"]["hr@1"] == 1
    assert evidence["asked again"]["first moved"] == 0
    for change in ("chains removed", "chains of another user"):
        assert evidence[change]["difference"] < -0.5, change
    assert evidence["evidence reversed"]["hr@1"] == 0
    assert evidence["evidence reversed"]["first moved"] == 1
    assert evidence["history removed"]["first moved"] == 0
    assert evidence["facts removed"]["first moved"] == 0
    for change in ("chains removed", "chains of another user", "evidence reversed"):
        assert facts[change]["first moved"] == 0, change
    assert facts["facts removed"]["first moved"] > 0.5


def test_faithfulness_checks_what_thoughts_say_of_evidence() -> None:
    """The template's thoughts are true; a third of them get one wrong count, another free steps."""
    diagnosed = arm(reads_evidence, make=evidence_world)
    positives = [LABELS[k] for k in diagnosed.positive]
    replies = []
    n_steps = 0
    written = write_thoughts(diagnosed.cases, positives, 0)
    for n, (thought, answer) in enumerate(written):
        n_steps += thought.count("Step ")
        if n % 3 == 1:
            thought = thought.replace(" recent ratings lead", "1 recent ratings lead", 1)
        if n % 3 == 2:
            label = positives[n]
            n_steps += 2 - thought.count("Step ")
            thought = f"Step 1: 80 people went on to {label}.\n"
            thought += (
                f'Step 2: Of {label} I like that 12345 rated it, as did those of "Gone Astray".'
            )
        replies.append(Reply((0,), f"<think>\n{thought}\n</think>\n{answer}", 9))
    facts = diagnostics.faithfulness(
        diagnosed._replace(replies=replies), np.random.default_rng(0)
    ).facts
    assert facts == {
        "steps that say what is there": pytest.approx(1 - (N / 3 + 2 * N / 3) / n_steps),
        "steps that do not": pytest.approx(N / 3 / n_steps),
        "other steps": pytest.approx(2 * N / 3 / n_steps),
        "items cited in them that the prompt has": 0.0,
        "numbers cited in them that the prompt has": 0.5,
    }


@pytest.mark.parametrize(
    ("conclusion", "is_true"),
    [
        ("By all evidence: {0} comes first, then {1}.", True),
        ("By all evidence: {1} comes first, then {0}.", False),
        ("By people: {5} comes first.", False),  # it is best by nothing
        ("By rank: {0} comes first.", False),  # no rank is told
        ("By all evidence: Z comes first.", False),
    ],
)
def test_a_conclusion_is_true_if_evidence_speaks_for_it(conclusion: str, is_true: bool) -> None:
    cases, positive_index = evidence_world()
    case = cases[0]._replace(facts=())
    labels = [LABELS[index] for index in case.strongest()]
    text = f"<think>\nStep 1: {conclusion.format(*labels)}\n</think>\nRanking: A"
    diagnosed = arm(reads_evidence)._replace(
        cases=[case], positive=positive_index[:1], replies=[Reply((0,), text, 9)]
    )
    facts = diagnostics.faithfulness(diagnosed, np.random.default_rng(0)).facts
    assert facts["steps that say what is there"] == is_true
    assert facts["steps that do not"] == (not is_true)


def test_memory_hides_evidence_with_the_user() -> None:
    rows = rows_of(
        diagnostics.memory(arm(reads_evidence, make=evidence_world), np.random.default_rng(0)),
        "change",
    )
    assert rows["titles masked"]["first moved"] == 0
    assert rows["user unknown"]["hr@1"] < 0.4
    assert rows["both"]["hr@1"] < 0.4


def test_position_clears_readers_of_evidence() -> None:
    diagnosed = arm(reads_evidence, make=evidence_world)
    facts = diagnostics.position(diagnosed, np.random.default_rng(0), shuffles=3).facts
    assert facts["hr@1 of one order"] == 1
    assert facts["two orders agree on the first"] == 1


@given(st.integers(0, 100))
def test_interventions_on_evidence_change_one_thing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = evidence_world(seed)[0][:5]
    moved, orders = interventions.shuffled(cases, rng)
    for case, new, order in zip(cases, moved, orders, strict=True):
        stored = list(zip(case.candidates, case.evidence, case.facts, strict=True))
        shown = list(zip(new.candidates, new.evidence, new.facts, strict=True))
        assert shown == [stored[k] for k in order]
        assert [order[k] for k in new.strongest()] == case.strongest()
    for case, new in zip(cases, interventions.without_chains(cases, rng), strict=True):
        assert new == case._replace(evidence=())
        prompt = render_prompt(new, Prompt(name="evidence", facts=True), WORDS)
        assert prompt.count("% liked") == K
        assert "lead" not in prompt
    swapped = interventions.swapped_chains(cases, rng)
    for case, new in zip(cases, swapped, strict=True):
        assert new._replace(evidence=case.evidence) == case
        assert new.evidence != case.evidence
    by_title = sorted(title for c in cases for title in titles(c))
    assert sorted(title for c in swapped for title in titles(c)) == by_title
    assert interventions.reversed_ratings(cases, rng) == cases
    for case, new in zip(cases, interventions.without_facts(cases, rng), strict=True):
        assert new == case._replace(facts=())
    for case, new in zip(cases, interventions.unknown_user(cases, rng), strict=True):
        assert new == RankingCase(None, (), (), case.candidates)
    for case, new in zip(cases, interventions.masked_titles(cases, rng), strict=True):
        assert not titles(new) & titles(case)
        assert [e._replace(item1=None) for e in new.evidence] == [
            e._replace(item1=None) for e in case.evidence
        ]
        assert new.facts == case.facts


@given(st.integers(0, 100))
def test_reversed_evidence_makes_the_strongest_the_weakest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = evidence_world(seed)[0][:5]
    reversed_cases = interventions.reversed_evidence(cases, rng)
    for case, new in zip(cases, reversed_cases, strict=True):
        assert new._replace(evidence=case.evidence) == case
        assert new.strongest() == case.strongest()[::-1]
        assert sorted(new.evidence, key=lambda e: e.place) == sorted(
            case.evidence, key=lambda e: e.place
        )
        soon = [new.evidence[k].soon for k in case.strongest()]
        assert soon == sorted(soon)
    assert interventions.reversed_evidence(reversed_cases, rng) == cases
    plain = world(seed)[0][:5]
    assert interventions.reversed_evidence(plain, rng) == plain
