"""Claims of a thought, one by one: right or wrong, and what the prompt has in their place."""

import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.pretrain.weighed import random_case
from r2rec.prompts.answer import thought_steps
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.thoughts import template, weighing
from r2rec.thoughts.judged import Judgement, judged
from r2rec.thoughts.truth import claims_of


def evidence_case(seed: int) -> RankingCase:
    return random_case(np.random.default_rng(seed))


def in_steps(steps: list[str]) -> str:
    return "\n".join(f"Step {n}: {step}" for n, step in enumerate(steps, 1))


def closed_case(seed: int) -> RankingCase:
    rng = random.Random(seed)
    genres = ("Crime", "Drama", "Comedy", "Horror")
    items = [Item(f"Heat {n} (199{n % 10})", (rng.choice(genres),)) for n in range(12)]
    chains = []
    for n in (0, 2):
        ratings = [float(rng.randint(1, 5)) for _ in range(4)]
        chains.append(Chain(items[n], *ratings[:3], items[n + 1], ratings[3]))
    return RankingCase(None, tuple(items[4:7]), tuple(chains), tuple(items[7:]))


def teacher(case: RankingCase, seed: int) -> str:
    positive = LABELS[seed % len(case.candidates)]
    ((thought, _),) = template.write_thoughts([case], [positive], seed)
    return thought


# A number that the case tells, in the teacher's form.
COUNT = re.compile(r'(?<![\w."(#-])\d+(?=%? liked|%? to | others| ratings|;|,)')
CASES = {"evidence": evidence_case, "closed": closed_case}


def agrees(case: RankingCase, thought: str) -> Judgement:
    """The judgement, which must count what the reward counts."""
    judgement = judged(case, thought)
    claims = claims_of(case, thought)
    held = [is_true for is_true in claims.true if is_true is not None]
    held += [*claims.items, *claims.numbers]
    assert (judgement.right, judgement.wrong) == (held.count(True), held.count(False))
    assert [step.text for step in judgement.steps] == thought_steps(thought)
    return judgement


@pytest.mark.parametrize("kind", CASES)
@given(seed=st.integers(0, 10_000))
def test_what_the_teacher_says_is_right(kind: str, seed: int) -> None:
    case = CASES[kind](seed)
    judgement = agrees(case, teacher(case, seed))
    assert judgement.wrong == 0
    assert judgement.is_true
    assert judgement.unread == 0
    assert all(piece.truth is None for step in judgement.steps for piece in step.pieces)


@pytest.mark.parametrize("kind", CASES)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_a_wrong_number_is_marked_with_the_true_one_beside_it(
    kind: str, seed: int, data: st.DataObject
) -> None:
    case = CASES[kind](seed)
    thought = teacher(case, seed)
    numbers = []
    for found in COUNT.finditer(thought):
        in_title = thought.count('"', 0, found.start()) % 2
        if not in_title and not thought[: found.start()].endswith(("Chain ", "Liked ")):
            numbers.append(found)
    if not numbers:
        return
    found = data.draw(st.sampled_from(numbers))
    other = str(int(found[0]) + data.draw(st.integers(1, 900)))
    judgement = agrees(case, thought[: found.start()] + other + thought[found.end() :])
    assert judgement.wrong >= 1
    assert judgement.is_true is False
    wrong = [p for step in judgement.steps for p in step.pieces if p.truth is not None]
    assert (other, found[0]) in [(piece.text, piece.truth) for piece in wrong]
    if judgement.wrong == 1:  # nothing but the number is marked, whatever the teacher's wording
        assert len(wrong) == 1


@pytest.mark.parametrize("kind", CASES)
@given(seed=st.integers(0, 300), text=st.text(max_size=200))
def test_any_text_is_judged_as_the_reward_does(kind: str, seed: int, text: str) -> None:
    case = CASES[kind](seed)
    judgement = judged(case, text)
    claims = claims_of(case, text)
    held = [*(t for t in claims.true if t is not None), *claims.items, *claims.numbers]
    assert (judgement.right, judgement.wrong) == (held.count(True), held.count(False))


def test_a_wrong_conclusion_names_what_comes_first() -> None:
    case = evidence_case(3)
    best, last = LABELS[case.strongest()[0]], LABELS[case.strongest()[-1]]
    judgement = agrees(case, f"Step 1: By {weighing.ALL}: {last} comes first.")
    wrong = [piece for piece in judgement.steps[0].pieces if piece.truth is not None]
    assert [(piece.text, piece.truth) for piece in wrong] == [(last, best)]


def test_a_chain_that_is_not_there_has_no_truth() -> None:
    case = evidence_case(3)
    read = weighing.read_step(case, 0)
    text = re.sub(r"^Chain \d+", "Chain 99", read)
    if text == read:
        pytest.skip("the strongest candidate of this case has no chain")
    (step,) = agrees(case, in_steps([text])).steps
    assert [piece.truth for piece in step.pieces] == [""]


def test_what_cannot_be_read_is_counted_as_such() -> None:
    case = evidence_case(3)
    judgement = agrees(case, in_steps(["So be it.", "It is a matter of taste."]))
    assert (judgement.right, judgement.wrong, judgement.unread) == (0, 0, 2)
    assert judgement.is_true is None


def test_numbers_and_items_in_other_words_are_marked() -> None:
    case = evidence_case(3)
    text = 'I recall 98765 people who saw "Choern Breakent Fi" as well.'
    (step,) = agrees(case, in_steps([text])).steps
    wrong = {piece.text for piece in step.pieces if piece.truth is not None}
    assert {"98765", "Choern Breakent Fi"} <= wrong
    assert step.text == text


def test_a_rating_in_other_words_has_those_that_may_be_meant() -> None:
    case = closed_case(1)
    chain = case.chains[0]._replace(rating_u1=5.0, rating_v1=5.0)
    case = case._replace(chains=(chain, *case.chains[1:]))
    text = f'Chain 1: the user gave "{chain.item1.title}" a 2.'
    (step,) = agrees(case, in_steps([text])).steps
    assert ("2", "5") in [(piece.text, piece.truth) for piece in step.pieces]
