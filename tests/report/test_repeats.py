"""Runs that differ in the seed of data, of training or of answers: what is paired, what is told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import r2rec
from r2rec.evaluate.statistics import paired_comparison
from r2rec.report.arms import collected_arms
from r2rec.report.compare import paired_differences, scores_by_setting, variations
from r2rec.report.findings import findings
from r2rec.report.join import join
from r2rec.report.repeats import (
    Repeat,
    independent,
    paired_rows,
    repeat_of,
    varied_sides,
    varied_text,
)
from r2rec.report.verdict import run_verdict
from tests.report.test_join import BASE, FULL, PLAIN, USERS, Arm, job, write_config


def apart(folder: Path, arms: dict[Arm, Any], keys: dict[str, str], **seeds: int) -> None:
    """A finished job whose seeds were set apart."""
    job(folder, 0, arms)
    records = json.loads((folder / "metrics.json").read_text())
    every = {"data": 0, "train": 0, "answer": 0} | seeds
    (folder / "metrics.json").write_text(json.dumps([r | {"seeds": every} for r in records]))
    write_config(folder, name="x", seed=0, seeds=every)
    ranked = {method: {"key": key, "seconds": 1.0} for method, key in keys.items()}
    stages = {"rank": {"key": "", "arms": ranked}}
    manifest = {"r2rec": "0", "sweep": True, "overrides": [], "stages": stages}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The same data and answers with three trainings; the backbone is the same each time."""
    for seed in range(3):
        arms = {BASE: range(8), FULL: range(seed, 20 + 2 * seed)}
        keys = {"backbone": "one", "R2Rec": f"trained {seed}"}
        apart(tmp_path / str(seed), arms, keys, train=seed)
    return tmp_path


def test_what_does_not_depend_on_training_is_there_once(trained: Path) -> None:
    records = join(trained)
    seeds = [(r["method"], repeat_of(r)) for r in records]
    assert seeds[:2] == [("backbone", Repeat(0, None, 0)), ("R2Rec", Repeat(0, 0, 0))]
    assert seeds[2:] == [("R2Rec", Repeat(0, 1, 0)), ("R2Rec", Repeat(0, 2, 0))]
    table = (trained / "tables" / "results.csv").read_text().splitlines()
    assert len(table) == 5
    assert "seed_train" in table[0]
    assert r2rec.load(trained).metrics["seed_train"].to_list() == [None, 0, 1, 2]


def test_it_is_compared_with_every_training(trained: Path) -> None:
    arms = collected_arms(trained)
    scores = scores_by_setting(arms, "hr@1")
    [row] = paired_differences(scores, "hr@1")
    assert (row["seeds"], row["varied"], row["pairs"]) == (3, ["train"], 3 * USERS)
    hits = np.array([[u in range(s, 20 + 2 * s) for u in range(USERS)] for s in range(3)], float)
    base = np.array([[u in range(8) for u in range(USERS)]] * 3, float)
    users, seeds = np.tile(np.arange(USERS), 3), np.repeat(np.arange(3), USERS)
    expected = paired_comparison(hits.ravel(), base.ravel(), users, seeds)
    assert row["difference"] == pytest.approx(expected["difference"])
    assert row["ci95"] == pytest.approx(expected["ci95"])
    assert row["p"] == pytest.approx(expected["p"])
    by_method = {row["method"]: row for row in variations(scores)}
    assert [by_method[name]["seeds"] for name in ("backbone base", "R2Rec sft+rl")] == [1, 3]


def test_reports_say_that_only_training_differs(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    join(trained)
    text = "3 runs on the same candidates and users: only training differs"
    assert text in capsys.readouterr().out
    page = (trained / "report.html").read_text()
    assert text in page
    assert "data 0, train 2, answer 0" in page
    verdict = run_verdict(findings(collected_arms(trained)))
    assert f"on {USERS} users of toy at 3 seeds of training" in verdict
    assert "other candidates, users and data are not asked" in verdict
    assert r2rec.compare(trained)["varied"].to_list() == ["train"]


def test_answers_alone_say_nothing_of_training_again(tmp_path: Path) -> None:
    for seed in range(2):
        arms = {BASE: range(8 + seed), FULL: range(20 - seed)}
        apart(tmp_path / str(seed), arms, {}, answer=seed)
    verdict = run_verdict(findings(collected_arms(tmp_path)))
    assert "at 2 seeds of answers" in verdict
    assert "what training again would change" in verdict


def test_a_plain_seed_is_a_run_with_all_three(tmp_path: Path) -> None:
    job(tmp_path / "0", 0, {BASE: range(8)})
    apart(tmp_path / "1", {BASE: range(8)}, {}, data=0, train=0, answer=0)
    job(tmp_path / "2", 1, {BASE: range(9)})
    assert [repeat_of(r).text() for r in join(tmp_path)] == ["seed 0", "seed 1"]
    found = findings(collected_arms(tmp_path))
    assert found.varied_texts() == ["2 seeds: candidates, users, training and answers differ"]


def scores(*rows: tuple[int, int | None, int | None, float]) -> pl.DataFrame:
    """Two users of each (data, train, answer, score)."""
    table = pl.DataFrame(rows, ["data", "train", "answer", "score"], orient="row")
    users = pl.DataFrame({"user": [0, 1], "positive": [5, 6], "shown": ["5 7", "6 7"]})
    return users.join(table, how="cross")


def test_rows_are_paired_where_no_seed_contradicts() -> None:
    mine = scores((0, 0, 0, 1.0), (0, 1, 0, 1.0), (1, 0, 0, 1.0))
    theirs = scores((0, None, 0, 0.0), (1, 1, 0, 0.5))
    paired = paired_rows(mine, theirs)
    found = set(paired.select("data", "train", "answer", "score_before").iter_rows())
    assert found == {(0, 0, 0, 0.0), (0, 1, 0, 0.0)}
    assert paired.height == 4
    assert paired_rows(theirs, mine).height == 4


def test_trainings_on_one_draw_of_data_are_one_draw() -> None:
    nested = scores(*((data, train, 0, 1.0) for data in (0, 1) for train in (0, 1, 2)))
    assert independent(nested).n_unique() == 2
    on_one = nested.filter(data=0)
    assert independent(on_one).n_unique() == 3
    assert independent(on_one.filter(train=0)).n_unique() == 1


def test_what_differs_in_words() -> None:
    assert varied_sides([Repeat(0, 0, 0), Repeat(0, None, 1)]) == ["answer"]
    assert varied_text(["data", "train"], 3) == "3 seeds: candidates, users and training differ"
    assert varied_text(["data"], 2) == "2 seeds: candidates and users differ"
    same = "2 runs on the same candidates and users: "
    assert varied_text(["answer"], 2) == f"{same}only answers differ"
    assert varied_text(["train", "answer"], 2) == f"{same}training and answers differ"
    assert varied_text(["train"], 1) == varied_text([], 5) == ""


def test_two_trainings_are_compared_as_one_run(tmp_path: Path) -> None:
    for seed in range(2):
        arms = {BASE: range(8), FULL: range(seed, 30), PLAIN: range(20 + seed)}
        keys = {"backbone": "one", "R2Rec": f"full {seed}", "R2Rec without SFT": f"plain {seed}"}
        apart(tmp_path / str(seed), arms, keys, train=seed)
    rows = r2rec.compare(tmp_path / "0", tmp_path / "1")
    assert rows.select("seeds", "varied").rows() == [(2, "train")] * 3
    assert rows["pairs"].to_list() == [2 * USERS] * 3


def test_runs_without_a_seed_of_training_in_common_are_told(tmp_path: Path) -> None:
    for seed, arm in enumerate((BASE, FULL)):
        apart(tmp_path / str(seed), {arm: range(9)}, {}, train=seed)
    with pytest.raises(r2rec.R2RecError, match="no seed of train in common"):
        r2rec.compare(tmp_path / "0", tmp_path / "1")
