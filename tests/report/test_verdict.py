"""The verdict: what won is what tests and intervals show, and what cannot be said is said."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from r2rec.evaluate.statistics import holm, paired_comparison
from r2rec.report.arms import collected_arms
from r2rec.report.banners import banners
from r2rec.report.findings import Findings, findings
from r2rec.report.page import results
from r2rec.report.pairs import told_pairs
from r2rec.report.verdict import run_verdict, verdict_text
from tests.report.rows import record
from tests.report.test_join import BASE, FULL, PLAIN, USERS, Arm, job

Arms = Mapping[Arm, Iterable[int]]


def found(folder: Path, *jobs: Arms) -> Findings:
    """What a sweep of these jobs finds, the n-th one at seed n."""
    for seed, arms in enumerate(jobs):
        job(folder / str(seed), seed, arms)
    return findings(collected_arms(folder))


def said(folder: Path, *jobs: Arms) -> str:
    return run_verdict(found(folder, *jobs))


def test_a_sure_lead_wins_and_one_seed_is_told(tmp_path: Path) -> None:
    text = said(tmp_path, {BASE: range(5), PLAIN: range(6), FULL: range(36)})
    assert text.startswith(
        f"R2Rec wins on {USERS} users of toy: HR@1 0.900, 0.750 above R2Rec without SFT (95%"
    )
    assert "above the others" in text
    assert "one seed cannot say what training again would change" in text
    assert text.endswith(".")
    assert text.count("\n") == 0


def test_a_tie_is_a_tie(tmp_path: Path) -> None:
    text = said(tmp_path, {BASE: range(20), FULL: range(20)})
    assert text.startswith("No winner on 40 users of toy: backbone has the highest HR@1, 0.500, ")
    assert "R2Rec (a tie) is within chance of it" in text


def test_several_seeds_are_counted(tmp_path: Path) -> None:
    text = said(tmp_path, {BASE: range(5), FULL: range(36)}, {BASE: range(6), FULL: range(35)})
    assert text.startswith("R2Rec wins")
    assert "of toy at 2 seeds: HR@1" in text
    assert "one seed" not in text


def test_seeds_that_disagree_are_no_win(tmp_path: Path) -> None:
    """Either seed alone would call a winner; the seeds' own spread says that there is none."""
    jobs = [{BASE: range(20), FULL: range(40)}, {BASE: range(20), FULL: range(14)}]
    alone = said(tmp_path / "alone", jobs[0])
    assert alone.startswith("R2Rec wins")
    assert said(tmp_path / "both", *jobs).startswith("No winner")


def test_one_method_is_compared_with_nothing(tmp_path: Path) -> None:
    text = said(tmp_path, {FULL: range(21)})
    assert "R2Rec has HR@1 0.525 on 40 users of toy, and is compared with nothing" in text
    assert "none is shown to be above a random order (0.500)" in text


def test_nothing_right_is_no_winner(tmp_path: Path) -> None:
    assert said(tmp_path, {BASE: (), FULL: ()}).startswith(
        "No winner on 40 users of toy: HR@1 is 0 for all"
    )


def test_the_arm_that_the_run_is_about_is_named_wherever_it_stands(tmp_path: Path) -> None:
    below = said(tmp_path / "below", {BASE: range(36), PLAIN: range(35), FULL: range(3)})
    assert "; R2Rec is 0.825 below (95% interval" in below
    others: Arms = {(f"m{n}", ""): range(20, 40) for n in range(6)}
    level = said(tmp_path / "level", {**others, FULL: range(19)})
    assert "but R2Rec (−0.025, p 1), m1 (a tie), m2 (a tie) and 3 more are within" in level


def test_arms_with_other_candidates_are_told_and_not_compared(tmp_path: Path) -> None:
    job(tmp_path / "0", 0, {BASE: range(20), PLAIN: range(3)})
    job(tmp_path / "1", 1, {FULL: range(40)})
    text = run_verdict(findings(collected_arms(tmp_path)))
    assert "2 arms with other candidates left out" in text
    assert "wins" not in text


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sets(st.integers(0, USERS - 1)), min_size=2, max_size=4), st.integers(0, 10**9))
def test_a_win_is_a_win_against_each_other_arm(
    tmp_path: Path, hits: list[set[int]], number: int
) -> None:
    folder = tmp_path / str(number)
    if folder.exists():
        return
    arms: Arms = {(f"m{n}", ""): users for n, users in enumerate(hits)}
    text = said(folder, arms)
    best = max(range(len(hits)), key=lambda n: len(hits[n]))
    values = [[float(user in users) for user in range(USERS)] for users in hits]
    pairs = [(n, m) for n in range(len(hits)) for m in range(n + 1, len(hits))]
    compared = [paired_comparison(values[m], values[n]) for n, m in pairs]
    adjusted = holm([row["p"] for row in compared])
    sure = all(
        p < 0.05 and not row["ci95"][0] <= 0 <= row["ci95"][1]
        for pair, row, p in zip(pairs, compared, adjusted, strict=True)
        if best in pair
    )
    assert text.startswith(f"m{best} wins") == sure
    assert ("No winner" in text) == (not sure)


def test_too_few_users_and_silence_are_said() -> None:
    rows = [record("a") | {"n_users": 8}, record("b") | {"n_users": 8, "valid_ratio": 0.0}]
    rows.append(record("c") | {"n_users": 8, "valid_ratio": 0.25})
    told = banners(rows, {"traces": 200, "accepted": 60}, ["other code"])
    assert [text.split(":")[0] for text in told] == [
        "No valid answer from b",
        "Only 25% of the answers of c are valid; all others count as misses.",
        "Only 8 users were ranked for",
        "The audit rejected 70% of the teacher’s 200 thoughts.",
        "other code",
    ]
    assert banners([record("a")], {"traces": 200, "accepted": 199}) == []
    assert banners([], {}) == []


def test_few_users_are_too_few_in_the_verdict(tmp_path: Path) -> None:
    result = found(tmp_path, {BASE: range(2), FULL: range(9)})
    (contest,) = result.contests
    assert "too few" not in run_verdict(result)
    few = result._replace(contests=[contest._replace(n_users=8)])
    assert "8 users are too few to conclude from" in run_verdict(few)


def test_a_difference_that_no_pair_can_have_is_not_named(tmp_path: Path) -> None:
    result = found(tmp_path, {BASE: range(5), PLAIN: range(6), FULL: range(7)})
    assert "a difference below 0." in run_verdict(result)
    contest = result.contests[0]
    standings = []
    for standing in contest.standings:
        behind = standing.behind and standing.behind._replace(detectable=7.041)
        standings.append(standing._replace(behind=behind))
    few = result._replace(contests=[contest._replace(standings=standings)])
    assert "no difference could show" in run_verdict(few)


def test_the_console_says_the_same_in_its_width(tmp_path: Path) -> None:
    result = found(tmp_path, {BASE: range(5), FULL: range(36)})
    text = verdict_text(result)
    assert text.startswith("verdict: R2Rec wins")
    assert max(map(len, text.splitlines())) <= 80
    assert " ".join(text.split()) == f"verdict: {run_verdict(result)}"


def test_pairs_count_whom_they_serve(tmp_path: Path) -> None:
    result = found(tmp_path, {BASE: range(10), PLAIN: range(3, 8), FULL: range(8, 30)})
    pairs = {(pair.method, pair.against): pair for pair in told_pairs(result)}
    assert set(pairs) == {("R2Rec", "backbone"), ("R2Rec", "R2Rec without SFT")}
    first, *others = pairs["R2Rec", "backbone"].bars
    assert (first.title, first.gained, first.lost, first.same) == ("HR@1", 20, 8, 12)
    assert [bar.title for bar in others] == ["HR@3", "NDCG@3"]
    assert first.difference == "+0.300"


def test_the_table_has_the_best_the_differences_and_the_chance_line(tmp_path: Path) -> None:
    result = found(tmp_path, {BASE: range(5), FULL: range(36)})
    records = [arm.record for arm in collected_arms(tmp_path)]
    (group,) = results(records, [], result)["groups"]
    base, full = group["rows"]
    assert (base["is_best"], full["is_best"]) == (False, True)
    assert (base["behind"]["difference"], base["behind"]["sure"]) == ("−0.775", True)
    assert full["behind"] is None
    assert group["chance"] == {"candidates": 2, "hr@1": "0.500", "hr@3": "1.000"} | {
        "ndcg@3": "0.815"
    }
    assert full["valid_interval"] == "91–100%"


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_the_same_results_give_the_same_words(tmp_path: Path, n_seeds: int) -> None:
    jobs: list[dict[Arm, Any]] = [{BASE: range(5), FULL: range(9 + n)} for n in range(n_seeds)]
    assert said(tmp_path / "a", *jobs) == said(tmp_path / "b", *jobs)
