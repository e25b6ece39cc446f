"""Diagnostics on arms with known faults: one looks at positions, one reads chains, ..."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.evaluate import diagnostics, interventions
from r2rec.evaluate.diagnostics import DiagnosedArm, Diagnosis, Reply
from r2rec.prompts.cases import Chain, Item, RankingCase

K = 6
N = 300
Choose = Callable[[RankingCase, np.random.Generator], int]


def world(seed: int = 0) -> tuple[list[RankingCase], np.ndarray]:
    """Cases, and the positive's index: its attribute is in the chain's end and in the history."""
    rng = np.random.default_rng(seed)
    cases: list[RankingCase] = []
    positive_index = random_index(seed)
    for index in positive_index:
        titles = [(f"Film {rng.integers(10**6)}", f"g{k}") for k in rng.permutation(K)]
        candidates = tuple(Item(title, (genre,)) for title, genre in titles)
        right = candidates[index].attributes
        chain = Chain(Item(f"Old {len(cases)}", ("x",)), 5.0, 4.0, 5.0, Item("Other", right), 5.0)
        cases.append(RankingCase("someone", (Item("Past", right),), (chain,), candidates))
    return cases, positive_index


def random_index(seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).integers(0, K, N)


def arm(choose: Choose, seed: int = 0, make: Callable[[int], Any] = world) -> DiagnosedArm:
    """An arm that puts the candidate of `choose` first; the rest follow as listed."""
    cases, positive_index = make(seed)

    def ask(cases: Sequence[RankingCase], seed: int) -> list[Reply]:
        rng = np.random.default_rng(seed)
        replies = []
        for case in cases:
            first = choose(case, rng)
            rest = [k for k in range(K) if k != first]
            replies.append(Reply((first, *rest), "", 10))
        return replies

    def weigh(cases: Sequence[RankingCase]) -> list[list[float] | None]:
        rows: list[list[float] | None] = []
        for case in cases:
            probabilities = np.full(K, 0.4 / (K - 1))
            probabilities[choose(case, np.random.default_rng(0))] = 0.6
            rows.append(np.log(probabilities).tolist())
        return rows

    return DiagnosedArm(cases, positive_index, np.arange(N), ask(cases, 0), ask, weigh)


def always_first(case: RankingCase, rng: np.random.Generator) -> int:
    return 0


def reads_chains(case: RankingCase, rng: np.random.Generator) -> int:
    liked = [c.item2.attributes for c in case.chains if (c.rating_u2 or 0) > 3]
    return first_with(liked, case, rng)


def reads_history(case: RankingCase, rng: np.random.Generator) -> int:
    return first_with([item.attributes for item in case.history], case, rng)


def first_with(
    attributes: list[tuple[str, ...]], case: RankingCase, rng: np.random.Generator
) -> int:
    """The first candidate with one of these; any candidate if there is none."""
    for k, item in enumerate(case.candidates):
        if item.attributes in attributes:
            return k
    return int(rng.integers(K))


def often_right(case: RankingCase, rng: np.random.Generator) -> int:
    if rng.random() < 0.5:
        return reads_chains(case, rng)
    return int(rng.integers(K))


def rows_of(diagnosis: Diagnosis, key: str) -> dict[Any, dict[str, Any]]:
    return {row[key]: row for row in diagnosis.rows}


def facts_with(texts: list[str]) -> Mapping[str, float | None]:
    """What faithfulness says of an arm that reads chains and wrote these texts."""
    replies = [Reply((0,), text, 9) for text in texts]
    diagnosed = arm(reads_chains)._replace(replies=replies)
    return diagnostics.faithfulness(diagnosed, np.random.default_rng(0)).facts


def test_position_finds_slot_bias() -> None:
    diagnosis = diagnostics.position(arm(always_first), np.random.default_rng(0), shuffles=4)
    slots = rows_of(diagnosis, "slot")
    assert slots[1]["put first"] == 1
    assert slots[1]["hr@1"] == 1
    assert slots[K]["hr@1"] == 0
    assert sum(row["n"] for row in diagnosis.rows) == 4 * N
    assert diagnosis.facts["hr@1 of one order"] == pytest.approx(1 / K, abs=0.05)
    assert diagnosis.facts["rank correlation of two orders"] == pytest.approx(0, abs=0.1)


def test_position_clears_readers_and_orders_add_up() -> None:
    diagnosis = diagnostics.position(arm(reads_chains), np.random.default_rng(0), shuffles=3)
    assert diagnosis.facts["two orders agree on the first"] == 1
    assert diagnosis.facts["hr@1 of one order"] == 1
    noisy = diagnostics.position(arm(often_right), np.random.default_rng(0), shuffles=6).facts
    one = noisy["hr@1 of one order"]
    together = noisy["hr@1 of 6 orders together"]
    assert one is not None
    assert together is not None
    assert together > one + 0.1


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


def test_rows_about_evidence_are_for_evidence_alone() -> None:
    rows = rows_of(diagnostics.faithfulness(arm(reads_chains), np.random.default_rng(0)), "change")
    assert not {"evidence reversed", "facts removed"} & set(rows)


def test_faithfulness_checks_what_thoughts_say() -> None:
    template = "<think>\nStep 1: Liked 1: {} 1.\nStep 2: So be it.\n</think>\nRanking: A"
    texts = []
    for n, case in enumerate(world()[0]):
        genre = case.history[0].attributes[0]
        if n % 4 == 0:
            genre = "g99"
        texts.append(template.format(genre))
    assert facts_with(texts) == {
        "steps that say what is there": 0.375,
        "steps that do not": 0.125,
        "other steps": 0.5,
        "items cited in them that the prompt has": None,
        "ratings cited in them that the prompt has": None,
    }


def test_faithfulness_checks_what_free_text_cites() -> None:
    """Half cite their chain as it is, half an item and ratings that it does not have."""
    step = "1. In chain 1 the user gave {} a 5 and the neighbour gave it a {}."
    template = f"<think>\n{step}\n</think>\nRanking: A"
    texts = []
    for n, case in enumerate(world()[0]):
        if n % 2:
            texts.append(template.format(case.chains[0].item1.title, 4))
        else:
            texts.append(template.format("Titanic", 1))
    facts = facts_with(texts)
    assert facts["other steps"] == 1
    assert facts["items cited in them that the prompt has"] == 0.5
    assert facts["ratings cited in them that the prompt has"] == 0.5


def test_memory_finds_known_titles() -> None:
    known = set()
    for case, index in zip(*world(), strict=True):
        known.add(case.candidates[index].title)

    def remembers(case: RankingCase, rng: np.random.Generator) -> int:
        return next((k for k, item in enumerate(case.candidates) if item.title in known), 0)

    rows = rows_of(diagnostics.memory(arm(remembers), np.random.default_rng(0)), "change")
    assert rows["as asked"]["hr@1"] == rows["user unknown"]["hr@1"] == 1
    assert rows["titles masked"]["hr@1"] < 0.4


def test_consistency_gains_from_samples_and_counts_them() -> None:
    rows = diagnostics.consistency(arm(often_right), np.random.default_rng(0), samples=7).rows
    assert [row["tokens a user"] for row in rows] == [10 * n for n in range(1, 8)]
    assert rows[-1]["hr@1"] > rows[0]["hr@1"] + 0.1


def test_calibration_against_its_definition() -> None:
    diagnosis = diagnostics.calibration(arm(always_first), np.random.default_rng(0), bins=10)
    right = float((random_index(0) == 0).mean())
    assert diagnosis.facts["expected calibration error"] == pytest.approx(0.6 - right)
    assert diagnosis.facts["hr@1 of the likeliest label"] == pytest.approx(right)


def test_what_was_not_measured_is_none() -> None:
    diagnosed = arm(reads_chains)
    mute = diagnosed._replace(ask=lambda cases, seed: [Reply((), "", 0) for _ in cases])
    rows = rows_of(diagnostics.faithfulness(mute, np.random.default_rng(0)), "change")
    row = rows["chains removed"]
    assert (row["first moved"], row["valid"], row["hr@1"]) == (None, 0, 0)
    diagnosis = diagnostics.position(mute, np.random.default_rng(0), shuffles=2)
    assert diagnosis.facts["two orders agree on the first"] is None
    assert diagnosis.facts["rank correlation of two orders"] is None
    assert {row["put first"] for row in diagnosis.rows} == {None}
    unasked = diagnosed._replace(weigh=lambda cases: [None for _ in cases])
    with pytest.raises(R2RecError, match=r"no prompt fits in model\.max_length"):
        diagnostics.calibration(unasked, np.random.default_rng(0), bins=10)


def test_popularity_strata_hold_all_users_in_order() -> None:
    diagnosis = diagnostics.popularity(arm(reads_chains), np.random.default_rng(0), strata=4)
    assert [row["n"] for row in diagnosis.rows] == [75] * 4
    assert diagnosis.rows[0]["train ratings"] == "0 to 74"


@given(st.integers(0, 100))
def test_interventions_change_one_thing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cases = world(seed)[0][:5]
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
