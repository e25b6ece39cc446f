"""Links of a step, read from its words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.pretrain.weighed import random_case
from r2rec.prompts.answer import thought_steps
from r2rec.prompts.cases import LABELS, Chain, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import told_in_full
from r2rec.report.links import step_links
from r2rec.thoughts import template

ITEMS = [Item(f"Film number {n:02}", ("Drama", "1990s")) for n in range(40)]
CHAINS = (Chain(ITEMS[5], 5, 4, 3, ITEMS[6], 4), Chain(ITEMS[7], 5, 4, 3, ITEMS[8], None))
CASE = RankingCase(None, tuple(ITEMS[:5]), CHAINS, tuple(ITEMS[20:40]))


def to_hops(chain: int, *hops: int) -> list[tuple[str, str]]:
    """The links to a chain and to hops of it."""
    return [(f"chain {chain}", f"c{chain}"), *((f"hop {n}", f"c{chain}-{n}") for n in hops)]


STEPS = {
    "Liked 1: Drama 1; Liked 2: Drama 2; Liked 5: Drama 3.": [("liked 1–2, 5", "h")],
    "Chain 1: the user gave 5; the neighbour gave it 4, then 3; the user 4.": [
        *to_hops(1, 1, 2, 3, 4)
    ],
    "Chain 2: the user gave 5; the neighbour gave it 4, then 3; the user too.": [
        *to_hops(2, 1, 2, 3)
    ],
    "In chain 1 the user gave it a 5.": to_hops(1, 1),
    "Neighbour 2 gave 4.": to_hops(2, 2),
    "Chain 1: the user gave 5; then the neighbour 2.": to_hops(1, 1, 2),
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
    assert step_links(CASE, [gave_5, gave_4])[1] == to_hops(2, 2)
    assert step_links(CASE, [gave_4]) == [[]]
    assert step_links(CASE, [gave_5, "Chain 9: the neighbour gave it 4."])[1] == []


def test_template_thoughts_have_links_in_every_step() -> None:
    [(thought, _)] = template.write_thoughts([CASE], ["A"], 0)
    steps = [line.partition(": ")[2] for line in thought.split("\n")]
    targets = [[target for _, target in links] for links in step_links(CASE, steps)]
    assert [step[0] for step in targets[:4]] == ["h", "c1", "c2", "k"]
    assert targets[1][1:] == ["c1-1", "c1-2", "c1-3", "c1-4"]
    assert targets[4][0] == "kA"


# By strength: C, A, B, D; no chain leads to D.
EVIDENCE = RankingCase(
    None,
    (Item("Dial M for Murder", ()), Item("Heat", ())),
    (),
    tuple(Item(title, ()) for title in ("Speed", "Plan B", "Fargo", "Henry V")),
    (
        Evidence(2, Item("Heat", ()), 4, 212, 34, 28, 9, 1),
        Evidence(3, Item("Dial M for Murder", ()), 4, 90, 9, 2, 3, 2),
        Evidence(1, Item("Vitamin C", ()), 4, 212, 34, 28, 9, 3),
        Evidence(4, None, 0, 0, 0, 0, 0, 4),
    ),
    (Facts(9, 2), Facts(9, 100), Facts(99, 8), Facts(1, 1)),
)

EVIDENCE_STEPS = {
    'Chain 1: the user gave 4 to "Vitamin C"; 90 others rated it; 34 of them soon rated C, 28 '
    'liked it; 9 recent ratings lead to C: "Fargo", 99 ratings, 8% liked.': "c1 c1-1 c1-2 c1-3 kC",
    'Chain 2: the user gave 4 to "Heat"; 90 others rated it; 34 of them soon rated A, 28 liked it; '
    'another model ranks A 1; 9 recent ratings lead to A: "Speed".': "h c2 c2-1 c2-2 c2-3 kA",
    'Chain 3: the user gave 4 to "Dial M for Murder"; 9 of them soon rated B: "Plan B".': ("h kB"),
    'No chain leads to D: "Henry V", 1 ratings, 1% liked.': "c0 kD",
    "C against A: people 34 to 34, even; liked 8% to 2%, for C; ratings 99 to 9, for C; "
    "rank 3 to 1, for A.": "c1-3 c2-3 kC kA",
    "A against D: people 34 to 0, for A; liked 2% to 1%, for A.": "c2-3 kA kD",
    "People: C 34 to A 34, even; C 34 to B 9, better; best by people: C.": "c1-3 c2-3 kC kA kB",
    "Liked: A 2% to D 1%, better; best by liked: A.": "c2 kA kD",
    "By liked: A comes first, then C, then B.": "kA kC kB",
    "By all evidence: C comes first, then B, then A.": "kC kB kA",
    "Chains 1 and 2 agree; liked 100% is best, liked 2 is near.": "h c1 c2",
    "Chain 4 and chain 99 are not told.": "",
    "I think nobody liked 12% of it.": "",
    "": "",
}


@pytest.mark.parametrize("step", EVIDENCE_STEPS)
def test_links_of_a_step_about_evidence(step: str) -> None:
    [links] = step_links(EVIDENCE, [step], told_in_full(EVIDENCE, 2))
    assert [target for _, target in links] == EVIDENCE_STEPS[step].split()


def test_links_about_evidence_say_what_they_lead_to() -> None:
    [links] = step_links(EVIDENCE, ["No chain leads to D; chain 1 and liked 1 do."], [2])
    assert links == [("liked 1", "h"), ("chain 1", "c1"), ("no chain", "c0"), ("D", "kD")]
    all_linked = EVIDENCE._replace(evidence=EVIDENCE.evidence[:3])
    assert step_links(all_linked, ["No chain leads to it."]) == [[]]


@given(st.integers(0, 2**32 - 1), st.integers(3, 8))
def test_template_thoughts_about_evidence_link_what_they_weigh(seed: int, detailed: int) -> None:
    case = random_case(np.random.default_rng(seed))
    [(thought, _)] = template.write_thoughts([case], [""], 0)
    in_full = told_in_full(case, detailed)
    found = []
    for links in step_links(case, thought_steps(thought), in_full):
        found.append({target.partition("-")[0] for _, target in links})
    of_candidate = {}  # what a step that reads a candidate links to
    for number, index in enumerate(case.strongest(), start=1):
        chain = f"c{number}" if index in in_full else "c0"
        of_candidate[index] = {chain, f"k{LABELS[index]}"}
    read = case.strongest()[:3]
    for index, targets in zip(read, found, strict=False):
        assert of_candidate[index] <= targets
    for targets in found[len(read) : -1]:  # a rank is told of those alone that a chain leads to
        of_linked = {
            target for index in read if case.evidence[index].item1 for target in of_candidate[index]
        }
        assert of_linked - {"c0"} <= targets
    assert {f"k{LABELS[index]}" for index in read} <= found[-1]
