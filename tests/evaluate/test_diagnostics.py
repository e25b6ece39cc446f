"""Diagnostics are tried on arms whose faults are known: one that looks at positions, one that reads chains, ..."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.evaluate import diagnostics, interventions
from r2rec.evaluate.diagnostics import DiagnosedArm, Reply
from r2rec.prompts.cases import Chain, Item, RankingCase

K, N = 6, 300


def world(seed: int = 0) -> tuple[list[RankingCase], np.ndarray]:
    """Cases whose chain ends in an item with the positive's attribute, and whose history has it as well."""
    rng, cases, places = np.random.default_rng(seed), [], rng_places(seed)
    for place in places:
        shelf = tuple(Item(f"Film {rng.integers(10**6)}", (f"g{k}",)) for k in rng.permutation(K))
        right = shelf[place].attributes
        chain = Chain(Item(f"Old {len(cases)}", ("x",)), 5.0, 4.0, 5.0, Item("Other", right), 5.0)
        cases.append(RankingCase("someone", (Item("Past", right),), (chain,), shelf))
    return cases, places


def rng_places(seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, K, N)


def arm(choose, seed: int = 0) -> DiagnosedArm:
    """choose: (case, rng) -> the place it puts first; the rest follow as listed."""
    cases, places = world(seed)

    def answers(given, seed):
        rng = np.random.default_rng(seed)
        firsts = [choose(case, rng) for case in given]
        return [Reply((f, *(k for k in range(K) if k != f)), "", 10) for f in firsts]

    def weigh(given):
        likely = np.log(np.full(K, 0.4 / (K - 1)))
        return [
            np.where(
                np.arange(K) == choose(c, np.random.default_rng(0)), np.log(0.6), likely
            ).tolist()
            for c in given
        ]

    return DiagnosedArm(cases, places, np.arange(N), answers(cases, 0), answers, weigh)


def always_first(case, rng):
    return 0


def reads_chains(case, rng):
    liked = [c.item2.attributes for c in case.chains if c.rating_u2 > 3]
    found = [k for k, item in enumerate(case.candidates) if item.attributes in liked]
    return found[0] if found else int(rng.integers(K))


def reads_history(case, rng):
    found = [
        k
        for k, item in enumerate(case.candidates)
        if item.attributes in [i.attributes for i in case.history]
    ]
    return found[0] if found else int(rng.integers(K))


def often_right(case, rng):
    return reads_chains(case, rng) if rng.random() < 0.5 else int(rng.integers(K))


def rows_of(found, key):
    return {row[key]: row for row in found.rows}


def test_position_finds_who_looks_at_the_first_slot() -> None:
    found = diagnostics.position(arm(always_first), np.random.default_rng(0), shuffles=4)
    slots = rows_of(found, "slot")
    assert slots[1]["put first"] == 1
    assert slots[1]["hr@1"] == 1
    assert slots[K]["hr@1"] == 0
    assert sum(row["n"] for row in found.rows) == 4 * N
    assert found.facts["hr@1 of one order"] == pytest.approx(1 / K, abs=0.05)
    assert abs(found.facts["rank correlation of two orders"]) < 0.1


def test_position_clears_who_reads_and_orders_together_know_more() -> None:
    found = diagnostics.position(arm(reads_chains), np.random.default_rng(0), shuffles=3)
    assert found.facts["two orders agree on the first"] == 1
    assert found.facts["hr@1 of one order"] == 1
    noisy = diagnostics.position(arm(often_right), np.random.default_rng(0), shuffles=6).facts
    assert noisy["hr@1 of 6 orders together"] > noisy["hr@1 of one order"] + 0.1


def test_faithfulness_tells_reading_chains_from_reading_history() -> None:
    chains = rows_of(
        diagnostics.faithfulness(arm(reads_chains), np.random.default_rng(0)), "change"
    )
    assert chains["asked again"]["first moved"] == 0
    for change in ("chains removed", "chains of another user", "chain ratings reversed"):
        assert chains[change]["difference"] < -0.5, change
        assert chains[change]["high"] < 0
    assert chains["history removed"]["first moved"] == 0
    history = rows_of(
        diagnostics.faithfulness(arm(reads_history), np.random.default_rng(0)), "change"
    )
    assert history["chains removed"]["first moved"] == 0
    assert history["history removed"]["first moved"] > 0.5


def test_faithfulness_checks_what_thoughts_say() -> None:
    asked = arm(reads_chains)
    said = "<think>\nStep 1: Liked 1: {} 1.\nStep 2: So be it.\n</think>\nRanking: A"
    replies = [
        Reply((0,), said.format(c.history[0].attributes[0] if n % 4 else "g99"), 9)
        for n, c in enumerate(asked.cases)
    ]
    facts = diagnostics.faithfulness(
        asked._replace(replies=replies), np.random.default_rng(0)
    ).facts
    cited = {
        "items cited in them that the prompt has": None,
        "ratings cited in them that the prompt has": None,
    }
    assert facts == {
        "steps that say what is there": 0.375,
        "steps that do not": 0.125,
        "other steps": 0.5,
        **cited,
    }


def test_faithfulness_checks_what_free_text_cites() -> None:
    """Half cite their chain as it is, half an item and ratings that it has not."""
    asked = arm(reads_chains)
    said = "<think>\n1. In chain 1 the user gave {} a 5 and the neighbour gave it a {}.\n</think>\nRanking: A"
    replies = [
        Reply((0,), said.format(*((c.chains[0].item1.title, 4) if n % 2 else ("Titanic", 1))), 9)
        for n, c in enumerate(asked.cases)
    ]
    facts = diagnostics.faithfulness(
        asked._replace(replies=replies), np.random.default_rng(0)
    ).facts
    assert facts["other steps"] == 1
    assert facts["items cited in them that the prompt has"] == 0.5
    assert facts["ratings cited in them that the prompt has"] == 0.5


def test_memory_finds_who_knows_titles() -> None:
    answers = {case.candidates[place].title: True for case, place in zip(*world(), strict=True)}

    def remembers(case, rng):
        return next((k for k, item in enumerate(case.candidates) if item.title in answers), 0)

    rows = rows_of(diagnostics.memory(arm(remembers), np.random.default_rng(0)), "change")
    assert rows["as asked"]["hr@1"] == rows["user unknown"]["hr@1"] == 1
    assert rows["titles masked"]["hr@1"] < 0.4


def test_consistency_gains_from_samples_and_counts_them() -> None:
    rows = diagnostics.consistency(arm(often_right), np.random.default_rng(0), samples=7).rows
    assert [row["tokens a user"] for row in rows] == [10 * n for n in range(1, 8)]
    assert rows[-1]["hr@1"] > rows[0]["hr@1"] + 0.1


def test_calibration_against_its_definition() -> None:
    found = diagnostics.calibration(arm(always_first), np.random.default_rng(0), bins=10)
    right = float((rng_places(0) == 0).mean())
    assert found.facts["expected calibration error"] == pytest.approx(0.6 - right)
    assert found.facts["hr@1 of the likeliest label"] == pytest.approx(right)


def test_what_was_not_measured_is_not_nought() -> None:
    asked = arm(reads_chains)
    mute = asked._replace(ask=lambda given, seed: [Reply((), "", 0) for _ in given])
    row = rows_of(diagnostics.faithfulness(mute, np.random.default_rng(0)), "change")[
        "chains removed"
    ]
    assert (row["first moved"], row["valid"], row["hr@1"]) == (None, 0, 0)
    found = diagnostics.position(mute, np.random.default_rng(0), shuffles=2)
    assert found.facts["two orders agree on the first"] is None
    assert found.facts["rank correlation of two orders"] is None
    assert {row["put first"] for row in found.rows} == {None}
    unasked = asked._replace(weigh=lambda given: [None for _ in given])
    with pytest.raises(R2RecError, match=r"no prompt fits in model\.max_length"):
        diagnostics.calibration(unasked, np.random.default_rng(0), bins=10)


def test_popularity_strata_hold_all_users_in_order() -> None:
    found = diagnostics.popularity(arm(reads_chains), np.random.default_rng(0), strata=4)
    assert [row["n"] for row in found.rows] == [75] * 4
    assert found.rows[0]["train ratings"] == "0 to 74"


@given(st.integers(0, 100))
def test_interventions_change_one_thing(seed: int) -> None:
    rng, (cases, _) = np.random.default_rng(seed), world(seed)
    cases = cases[:5]
    moved, orders = interventions.shuffled(cases, rng)
    for case, new, order in zip(cases, moved, orders, strict=True):
        assert new._replace(candidates=()) == case._replace(candidates=())
        assert [case.candidates[k] for k in order] == list(new.candidates)
    swapped = interventions.swapped_chains(cases, rng)
    assert sorted(c.chains for c in swapped) == sorted(c.chains for c in cases)
    assert all(a.chains != b.chains for a, b in zip(cases, swapped, strict=True))
    twice = interventions.reversed_ratings(interventions.reversed_ratings(cases, rng), rng)
    assert twice == cases
    for case, masked in zip(cases, interventions.masked_titles(cases, rng), strict=True):
        assert [i.attributes for i in masked.candidates] == [i.attributes for i in case.candidates]
        assert not {i.title for i in masked.candidates} & {i.title for i in case.candidates}
