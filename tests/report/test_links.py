"""Links of a step, read from its words."""

import pytest

from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.report.links import step_links
from r2rec.thoughts import template

ITEMS = [Item(f"Film number {n:02}", ("Drama", "1990s")) for n in range(40)]
CHAINS = (Chain(ITEMS[5], 5, 4, 3, ITEMS[6], 4), Chain(ITEMS[7], 5, 4, 3, ITEMS[8], None))
CASE = RankingCase(None, tuple(ITEMS[:5]), CHAINS, tuple(ITEMS[20:40]))

STEPS = {
    "Liked 1: Drama 1; Liked 2: Drama 2; Liked 5: Drama 3.": [("liked 1–2, 5", "h")],
    "Chain 1: the user gave 5; the neighbour gave it 4, then 3; the user 4.": [
        ("chain 1, hops 1–4", "c1")
    ],
    "Chain 2: the user gave 5; the neighbour gave it 4, then 3; the user too.": [
        ("chain 2, hops 1–3", "c2")
    ],
    "In chain 1 the user gave it a 5.": [("chain 1, hop 1", "c1")],
    "Neighbour 2 gave 4.": [("chain 2, hop 2", "c2")],
    "Chain 1: the user gave 5; then the neighbour 2.": [("chain 1, hops 1–2", "c1")],
    "Chains 1 and 2 agree.": [("chain 1", "c1"), ("chain 2", "c2")],
    "Chains 1-2 agree.": [("chain 1", "c1"), ("chain 2", "c2")],
    "Chain 3 and chain 99 are not there.": [],
    "Film number 03 was liked.": [("liked 4", "h")],
    "Best supported: C 5, B 4.": [("C", "kC"), ("B", "kB")],
    "First: B.": [("B", "kB")],
    "Film number 22 fits, A > B is a guess.": [("C", "kC"), ("A", "kA"), ("B", "kB")],
    "I think a film is best, I guess. A drama.": [],
    f"Candidates: {', '.join(LABELS[:20])}.": [("20 candidates", "k")],
    "Z is no label.": [],
    "": [],
}


@pytest.mark.parametrize("step", STEPS)
def test_step_links(step: str) -> None:
    assert step_links(CASE, [step]) == [STEPS[step]]


def test_step_about_the_neighbour_belongs_to_the_last_chain() -> None:
    gave_5 = "Chain 2: the user gave 5."
    gave_4 = "The neighbour gave it 4."
    assert step_links(CASE, [gave_5, gave_4])[1] == [("chain 2, hop 2", "c2")]
    assert step_links(CASE, [gave_4]) == [[]]
    assert step_links(CASE, [gave_5, "Chain 9: the neighbour gave it 4."])[1] == []


def test_template_thoughts_have_links_in_every_step() -> None:
    [(thought, _)] = template.write_thoughts([CASE], ["A"], 0)
    steps = [line.partition(": ")[2] for line in thought.split("\n")]
    targets = [[target for _, target in links] for links in step_links(CASE, steps)]
    assert targets[:4] == [["h"], ["c1"], ["c2"], ["k"]]
    assert targets[4][0] == "kA"
