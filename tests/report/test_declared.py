"""Comparisons declared before the run are the family of Holm's correction; others explore."""

import json
from pathlib import Path

import polars as pl
import pytest
import yaml

from r2rec.base.errors import R2RecError
from r2rec.evaluate.declared import is_declared, undone
from r2rec.evaluate.statistics import holm
from r2rec.execution.rules import checked_config
from r2rec.report.arms import collected_arms
from r2rec.report.compare import DECLARED, EXPLORATORY, significant_text
from r2rec.report.findings import Findings, findings
from r2rec.report.join import join
from r2rec.report.page import results
from r2rec.report.verdict import run_verdict
from r2rec.results.compare import differences_text, run_differences
from r2rec.results.load import load
from tests.report.test_join import BASE, FULL, PLAIN, job
from tests.small import composed, go

ARMS = {("random", ""): range(3), BASE: range(20), PLAIN: range(14, 38), FULL: range(12, 40)}
PAIRS = [("r2rec", "Backbone"), ("R2REC", "r2rec without sft")]


def found(folder: Path, declared: list[tuple[str, str]]) -> Findings:
    job(folder / "0", 0, ARMS)
    return findings(collected_arms(folder), declared)


def test_holm_is_over_the_declared_pairs_alone(tmp_path: Path) -> None:
    rows = found(tmp_path, PAIRS).main
    asked = [row for row in rows if row["kind"] == DECLARED]
    others = [row for row in rows if row["kind"] == EXPLORATORY]
    assert [(row["method"], row["against"]) for row in asked] == [
        ("R2Rec sft+rl", "backbone base"),
        ("R2Rec sft+rl", "R2Rec without SFT rl"),
    ]
    assert [row["p_holm"] for row in asked] == holm([row["p"] for row in asked])
    assert len(others) == 4
    of_all = holm([row["p"] for row in rows])
    expected = [p for p, row in zip(of_all, rows, strict=True) if row["kind"] == EXPLORATORY]
    assert [row["p_holm"] for row in others] == expected
    assert all(row["detectable"] > 0 for row in asked)


def test_nothing_declared_nothing_labelled(tmp_path: Path) -> None:
    results = found(tmp_path, [])
    assert {row["kind"] for row in results.main} == {""}
    assert [row["p_holm"] for row in results.main] == holm([row["p"] for row in results.main])
    assert "exploratory" not in significant_text(results.main) + run_verdict(results)


def test_console_verdict_and_page_say_which_is_which(tmp_path: Path) -> None:
    told = found(tmp_path, PAIRS)
    text = significant_text(told.main, [*PAIRS, ("r2rec", "gru4rec")])
    assert text.startswith(
        "HR@1: declared before the run (Holm's p over these 2)\n"
        "  R2Rec sft+rl - backbone base: HR@1 +0.200 ["
    )
    assert "would be found in 4 of 5 trials" in text
    assert "exploratory differences" in text
    assert text.endswith("declared, but not among these results: r2rec - gru4rec")
    assert ", declared" in run_verdict(told)
    records = [dict(arm.record) for arm in collected_arms(tmp_path)]
    shown = results(records, [], told)
    kinds = {row["kind"] for row in shown["differences"]}
    assert kinds == {DECLARED, EXPLORATORY}
    bars = [bar.p for pair in shown["pairs"] for bar in pair.bars]
    assert all(p.endswith((", declared", ", exploratory")) for p in bars)


def test_a_sweep_reads_what_its_jobs_declared(tmp_path: Path, capsys) -> None:
    for seed in (0, 1):
        job(tmp_path / str(seed), seed, ARMS)
        config = {"name": "x", "seed": seed, "evaluation": {"compare": [["r2rec", "backbone"]]}}
        (tmp_path / str(seed) / "config.yaml").write_text(yaml.safe_dump(config))
    join(tmp_path)
    printed = capsys.readouterr().out
    assert "declared before the run (Holm's p over these 1)" in printed
    assert "exploratory" in printed
    lines = (tmp_path / "tables" / "differences.txt").read_text().splitlines()
    assert sum(line.endswith(", declared") for line in lines) == 1
    assert sum(line.endswith(", exploratory") for line in lines) == len(lines) - 1
    page = (tmp_path / "report.html").read_text()
    assert "<em>declared</em>" in page
    assert "<em>exploratory</em>" in page


def test_a_run_and_its_comparison_tell_it(tmp_path: Path) -> None:
    done = go(tmp_path / "store", "evaluation.compare=[[popularity,random]]", "baseline=popularity")
    page = (done.folder / "report.html").read_text()
    assert "<em>declared</em>" in page
    config = yaml.safe_load((done.folder / "config.yaml").read_text())
    assert config["evaluation"]["compare"] == [["popularity", "random"]]
    table = run_differences([load(done.folder)])
    assert table.filter(kind=DECLARED).height == 1
    assert DECLARED in differences_text(table)
    assert isinstance(table, pl.DataFrame)
    assert json.loads(table.write_json())[0]["kind"] in (DECLARED, EXPLORATORY)


MISTAKES = {
    "[[r2rec,gru5rec]]": r"no method gru5rec \(did you mean gru4rec\?\); there are .*popularity",
    "[[R2Rek,random]]": r"no method R2Rek \(did you mean r2rec\?\)",
    "[['',random]]": "no method ",
    "[r2rec,random]": "evaluation.compare has r2rec, which is no pair; give pairs",
    "[[r2rec]]": r"evaluation.compare has \['r2rec'\], which is no pair",
    "[[r2rec,random,popularity]]": "which is no pair",
    "[[r2rec,5]]": "which is no pair",
    "[[r2rec,[random]]]": "which is no pair",
    "[{a: 1}]": "which is no pair",
    "[[r2rec,R2REC]]": "has r2rec against itself",
    "[[r2rec,random],[random,R2Rec]]": "has r2rec and random twice|has random and r2rec twice",
    "[[none,random]]": "no method none",
}


@pytest.mark.parametrize("pairs", MISTAKES)
def test_wrong_names_are_refused_before_the_first_stage(pairs: str) -> None:
    with pytest.raises(R2RecError, match=MISTAKES[pairs]) as caught:
        checked_config(composed(f"evaluation.compare={pairs}"))
    assert str(caught.value).startswith("evaluation.compare")
    assert "\n" not in str(caught.value)


def test_names_of_this_run_and_of_other_jobs_are_known() -> None:
    pairs = "[[r2rec,gru4rec],[R2Rec without RL,Popularity],[backbone,counter],[sasrec,ease]]"
    assert checked_config(composed(f"evaluation.compare={pairs}")).evaluation.compare


def test_spelling_of_names() -> None:
    assert is_declared(("R2Rec + gru4rec", "item_knn"), [("ItemKNN", "r2rec+gru4rec")])
    assert not is_declared(("R2Rec", "item_knn"), [("R2Rec", "ease")])
    assert undone([("a", "b"), ("c", "d")], [("B", "A")]) == ["c - d"]
