"""Stage `report`: records from rankings, and the case that a reader is shown."""

import json
from pathlib import Path

import polars as pl
import pytest

from r2rec.evaluate.rank import evaluated
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS
from r2rec.report.report import Row, first_case, report
from tests.small import Done, composed, go

THOUGHT = "Step 1: the user liked it.\nStep 2: so did the neighbour."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("report") / "store", "until=chain")


def rankings(world: Done, method: str, places: list[int | None], written: bool = True) -> pl.DataFrame:
    """A table in which user k has the positive at place `places[k]`, or an invalid answer where that is None."""
    rows = []
    shown = evaluated(composed(), world.folders()["split"]).head(len(places))
    for (user, positive, items), place in zip(shown.iter_rows(), places, strict=True):
        others = [item for item in items if item != positive]
        ranking = [] if place is None else [*others[:place], positive, *others[place:]]
        answer = render_ranking([LABELS[items.index(item)] for item in ranking]) if ranking else "no idea"
        text = render_completion(THOUGHT, answer) if written else None
        rows.append((method, user, positive, items, ranking, place is not None, text))
    schema = {
        "method": pl.String, "user": pl.UInt32, "positive": pl.UInt32, "candidates": pl.List(pl.UInt32),
        "ranking": pl.List(pl.UInt32), "valid": pl.Boolean, "completion": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


CASES = {
    "the first right answer": ([1, 0, 0], 1),
    "a valid one where none is right": ([None, 2, 1], 1),
    "an invalid one where there is no other": ([None, None], 0),
}


@pytest.mark.parametrize("name", CASES)
def test_the_case_shown(world: Done, name: str) -> None:
    places, expected = CASES[name]
    table = rankings(world, "R2Rec", places)
    case = first_case(composed(), [table], world.folders())
    assert case is not None
    row = table.row(expected, named=True)
    assert case["user"] == row["user"]
    assert case["valid"] == row["valid"]
    assert case["correct"] == (places[expected] == 0)
    assert case["positive"] == LABELS[row["candidates"].index(row["positive"])]
    assert [row["candidates"][LABELS.index(label)] for label in case["ranking"]] == row["ranking"]
    assert case["thought_steps"] == ["the user liked it.", "so did the neighbour."]
    assert len(case["candidates"]) == len(row["candidates"])
    assert case["chains"]
    assert case["history"]


def test_the_case_is_of_the_last_arm_that_wrote(world: Done) -> None:
    wrong, right = rankings(world, "one", [1]), rankings(world, "two", [0])
    silent = rankings(world, "popularity", [0], written=False)
    case = first_case(composed(), [right, wrong, silent], world.folders())
    assert case is not None
    assert not case["correct"]
    assert first_case(composed(), [silent], world.folders()) is None


def test_records_are_in_the_order_of_rows_and_follow_the_places(world: Done, tmp_path: Path) -> None:
    tables = {"a": rankings(world, "a", [0, 1, 3, None], written=False), "b": rankings(world, "b", [0, 0, 0, 0])}
    rows = []
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        table.write_parquet(tmp_path / name / "rankings.parquet")
        rows.append(Row(name, "variant", tmp_path / name))
    out = tmp_path / "out"
    out.mkdir()
    cfg = composed("seed=5")
    records = report(cfg, rows, world.folders(), out, {"leakage": "none seen"}, ["a note to read"])
    assert json.loads((out / "metrics.json").read_text()) == records
    assert [(r["method"], r["variant"], r["dataset"], r["seed"], r["n_users"]) for r in records] == [
        ("a", "variant", "toy", 5, 4), ("b", "variant", "toy", 5, 4),
    ]  # fmt: skip
    assert (records[0]["hr@1"], records[0]["hr@3"], records[0]["valid_ratio"]) == (0.25, 0.5, 0.75)
    assert (records[1]["hr@1"], records[1]["ndcg@3"]) == (1, 1)
    assert pl.read_parquet(out / "rankings.parquet").equals(pl.concat(tables.values()))
    page = (out / "report.html").read_text()
    assert "none seen" in page
    assert "a note to read" in page
    assert {path.name for path in (out / "tables").iterdir()} == {"results.md", "results.csv", "results.tex"}
    assert list((out / "plots").glob("*.svg"))
