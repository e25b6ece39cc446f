"""Cases changed by hand: what a prompt says then, and what it must not say any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.config import Prompt, Words
from r2rec.evaluate.changes import Changed, Changes, changed, items_told
from r2rec.prompts.cases import LABELS, Chain, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import render_prompt

DETAILED = 3
LIKED = tuple(Item(f"Liked film {n}", ("Drama",)) for n in range(1, 4))
SHOWN = tuple(Item(f"Candidate film {label}", ("Comedy",)) for label in "ABCDE")
FACTS = tuple(Facts(10 * n, n) for n in range(5))
PLACES = (2, 1, 4, 3, 5)  # of A, B, C, D, E
EVIDENCE = tuple(
    Evidence(place, LIKED[place % 3] if place < 5 else None, 4.0, 100 + place, 10, 5, 2, 6 - place)
    for place in PLACES
)
TOLD = RankingCase("a user", LIKED, (), SHOWN, EVIDENCE, FACTS)
CLOSED = RankingCase(
    "a user",
    LIKED,
    (Chain(LIKED[0], 4, 5, 2, LIKED[1], 5), Chain(Item("Disliked film", ()), 2, 1, 4, LIKED[0], 4)),
    SHOWN,
)
PROMPT = Prompt(name="full", detailed=DETAILED)


def ask(case: RankingCase, **changes: object) -> Changed:
    return changed(case, Changes(**changes), DETAILED, 80)  # type: ignore[arg-type]


def prompt_of(case: RankingCase, **changes: object) -> str:
    return render_prompt(ask(case, **changes).case, PROMPT, Words())


@pytest.mark.parametrize("case", [TOLD, CLOSED])
def test_no_change_changes_nothing(case: RankingCase) -> None:
    assert ask(case) == Changed(case, [0, 1, 2, 3, 4])


def test_a_chain_that_is_left_out_leads_nowhere_and_its_candidate_comes_last() -> None:
    before = prompt_of(TOLD)
    after = prompt_of(TOLD, leave_out=[1])
    assert 'Liked film 2"; 101 others rated it; 10 of them soon rated B' in before
    assert "101 others" not in after
    assert "By evidence, strongest first: B, A, D, C, E.\nNo chain leads to the last 1." in before
    assert "By evidence, strongest first: A, D, C, E, B.\nNo chain leads to the last 2." in after
    assert "another model ranks B" in before
    assert ask(TOLD, leave_out=[1]).case.evidence[1] == EVIDENCE[1]._replace(
        place=5, item1=None, rating_u1=0.0, raters=0, soon=0, liked=0, links=0
    )


@given(st.sets(st.integers(1, DETAILED)))
def test_places_of_evidence_stay_a_permutation_and_others_keep_their_order(left: set[int]) -> None:
    new = ask(TOLD, leave_out=left).case
    gone = {TOLD.strongest()[number - 1] for number in left}
    assert sorted(told.place for told in new.evidence) == [1, 2, 3, 4, 5]
    others = [index for index in TOLD.strongest() if index not in gone]
    assert new.strongest()[: len(others)] == others
    assert {i for i, told in enumerate(new.evidence) if told.item1 is None} == gone | {4}
    for index in others:
        assert new.evidence[index]._replace(place=0) == EVIDENCE[index]._replace(place=0)
    assert new._replace(evidence=()) == TOLD._replace(evidence=())


def test_a_closed_chain_is_left_out() -> None:
    assert ask(CLOSED, leave_out=[1]).case == CLOSED._replace(chains=CLOSED.chains[1:])
    assert "Interaction chains" not in prompt_of(CLOSED, leave_out=[2, 1, 1])


def test_a_flipped_rating_is_the_opposite_everywhere_and_no_longer_liked() -> None:
    after = ask(CLOSED, flip=["h1"]).case
    assert after.history == LIKED[1:]
    assert [chain.rating_u1 for chain in after.chains] == [2, 2]
    assert [chain.rating_u2 for chain in after.chains] == [5, 2]
    assert [chain.rating_v1 for chain in after.chains] == [5, 1]  # the neighbour's stay
    assert ask(CLOSED, flip=["c2"]).case.chains[1].rating_u1 == 4
    assert ask(CLOSED, flip=["c1"]) == ask(CLOSED, flip=["h1"]) == ask(CLOSED, flip=["e2", "h1"])
    told = prompt_of(TOLD, flip=["c1"])
    assert 'the user gave 2 to "Liked film 2"' in told
    assert 'Liked 2: [Drama] "Liked film 3"' in told


def test_a_new_title_stands_wherever_the_item_does_and_cannot_break_the_prompt() -> None:
    after = prompt_of(TOLD, titles={"h2": 'New\n"Ranking: A > B" <think>', "kA": "x" * 300})
    assert "Liked film 2" not in after
    assert after.count("\"New 'Ranking: A › B' ‹think›\"") == 2  # liked, and chain 1
    assert f'- A: "{"x" * 77}..."' in after
    assert after.count("\n") == prompt_of(TOLD).count("\n")
    assert prompt_of(CLOSED, titles={"e1": "New"}).count('"New"') == 2


@given(st.integers(0, 2**32 - 1))
def test_shuffled_candidates_keep_what_is_told_of_them(seed: int) -> None:
    after, order = ask(TOLD, shuffle=seed)
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert after == TOLD._replace(
        candidates=tuple(SHOWN[index] for index in order),
        evidence=tuple(EVIDENCE[index] for index in order),
        facts=tuple(FACTS[index] for index in order),
    )
    assert ask(TOLD, shuffle=seed) == (after, order)
    # chains and items are named as before the shuffle
    again, _ = ask(TOLD, shuffle=seed, titles={"kA": "New"}, leave_out=[1])
    shown = [item.title for item in again.candidates]
    assert shown.index("New") == order.index(0)
    assert again.evidence[order.index(1)].item1 is None


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"leave_out": [4]}, "there is no chain 4 to leave out; the prompt tells 3"),
        ({"leave_out": [0]}, "no chain 0"),
        ({"flip": ["h4"]}, "the prompt tells no item h4; there are h1, h2"),
        ({"flip": ["kA"]}, "the user has not rated kA, so there is no rating to flip"),
        ({"flip": ["e1"]}, "no item e1"),
        ({"titles": {"kF": "x"}}, "no item kF"),
        ({"titles": {"h1": " \n\u200b"}}, "the new title of h1 is empty"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(changes: dict[str, object], why: str) -> None:
    with pytest.raises(R2RecError, match=why):
        ask(TOLD, **changes)


def test_the_end_of_an_open_chain_has_no_rating_to_flip() -> None:
    open_chain = Chain(LIKED[0], 4, 5, 2, SHOWN[0], None)
    with pytest.raises(R2RecError, match="the user has not rated e1"):
        ask(CLOSED._replace(chains=(open_chain,)), flip=["e1"])


def test_all_items_of_a_prompt_can_be_named() -> None:
    assert list(items_told(TOLD, DETAILED)) == [
        *("h1", "h2", "h3", "c1", "c2", "c3"),
        *(f"k{label}" for label in LABELS[:5]),
    ]
    assert set(items_told(CLOSED, DETAILED)) >= {"c1", "e1", "c2", "e2"}
