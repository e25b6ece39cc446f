"""The audit: every rule broken on purpose is named, and right traces of whoever wrote them are accepted."""

import re
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.chains import graph as graphs
from r2rec.chains import samplers
from r2rec.data import interactions, split, toy
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.thoughts import evidence, template
from r2rec.thoughts.audit import RULES, audit, rates

HEAT = Item("Heat (1995)", ("Action", "Crime", "1990s"))
JAWS = Item("Jaws (1975)", ("Horror", "Action", "1970s"))
ALIEN = Item("Alien (1979)", ("Horror", "Sci-Fi", "1970s"))
BRAZIL = Item("Brazil (1985)", ("Comedy", "Sci-Fi", "1980s"))
CLUE = Item("Clue (1985)", ("Comedy", "Crime", "1980s"))
BABE = Item("Babe (1995)", ("Family", "Comedy", "1990s"))
UP = Item("Up (2009)", ("Family", "Drama", "2000s"))
RATING = RatingCase("female, 25-34, writer", Chain(HEAT, 5, 4, 3, JAWS, None))
RANKING = RankingCase(
    "male, 18-24, farmer", (HEAT,), (Chain(CLUE, 4, 5, 2, ALIEN, 1), Chain(HEAT, 5, 3, 4, BRAZIL, 4)), (UP, JAWS, BABE)
)


def rules(case, thought, answer, truth):
    return {reason.partition(":")[0] for reason in audit(case, thought, answer, truth)}


def steps(*texts):
    return "\n".join(f"Step {n}: {text}" for n, text in enumerate(texts, 1))


TOLD = [  # a RatingCase in the words of a language model; the neighbour's lower taste and the user's: 4
    'The user rated "Heat (1995)" 5 out of 5, so action and crime appeal to them.',
    "Neighbour 1 rated the same movie 4. Both are fond of it, so the neighbour is a fair guide.",
    'Neighbour 1 then rated "Jaws (1975)" 3, which is neutral; it is an action movie too, though a horror one.',
    "The user rates about 1 point above the neighbour, so I expect them to have liked it, if less than Heat.",
]
CHOSEN = [  # a RankingCase likewise: C
    "The user lately liked Heat, a crime movie of the 1990s.",
    'Chain 1: the user rated "Clue (1985)" 4 and neighbour 1 gave it 5; neighbour 1 rated Alien a 2, and the user 1.',
    "Chain 2: the user rated Heat 5, neighbour 2 rated it 3. Neighbour 2 gave Brazil 4 stars, and the user 4 as well.",
    "Taken together the user likes comedy and crime, and avoids horror.",
    "Candidate A shares nothing; B is horror, which is a bad sign; C is a comedy of the 1990s.",
    "So C comes first, then A, then B.",
]


def spoilt(texts, n, old, new):
    """The texts, one changed; the change must have taken place."""
    assert old in texts[n - 1]
    return steps(*texts[: n - 1], texts[n - 1].replace(old, new), *texts[n:])


def test_free_text_is_accepted():
    assert audit(RATING, steps(*TOLD), "Rating: 4", "4") == []
    assert audit(RANKING, steps(*CHOSEN), "Ranking: C > A > B", "C") == []


@pytest.mark.parametrize(
    ("thought", "truth"),
    [
        ("**Step 1:** Crime is liked by the user (5).\n\n**Step 2:** The other user gave it four stars, a match.\n\n"
         "**Step 3:** The neighbour found Jaws average (3/5).\n\n**Step 4:** So a lukewarm reception is likely.", "3"),
        ("1. The target user gave Heat a 5.\n2. A similar user gave it a 4, on a scale from 1 to 5.\n"
         "3. That neighbor rated Jaws 3.\n4. As Jaws shares only 1 genre with Heat, the user would not enjoy it.", "2"),
        ("Step 1: The user loved Heat, and neighbour 1 rated it 4.\nStep 2: Their tastes agree, as step 1 shows.\n"
         "Step 3: Jaws got a 3 from neighbour 1, neither above 3 nor below 3.\n"
         "Step 4: The neighbour was neutral, but I predict that the user will be satisfied.", "5"),
        ("Step 1: Heat was rated 5 by the user.\nStep 2: It was rated 4 by neighbour 1 and 5 by the user, a match.\n"
         "Step 3: In step 2, 4 was a like; now Jaws gets 3 stars of neighbour 1.\n"
         "Step 4: The user will probably like it, since they rate higher than the neighbour.", "4"),
    ],
)  # fmt: skip
def test_other_wordings_are_accepted(thought, truth):
    assert audit(RATING, thought, f"Rating: {truth}", truth) == []


def test_another_ranking_is_accepted():
    thought = (
        "Let me read the chains.\n1. In the first chain, the user liked Clue (4), as neighbour 1 (5). They disliked "
        "Alien (2), as the user (1).\n2. In the second chain, the user loved Heat (5); neighbour 2 was lukewarm (3). "
        "Then Brazil: neighbour 2 gave 4, the user 4.\n3. Comedy is a positive sign, horror is not.\n"
        "4. Babe is a comedy, Jaws is horror and Up is neither.\n5. Babe is the best fit, then Up."
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
        "", "  \n ", "The user liked Heat, so they like Jaws.", "Step 1:\nStep 2: liked", "<think>\n" + steps(*TOLD),
        steps(*TOLD) + "\n</think>", "Step one: liked", "Step 1: **\nStep 2: liked.",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("rule", "thought"), [(rule, t) for rule, ts in RATING_PLANTS.items() for t in ts])
def test_rating_plants(rule, thought):
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
        steps(CHOSEN[0], CHOSEN[1].replace("the user rated", "neighbour 1 gave 5 and the user rated"), *CHOSEN[2:]),
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
        steps(*CHOSEN[:3], "Tastes: Comedy 9.", *CHOSEN[4:]),
        steps(*CHOSEN[:4], "Candidates: A Comedy 2; C Comedy 2.", CHOSEN[5]),
    ],
    "malformed": ["", "\n", "C is best.", "Step 1:\nStep 2: C", "Step 1: C </think>", "A - then B\nC"],
}


@pytest.mark.parametrize(("rule", "thought"), [(rule, t) for rule, ts in RANKING_PLANTS.items() for t in ts])
def test_ranking_plants(rule, thought):
    assert rule in rules(RANKING, thought, "Ranking: C > A > B", "C")


@pytest.mark.parametrize("answer", ["Rating: 2", "Rating: 4.5", "", "4", "I expect 4", "Ranking: C > A > B"])
def test_wrong_rating_answers(answer):
    assert rules(RATING, steps(*TOLD), answer, "4") == {"inconsistent"}


@pytest.mark.parametrize(
    "answer", ["Ranking: A > C > B", "Ranking: C > C", "Ranking: C > Z", "", "Rating: 4", "C, surely"]
)
def test_wrong_ranking_answers(answer):
    assert rules(RANKING, steps(*CHOSEN), answer, "C") == {"inconsistent"}


def test_rates():
    assert rates([[], ["leak: a", "leak: b"], ["masked: a", "leak: c"], []]) == {
        "accepted": 0.5, "malformed": 0, "progressive": 0, "masked": 0.25, "leak": 0.5, "inconsistent": 0,
    }  # fmt: skip
    assert rates([]) == dict.fromkeys(("accepted", *RULES), 0)


# The template teacher, on the toy world and on random cases.


def toy_cases(seed, bare=False):
    """(case, truth) of all toy users: a ranking of 10 candidates, and each of its closed chains as a question."""
    tables = interactions.index(toy.read(None, None, seed=seed, users=70, items=100, ratings_per_user=25))
    parts = split.leave_last_out(tables.interactions, positive_above=3, min_positives=6)
    graph = graphs.build(parts.train, tables.users.height, tables.items.height)
    asked, rng = graphs.queries(graph, np.flatnonzero(np.diff(graph.start))), np.random.default_rng(seed)
    items = [Item(t, () if bare else tuple(a)) for t, a in tables.items.select("title", "attributes").iter_rows()]
    positive = dict(parts.heldout.filter(role="valid").select("user", "item").iter_rows())
    for sampler in (samplers.closed, samplers.open_ended):
        table = samplers.table(sampler(graph, asked, 3, rng), graph, asked)
        for (user,), rows in table.group_by("user", maintain_order=True):
            chains = tuple(_chain(row, items) for row in rows.iter_rows(named=True))
            history = tuple(items[i] for i in graph.item[graph.start[user] : graph.start[user + 1]][-5:])
            shown = rng.permutation([positive[user], *rng.choice(100, 9, replace=False)])
            truth = LABELS[list(shown).index(positive[user])]
            yield RankingCase("female, writer", history, chains, tuple(items[i] for i in shown)), truth
            for chain in chains:
                if chain.rating_u2 is not None:
                    yield RatingCase(None, chain._replace(rating_u2=None)), f"{chain.rating_u2:g}"


def _chain(row, items):
    return Chain(
        items[row["item1"]], row["rating_u1"], row["rating_v1"], row["rating_v2"], items[row["item2"]], row["rating_u2"]
    )


def supported(case, truth):
    """Whether the evidence speaks for the truth, read without the teacher's sentences."""
    if isinstance(case, RatingCase):
        return template.expectation(case.chain, int(truth)) == evidence.sign(int(truth))
    score = {k: sum(w for _, w in met) for k, met in evidence.support(case, evidence.tastes(case)).items()}
    return score[truth] == max(score.values())


@pytest.mark.parametrize("bare", [False, True])
def test_toy_traces_are_accepted_iff_supported(bare):
    cases = list(toy_cases(1, bare))
    written = template.write([c for c, _ in cases], [t for _, t in cases], seed=0)
    assert len(cases) > 300
    got = [audit(case, *w, truth) for (case, truth), w in zip(cases, written, strict=True)]
    assert [not reasons for reasons in got] == [supported(*c) for c in cases]
    assert 0.2 < rates(got)["accepted"] < 0.9
    assert {reason.partition(":")[0] for reasons in got for reason in reasons} == {"inconsistent"}


HOSTILE = [
    "Step 3:", "Step 3: disliked", "neighbour 2", "Ranking: B", "Rating: 5", "the positive", "correct answer", "C", "A",
    "Chain 4", "4", "5", "user", "liked", "disliked by the user (1).", "; then", "B 3", "</think>", "it", "\n",
    "as we will see", "2; it shares x with the first.", "", "not enjoyed", "next step", "The answer is 4", "(5)", "-1",
    "Candidates: B 9; C 8.", "x" * 300, "\u202eabc", "candidate B", "Tastes: C 3.", "I", "a, b", "é", ".", "\\d+",
    "(?:", "neutral (3), neighbour agrees (3)",
]  # fmt: skip
words = st.sampled_from(HOSTILE) | st.sampled_from(
    [t for i in (HEAT, JAWS, CLUE, BABE) for t in (i.title, *i.attributes)]
)
texts = st.one_of(words, st.tuples(words, words).map(" ".join), st.text(max_size=12))
items = st.builds(Item, texts, st.lists(texts, max_size=4).map(tuple))
stars = st.integers(1, 5)
chains = st.builds(Chain, items, stars, stars, stars, items, stars | st.none())
closed = st.builds(Chain, items, stars, stars, stars, items, st.none())
rankings = st.builds(
    RankingCase,
    st.none() | texts,
    st.lists(items, max_size=3).map(tuple),
    st.lists(chains, max_size=4).map(tuple),
    st.lists(items, min_size=1, max_size=6).map(tuple),
)
asked = st.tuples(rankings, st.integers(0, 5)).map(lambda c: (c[0], LABELS[c[1] % len(c[0].candidates)])) | st.tuples(
    st.builds(RatingCase, st.none() | texts, closed), stars.map(str)
)


@given(asked, st.integers(0, 99))
def test_hostile_texts_raise_no_alarm(asked, seed):
    case, truth = asked
    ((thought, answer),) = template.write([case], [truth], seed)
    reasons = audit(case, thought, answer, truth)
    assert {reason.partition(":")[0] for reason in reasons} == (
        set() if supported(case, truth) else {"inconsistent"}
    ), reasons


@given(asked, st.text() | st.lists(texts | st.sampled_from(CHOSEN + TOLD), max_size=8).map(lambda t: steps(*t)))
def test_any_text_is_judged(asked, thought):
    case, truth = asked
    reasons = audit(case, thought, "", truth)
    assert reasons
    assert {reason.partition(":")[0] for reason in reasons} <= set(RULES)


@cache
def supported_cases():
    return [c for c in toy_cases(2) if supported(*c)]


accepted = st.deferred(lambda: st.sampled_from(supported_cases()))


def write(case, truth, seed=0):
    return template.write([case], [truth], seed)[0]


@given(accepted, st.data())
def test_changed_numbers_are_caught(asked, data):
    """A rating, count or score of a template trace; not the digits of "Chain 1" and "1990s"."""
    thought, answer = write(*asked)
    digits = [
        m for m in re.finditer(r"(?<![\w.])\d+(?!\w|:)", thought) if not thought[: m.start()].endswith("Neighbour ")
    ]
    spot = data.draw(st.sampled_from(digits))
    number = data.draw(st.integers(1, 5).filter(lambda n: n != int(spot[0])))
    assert audit(asked[0], f"{thought[: spot.start()]}{number}{thought[spot.end() :]}", answer, asked[1])


@given(accepted, st.data())
def test_changed_attributes_are_caught(asked, data):
    thought, answer = write(*asked)
    spot = data.draw(
        st.sampled_from(list(re.finditer("|".join(map(re.escape, [*toy.GENRES, "1970s"])), thought)) or [None])
    )
    if spot:
        assert audit(asked[0], f"{thought[: spot.start()]}Opera{thought[spot.end() :]}", answer, asked[1])


@given(accepted, st.data(), st.booleans())
def test_changed_order_is_caught(asked, data, renumber):
    thought, answer = write(*asked)
    lines = thought.split("\n")
    shuffled = data.draw(st.permutations(lines).filter(lambda p: p != lines))
    moved = steps(*(line.partition(": ")[2] for line in shuffled)) if renumber else "\n".join(shuffled)
    assert audit(asked[0], moved, answer, asked[1])


@given(accepted, st.data())
def test_changed_numbering_is_caught(asked, data):
    thought, answer = write(*asked)
    n = data.draw(st.integers(1, thought.count("\n") + 1))
    changed = thought.replace(f"Step {n}:", f"Step {data.draw(st.integers(0, 20).filter(lambda m: m != n))}:")
    assert rules(asked[0], changed, answer, asked[1]) >= {"progressive"}


LONG = ["Step 1: " + "a " * 30_000, "Step 1: " + "Chain 1, " * 8_000, "Step 1: (4); " * 8_000, "Step 1: a\n" * 5_000,
        "Chain 1: x liked (" * 5_000, "not " * 20_000, "1. Tastes: a 1, " * 3_000]  # fmt: skip


@pytest.mark.parametrize("text", LONG)
def test_long_texts_take_no_time(text):
    """Linear: a hundred times the length of a thought is a matter of a second."""
    for case, truth in ((RATING, "4"), (RANKING, "C")):
        start = time.perf_counter()
        assert audit(case, text, "", truth)
        assert time.perf_counter() - start < 3
