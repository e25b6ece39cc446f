"""What free text may not claim or foretell; honest traces in a human's words are accepted."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.thoughts.audit import audit
from r2rec.thoughts.claims import checked
from tests.thoughts.traces import (
    ALIEN,
    CHOSEN,
    CLUE,
    HEAT,
    JAWS,
    RANKING,
    RATING,
    TOLD,
    UP,
    rules,
    steps,
)

SUN = Item("Kappa Sun (1995)", ("Family", "Comedy", "1990s"))
SUNNY = RANKING._replace(candidates=(UP, JAWS, SUN))
CHOSE = [text.replace("Babe", "Kappa Sun") for text in CHOSEN]


def added(texts, n, text):
    """The texts, one with a sentence more."""
    return steps(*texts[: n - 1], f"{texts[n - 1]} {text}", *texts[n:])


HONEST = [
    steps(
        "Lately the user liked Heat, an action and crime movie from the 90s.",
        "In chain 1 the user gave Clue a 4 and neighbour 1 gave it a 5. Neighbour 1 gave Alien a "
        "2; the user 1.",
        "So (a) comedy works for them, and (b) horror does not.",
        "In chain 2 the user gave Heat a 5 and neighbour 2 a 3. Then neighbour 2 gave Brazil a 4, "
        "as did the user.",
        "Both comedies got ratings of 4 or more, and the user rated Alien 1: comedy over horror.",
        "There is no western or musical here, and nothing from the 1940s.",
        "The first candidate, A, is a family drama; B is horror like Alien, which the user rated "
        "1; C is a comedy.",
        "So C, then A, and B last.",
    ),
    steps(
        'The recent like is "Heat (1995)".',
        'Chain 1 starts with the user\'s 4 for "clue", which neighbour 1 rated 5. They rated '
        '"alien" 2 and the user 1.',
        'Chain 2: the user rated "Heat" 5 stars, neighbour 2 rated it 3. Then Brazil got a 4 from '
        "them, and the user "
        "gave a 4 too.",
        "The user's average is 3.5 over the four ratings, and a sum of 14.",
        "Among the candidates there are a family movie and a drama from the 2000s.",
        "The third candidate is a comedy, the second candidate is horror, the first is neither.",
        "I would expect a rating of 5 for candidate C, so C comes first, then A, then B.",
    ),
]


@pytest.mark.parametrize("thought", HONEST)
def test_audit_accepts_honest_ranking(thought):
    assert audit(RANKING, thought, "Ranking: C > A > B", "C") == []


@pytest.mark.parametrize(
    ("thought", "truth"),
    [
        (
            steps(
                "The user is a writer and gave Heat a 5; they loved it.",
                "The neighbour's 4 for Heat says that they know its worth, so their view should "
                "carry over.",
                "Knowing the taste of both, turn to Jaws: horror and action of the 1970s, a 3 "
                "from the neighbour.",
                "It is no comedy. In the end the user would be mildly pleased, I think: above "
                "average.",
            ),
            "4",
        ),
        (
            steps(
                "With a 5 the user thought highly of the first movie, so they would enjoy action "
                "and crime.",
                "Neighbour 1 gave the first movie a 4: close, as step 1 says.",
                "The other movie has horror, and neighbour 1 gave it a 3.",
                "We do not know the outcome, but the action in it speaks for it and the horror "
                "against it.",
                "So I expect them to be neutral.",
            ),
            "3",
        ),
        (
            steps(
                "Heat, from the 90s, got 5 stars from the user, who likely loves crime.",
                "Neighbour 1 went on record with a 4 for it.",
                "Neighbour 1 went on to give Jaws a 3.",
                "They will probably like it a little less than Heat; I predict they liked it.",
            ),
            "5",
        ),
    ],
)
def test_audit_accepts_honest_rating(thought, truth):
    assert audit(RATING, thought, f"Rating: {truth}", truth) == []


@pytest.mark.parametrize("step", [1, 4])
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The user also gave Titanic a 5.", "inconsistent"),
        ('They once rated "Titanic (1997)" 5 stars.', "inconsistent"),
        ("This recalls “Titanic”.", "inconsistent"),
        ("The user gave Heat a 2.", "inconsistent"),
        ("They liked thrillers and westerns from the 1940s.", "inconsistent"),
        ("They liked science fantasy.", "inconsistent"),
        ("They like movies of the 40s.", "inconsistent"),
        ("They are fond of dramas.", "inconsistent"),
        ("They went on to like the third candidate.", "leak"),
        ("They went on to like candidate 3.", "leak"),
        ("They will watch kappa sun.", "leak"),
        ("They will watch KAPPA SUN (1995).", "leak"),
        ("It is (c) in the end.", "leak"),
        ("It is candidate c.", "leak"),
        ("Knowing that the outcome is a comedy, comedy counts.", "leak"),
    ],
)
def test_audit_rejects_false_claim_in_ranking(step, text, rule):
    thought = steps(*CHOSE)
    assert audit(SUNNY, thought, "Ranking: C > A > B", "C") == []
    assert rule in rules(SUNNY, added(CHOSE, step, text), "Ranking: C > A > B", "C")


def test_rating_belongs_to_what_its_clause_names():
    for text in (
        "The user gave Clue a 4.",
        "Neighbour 1 rated Clue 5.",
        "In chain 2 the user rated Heat 5 stars.",
    ):
        assert rules(RANKING, added(CHOSEN, 4, text), "Ranking: C > A > B", "C") == set()
    for text in (
        "The user gave Clue a 5.",
        "Neighbour 1 rated Clue 4.",
        "In chain 1 the neighbour gave a 3.",
    ):
        assert rules(RANKING, added(CHOSEN, 4, text), "Ranking: C > A > B", "C") == {"inconsistent"}
    too_early = added(CHOSEN, 1, "The user gave a 4.")
    assert rules(RANKING, too_early, "Ranking: C > A > B", "C") == {"masked"}


@pytest.mark.parametrize(
    "text",
    [
        "In the end they give it top marks.",
        "Knowing that the outcome is a maximum score, the taste is clear.",
        "As told, they were thrilled by it.",
        "They will love it.",
        "The user ended up with a high score.",
    ],
)
def test_audit_rejects_foretold_opinion(text):
    for thought in (added(TOLD, 1, text), steps(f"{text} {TOLD[0]}", *TOLD[1:])):
        assert "leak" in rules(RATING, thought, "Rating: 4", "4")


def test_the_other_film_is_item_2():
    found = rules(RATING, added(TOLD, 1, "They were thrilled by the other film."), "Rating: 4", "4")
    assert found == {"masked"}


@pytest.mark.parametrize(
    "text", ["The user loved it.", "Overall they are thrilled.", "They will adore it."]
)
def test_audit_rejects_opinion_before_item_1(text):
    assert rules(RATING, steps(f"{text} {TOLD[0]}", *TOLD[1:]), "Rating: 4", "4") == {"leak"}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("The user gave Titanic a 5.", "inconsistent"),
        ("They like westerns of the 1940s.", "inconsistent"),
    ],
)
def test_audit_rejects_false_claim_in_rating(text, rule):
    assert rule in rules(RATING, added(TOLD, 1, text), "Rating: 4", "4")


stars = st.integers(1, 5)


@given(
    st.tuples(stars, stars, stars, stars),
    stars,
    st.sampled_from(["user", "neighbour"]),
    st.booleans(),
)
def test_cited_rating_must_be_in_the_case(ratings, cited, who, first):
    user1, neighbour1, neighbour2, user2 = ratings
    chain = Chain(CLUE, user1, neighbour1, neighbour2, ALIEN, user2)
    case = RankingCase(None, (HEAT,), (chain,), (UP, JAWS))
    true = {
        ("user", True): user1,
        ("neighbour", True): neighbour1,
        ("neighbour", False): neighbour2,
        ("user", False): user2,
    }[who, first]
    thought = steps(
        "Chain 1 is on Clue and its neighbour, then Alien.",
        f"The {who} gave {'Clue' if first else 'Alien'} a {cited}.",
        "A and B are left.",
        "So A, then B.",
    )
    assert (audit(case, thought, "Ranking: A > B", "A") == []) == (cited == true)
    assert checked(case, thought).ratings == [cited == true]


@given(st.integers(1, 10), st.booleans())
def test_candidate_named_by_its_place(n, digits):
    nth = "first second third fourth fifth sixth seventh eighth ninth tenth".split()[n - 1]
    ordinal = {1: "1st", 2: "2nd", 3: "3rd"}.get(n, f"{n}th") if digits else nth
    candidates = tuple(Item(f"Film Number{k}", ("Drama",)) for k in range(10))
    case = RankingCase(None, (HEAT,), (), candidates)
    thought = steps("They liked Heat.", f"The {ordinal} candidate comes first.")
    label = LABELS[n - 1]
    rest = [other for other in LABELS[:10] if other != label]
    assert audit(case, thought, f"Ranking: {' > '.join([label, *rest])}", label) == []


def test_checked_ignores_order():
    foreign = steps("In chain 1 the user gave Titanic a 5 and the neighbour gave Avatar a 1.")
    assert checked(RANKING, foreign) == ([False, False], [False, False])
    assert checked(RANKING, steps(*CHOSEN)) == ([True] * 5, [True] * 6)
    assert checked(RANKING, "So be it.") == ([], [])
    half_right = steps("The user gave Heat a 5.", "The neighbour gave Jaws a 1.")
    assert checked(RATING, half_right) == ([True, True], [True, False])


LONG = [
    "Step 1: " + "The user gave Titanic a 5. " * 3_000,
    'Step 1: "A' * 9_000,
    "Step 1: (a) (b) " * 5_000,
    "Step 1: the user rated A B Of The And In C 5 " * 2_000,
    "the second candidate " * 4_000,
]


@pytest.mark.parametrize("text", LONG)
def test_claims_take_linear_time(text):
    for case, truth in ((RATING, "4"), (RANKING, "C")):
        start = time.perf_counter()
        assert audit(case, text, "", truth)
        checked(case, text)
        assert time.perf_counter() - start < 5
