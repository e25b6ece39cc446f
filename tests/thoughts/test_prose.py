"""Thoughts in whole sentences: as true as those in shorthand, and without counts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.answer import thought_steps
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.thoughts.audit import audit
from r2rec.thoughts.template import write_thoughts
from tests.thoughts.traces import ALIEN, BABE, BRAZIL, CLUE, HEAT, JAWS, RANKING, RATING, UP

POOL = (HEAT, JAWS, ALIEN, BRAZIL, CLUE)  # few: most come more than once
items = st.sampled_from(POOL)
stars = st.integers(1, 5)
pairs = st.tuples(items, items).filter(lambda pair: pair[0] != pair[1])
chains = st.builds(
    lambda pair, u1, v1, v2, u2: Chain(pair[0], u1, v1, v2, pair[1], u2),
    pairs,
    *(stars, stars, stars),
    stars | st.none(),
)
rankings = st.builds(
    RankingCase,
    st.just("male, 18-24, farmer"),
    st.lists(items, max_size=4, unique=True).map(tuple),
    st.lists(chains, max_size=5).map(tuple),
    st.just((UP, BABE, Item("Network (1976)", ("Drama", "1970s")))),
    evidence=st.just(()),
    facts=st.just(()),
)


def written(case: RankingCase | RatingCase, truth: str, **params: bool) -> tuple[str, str]:
    ((thought, answer),) = write_thoughts([case], [truth], 0, sentences=True, **params)
    return thought, answer


@given(rankings, st.sampled_from(LABELS[:3]))
def test_a_thought_in_sentences_keeps_the_rules_that_one_in_shorthand_keeps(
    case: RankingCase, truth: str
) -> None:
    ((shorthand, answer),) = write_thoughts([case], [truth], 0)
    thought, same = written(case, truth)
    assert same == answer
    if audit(case, shorthand, answer, truth) == []:
        assert audit(case, thought, answer, truth) == [], thought
    else:
        broken = {reason.partition(":")[0] for reason in audit(case, thought, answer, truth)}
        assert broken == {"inconsistent"}


@given(chains.map(lambda chain: chain._replace(rating_u2=None)), stars.map(str))
def test_so_does_one_about_one_chain(chain: Chain, truth: str) -> None:
    case = RatingCase(None, chain)
    ((shorthand, answer),) = write_thoughts([case], [truth], 0)
    thought, _ = written(case, truth)
    expected = audit(case, shorthand, answer, truth)
    assert audit(case, thought, answer, truth) == expected, thought


@pytest.mark.parametrize(("case", "truth"), [(RANKING, "C"), (RATING, "4")])
def test_sentences_have_words_and_no_counts(case: RankingCase | RatingCase, truth: str) -> None:
    thought, _ = written(case, truth)
    for step in thought_steps(thought):
        assert step.endswith(".")
        assert len(step.split()) > 5
        assert not re.search(r"[A-Z]\w+ \d+[,;]", step), "Crime 2, Drama 1"


@pytest.mark.parametrize("rating", ["a 4 and liked it", "a 5 and agrees", "a 2.", "a 1 and dis"])
def test_a_wrong_rating_in_a_sentence_is_found(rating: str) -> None:
    thought, answer = written(RANKING, "C")
    assert audit(RANKING, thought, answer, "C") == []
    wrong = rating.replace(rating[2], "3")
    assert rating in thought
    assert audit(RANKING, thought.replace(rating, wrong, 1), answer, "C")


def test_rules_can_be_left_out() -> None:
    full, _ = written(RANKING, "C")
    from_the_end, _ = written(RANKING, "C", masked=False)
    history_last, _ = written(RANKING, "C", progressive=False)
    assert len({full, from_the_end, history_last}) == 3
    assert any(r.startswith("masked") for r in audit(RANKING, from_the_end, "Ranking: C", "C"))
    assert full.index("recently liked") < full.index("In chain 1")
    assert history_last.index("In chain 2") < history_last.index("recently liked")


def test_an_item_that_comes_twice_is_read_where_it_comes() -> None:
    """Its second hop rests on its own chain, in the words of a language model too."""
    case = RANKING._replace(
        chains=(RANKING.chains[0], Chain(HEAT, 5, 3, 2, ALIEN, 1), Chain(ALIEN, 1, 2, 4, CLUE, 4))
    )
    thought, answer = written(case, "C")
    assert audit(case, thought, answer, "C") == []
    early = thought.replace(
        'In chain 2 the user gave "Heat (1995)"', 'In chain 2 neighbour 2 gave "Alien (1979)" a 2'
    )
    assert any(reason.startswith("masked") for reason in audit(case, early, answer, "C"))
