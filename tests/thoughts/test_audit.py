"""The audit names every rule that is broken on purpose, and accepts right traces in any words."""

import time

import pytest

from r2rec.thoughts.audit import RULES, audit, rates
from tests.thoughts.traces import CHOSEN, RANKING, RATING, TOLD, rules, steps


def spoilt(texts, n, old, new):
    """The texts, one changed; the change must have taken place."""
    assert old in texts[n - 1]
    return steps(*texts[: n - 1], texts[n - 1].replace(old, new), *texts[n:])


def test_audit_accepts_free_text():
    assert audit(RATING, steps(*TOLD), "Rating: 4", "4") == []
    assert audit(RANKING, steps(*CHOSEN), "Ranking: C > A > B", "C") == []


@pytest.mark.parametrize(
    ("thought", "truth"),
    [
        (
            "**Step 1:** Crime is liked by the user (5).\n\n"
            "**Step 2:** The other user gave it four stars, a match.\n\n"
            "**Step 3:** The neighbour found Jaws average (3/5).\n\n"
            "**Step 4:** So a lukewarm reception is likely.",
            "3",
        ),
        (
            "1. The target user gave Heat a 5.\n"
            "2. A similar user gave it a 4, on a scale from 1 to 5.\n"
            "3. That neighbor rated Jaws 3.\n"
            "4. As Jaws shares only 1 genre with Heat, the user would not enjoy it.",
            "2",
        ),
        (
            "Step 1: The user loved Heat, and neighbour 1 rated it 4.\n"
            "Step 2: Their tastes agree, as step 1 shows.\n"
            "Step 3: Jaws got a 3 from neighbour 1, neither above 3 nor below 3.\n"
            "Step 4: The neighbour was neutral, but I predict that the user will be satisfied.",
            "5",
        ),
        (
            "Step 1: Heat was rated 5 by the user.\n"
            "Step 2: It was rated 4 by neighbour 1 and 5 by the user, a match.\n"
            "Step 3: In step 2, 4 was a like; now Jaws gets 3 stars of neighbour 1.\n"
            "Step 4: The user will probably like it, since they rate higher than the neighbour.",
            "4",
        ),
    ],
)
def test_audit_accepts_other_wordings(thought, truth):
    assert audit(RATING, thought, f"Rating: {truth}", truth) == []


def test_audit_accepts_another_ranking():
    thought = (
        "Let me read the chains.\n"
        "1. In the first chain, the user liked Clue (4), as neighbour 1 (5). They disliked "
        "Alien (2), as the user (1).\n"
        "2. In the second chain, the user loved Heat (5); neighbour 2 was lukewarm (3). Then "
        "Brazil: neighbour 2 gave 4, the user 4.\n"
        "3. Comedy is a positive sign, horror is not.\n"
        "4. Babe is a comedy, Jaws is horror and Up is neither.\n"
        "5. Babe is the best fit, then Up."
    )
    assert audit(RANKING, thought, "Ranking: C > A > B", "C") == []


RATING_PLANTS = {
    "progressive": [
        steps(*TOLD).replace("Step 3", "Step 4"),
        steps(*TOLD).replace("Step 4", "Step 5"),
        steps(*TOLD).replace("Step 2", "Step 1"),
        steps(*TOLD).replace("Step 1", "Step 0"),
        spoilt(TOLD, 2, "fond of it", "fond of it, as step 4 confirms"),
        spoilt(TOLD, 1, "appeal", "appeal, as we will see,"),
        spoilt(TOLD, 2, "a fair guide", "a fair guide (see steps 3 and 4)"),
        spoilt(TOLD, 1, "so action", "and the next step will show that action"),
    ],
    "masked": [
        steps(TOLD[0], TOLD[2], TOLD[1], TOLD[3]),
        steps(TOLD[1], TOLD[0], *TOLD[2:]),
        spoilt(TOLD, 1, "appeal", "appeal, and Jaws is action too, which may appeal"),
        spoilt(TOLD, 1, "action and crime", "action, crime and perhaps horror"),
        spoilt(TOLD, 2, "same movie 4", "same movie 4 and the second movie 3"),
        spoilt(TOLD, 1, "5 out of 5", "5 (others: 3)"),
        spoilt(TOLD, 2, "Both are fond", "A 3 follows. Both are fond"),
        steps(TOLD[0] + " " + TOLD[1] + " " + TOLD[2], TOLD[3]),
        "The question is about Jaws.\n" + steps(*TOLD),
    ],
    "leak": [
        spoilt(TOLD, 4, "I expect", "the correct answer is in reach: I expect"),
        spoilt(TOLD, 4, "I expect them to have liked it", "I expect a rating of 2, liked"),
        spoilt(TOLD, 3, "which is neutral", "and the user rated Jaws a 2"),
        spoilt(TOLD, 4, "if less than Heat.", "if less than Heat.\nRating: 2"),
        spoilt(TOLD, 3, "neutral", "neutral; a 2 fits"),
        spoilt(TOLD, 4, "I expect", "as the final answer must be, I expect"),
        spoilt(TOLD, 1, "5 out of 5", "5 out of 5 (ground truth known)"),
        spoilt(TOLD, 4, "liked it", "given it two stars, or liked it"),
    ],
    "inconsistent": [
        spoilt(TOLD, 4, "liked it", "disliked it"),
        spoilt(TOLD, 4, "liked it", "been lukewarm about it"),
        spoilt(TOLD, 4, "to have liked it", "to have seen it"),
        spoilt(TOLD, 4, "to have liked it", "not to have liked it"),
        spoilt(TOLD, 1, "5 out of 5", "1 out of 5"),
        spoilt(TOLD, 2, "same movie 4", "same movie 5"),
        spoilt(TOLD, 3, 'rated "Jaws (1975)" 3', 'rated "Jaws (1975)" 1'),
        spoilt(TOLD, 3, "which is neutral", "and the user rated Jaws 5"),
    ],
    "malformed": [
        "",
        "  \n ",
        "The user liked Heat, so they like Jaws.",
        "Step 1:\nStep 2: liked",
        "<think>\n" + steps(*TOLD),
        steps(*TOLD) + "\n</think>",
        "Step one: liked",
        "Step 1: **\nStep 2: liked.",
    ],
}


@pytest.mark.parametrize(
    ("rule", "thought"), [(rule, t) for rule, ts in RATING_PLANTS.items() for t in ts]
)
def test_audit_names_rule_broken_in_rating(rule, thought):
    truth = "2" if rule == "leak" else "4"
    assert rule in rules(RATING, thought, f"Rating: {truth}", truth)


RANKING_PLANTS = {
    "progressive": [
        steps(*CHOSEN).replace("Step 3", "Step 4"),
        steps(*CHOSEN).replace("Step 6", "Step 7"),
        steps(*CHOSEN).replace("Step 5", "Step 4"),
        spoilt(CHOSEN, 4, "and avoids", "(compare step 5) and avoids"),
        spoilt(CHOSEN, 1, "a crime movie", "which, as we shall see, is a crime movie"),
        spoilt(CHOSEN, 3, "as well", "as well, explained below"),
    ],
    "masked": [
        steps(CHOSEN[0], CHOSEN[2], CHOSEN[1], *CHOSEN[3:]),
        steps(CHOSEN[0], CHOSEN[4], *CHOSEN[1:4], CHOSEN[5]),
        spoilt(CHOSEN, 1, "a crime movie", "like candidate B, a crime movie"),
        spoilt(CHOSEN, 2, "neighbour 1 gave it 5", "unlike neighbour 2, neighbour 1 gave it 5"),
        spoilt(CHOSEN, 2, "Clue (1985)", "Brazil (1985)"),
        spoilt(CHOSEN, 2, "a 2, and", "a 2, unlike Babe, and"),
        spoilt(CHOSEN, 2, "4 and", "4, and later Alien, and"),
        spoilt(CHOSEN, 2, "4 and", "4 (and 1 later) and"),
        steps(
            CHOSEN[0],
            CHOSEN[1].replace("the user rated", "neighbour 1 gave 5 and the user rated"),
            *CHOSEN[2:],
        ),
        steps(CHOSEN[0], *CHOSEN[3:]),
    ],
    "leak": [
        spoilt(CHOSEN, 4, "Taken together", "The positive is a comedy:"),
        spoilt(CHOSEN, 5, "C is a comedy", "C, the ground truth, is a comedy"),
        spoilt(CHOSEN, 6, "So C comes first", "Ranking: C comes first"),
        spoilt(CHOSEN, 1, "a crime movie", "a crime movie, which speaks for candidate C,"),
        spoilt(CHOSEN, 2, "and the user 1", "and the user 1, unlike Babe"),
        spoilt(CHOSEN, 4, "and avoids horror", "which makes C the one to look at"),
        spoilt(CHOSEN, 6, "So C comes", "As the user's next choice is known, C comes"),
        spoilt(CHOSEN, 6, "So C comes", "The correct answer has C"),
    ],
    "inconsistent": [
        spoilt(CHOSEN, 6, "So C comes first, then A, then B", "So A comes first, then C"),
        spoilt(CHOSEN, 6, "So C comes first, then A, then B", "So the order is clear"),
        spoilt(CHOSEN, 2, "gave it 5", "gave it 3"),
        spoilt(CHOSEN, 3, "rated Heat 5", "rated Heat 1"),
        spoilt(CHOSEN, 4, "Taken together", "Looking at chain 7 as well"),
        steps(*CHOSEN[:4], "Best supported: A 9, C 2.", CHOSEN[5]),
        steps(*CHOSEN[:5], "First: A."),
        steps(*CHOSEN[:4], "Candidates: A Comedy 2; C Comedy 2.", CHOSEN[5]),
    ],
    "malformed": [
        "",
        "\n",
        "C is best.",
        "Step 1:\nStep 2: C",
        "Step 1: C </think>",
        "A - then B\nC",
    ],
}


@pytest.mark.parametrize(
    ("rule", "thought"), [(rule, t) for rule, ts in RANKING_PLANTS.items() for t in ts]
)
def test_audit_names_rule_broken_in_ranking(rule, thought):
    assert rule in rules(RANKING, thought, "Ranking: C > A > B", "C")


@pytest.mark.parametrize(
    "answer", ["Rating: 2", "Rating: 4.5", "", "4", "I expect 4", "Ranking: C > A > B"]
)
def test_audit_rejects_wrong_rating(answer):
    assert rules(RATING, steps(*TOLD), answer, "4") == {"inconsistent"}


@pytest.mark.parametrize(
    "answer",
    ["Ranking: A > C > B", "Ranking: C > C", "Ranking: C > Z", "", "Rating: 4", "C, surely"],
)
def test_audit_rejects_wrong_ranking(answer):
    assert rules(RANKING, steps(*CHOSEN), answer, "C") == {"inconsistent"}


def test_rates():
    assert rates([[], ["leak: a", "leak: b"], ["masked: a", "leak: c"], []]) == {
        "accepted": 0.5,
        "malformed": 0,
        "progressive": 0,
        "masked": 0.25,
        "leak": 0.5,
        "inconsistent": 0,
    }
    assert rates([]) == dict.fromkeys(("accepted", *RULES), 0)


LONG = [
    "Step 1: " + "a " * 30_000,
    "Step 1: " + "Chain 1, " * 8_000,
    "Step 1: (4); " * 8_000,
    "Step 1: a\n" * 5_000,
    "Chain 1: x liked (" * 5_000,
    "not " * 20_000,
    "1. Candidates: A a 1, " * 3_000,
]


@pytest.mark.parametrize("text", LONG)
def test_audit_takes_linear_time(text):
    """A hundred times the length of a thought is a matter of a second."""
    for case, truth in ((RATING, "4"), (RANKING, "C")):
        start = time.perf_counter()
        assert audit(case, text, "", truth)
        assert time.perf_counter() - start < 3
