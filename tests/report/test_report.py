"""Stage `report`: records from rankings, and the cases that a reader is shown."""

import json
from pathlib import Path

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.data.split import evaluated
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS
from r2rec.report.cases import browser
from r2rec.report.report import Row, write_report
from tests.small import Done, composed, go

THOUGHT = "Step 1: the user liked it.\nStep 2: so did the neighbour."


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("report") / "store", "until=chain")


def rankings(
    world: Done, method: str, places: list[int | None], written: bool = True
) -> pl.DataFrame:
    """A table in which user k has the positive at place `places[k]`, or an invalid answer where that is None."""
    rows = []
    shown = evaluated(
        composed("seed=5", f"evaluation.users={len(places)}"), world.folders()["split"]
    )
    for (user, positive, items), place in zip(shown.iter_rows(), places, strict=True):
        others = [item for item in items if item != positive]
        ranking = [] if place is None else [*others[:place], positive, *others[place:]]
        answer = (
            render_ranking([LABELS[items.index(item)] for item in ranking])
            if ranking
            else "no idea"
        )
        text = render_completion(THOUGHT, answer) if written else None
        rows.append((method, user, positive, items, ranking, place is not None, text))
    schema = {
        "method": pl.String, "user": pl.UInt32, "positive": pl.UInt32, "candidates": pl.List(pl.UInt32),
        "ranking": pl.List(pl.UInt32), "valid": pl.Boolean, "completion": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


FIRST = {
    "the first right answer": ([1, 0, 0], 1),
    "a valid one where none is right": ([None, 2, 1], 1),
    "an invalid one where there is no other": ([None, None], 0),
}


@pytest.mark.parametrize("name", FIRST)
def test_the_case_that_is_open_at_first(world: Done, name: str) -> None:
    places, expected = FIRST[name]
    shown = browser(composed(), {"R2Rec": rankings(world, "R2Rec", places)}, world.folders())
    assert shown is not None
    assert shown.first == expected


def test_every_user_is_a_case_as_the_rankings_have_it(world: Done) -> None:
    table = rankings(world, "R2Rec", [0, 3, None])
    shown = browser(composed(), {"R2Rec": table}, world.folders())
    assert shown is not None
    assert [case.told[0].verdict for case in shown.cases] == ["right", "wrong", "invalid"]
    assert [case.told[0].about for case in shown.cases] == [
        "ranked 1 of 5",
        "ranked 4 of 5",
        "invalid: none found",
    ]
    for case, row in zip(shown.cases, table.iter_rows(named=True), strict=True):
        told = case.told[0]
        assert case.user == row["user"]
        assert row["candidates"][case.positive] == row["positive"]
        by_place = [
            item
            for place, item in sorted(zip(told.places, row["candidates"], strict=True))
            if place
        ]
        assert by_place == row["ranking"]
        assert [text for text, _ in told.steps] == ["the user liked it.", "so did the neighbour."]
        assert told.tail == row["completion"].rpartition("</think>")[2].strip()
        assert case.chains
        assert case.history


def test_arms_that_wrote_are_told_side_by_side(world: Done) -> None:
    tables = {"one": rankings(world, "one", [1, 0]), "two": rankings(world, "two", [0])}
    silent = {"popularity": rankings(world, "popularity", [0], written=False)}
    shown = browser(composed(), tables | silent, world.folders())
    assert shown is not None
    assert shown.arms == ["one", "two"]
    assert [[told.verdict for told in case.told] for case in shown.cases] == [["wrong", "right"]]
    assert browser(composed(), silent, world.folders()) is None


def test_a_case_shows_what_the_prompt_shows(world: Done) -> None:
    table = {"R2Rec": rankings(world, "R2Rec", [0])}
    shown = browser(
        composed("prompt.chains=false", "prompt.profile=false"), table, world.folders(), limit=1
    )
    assert shown is not None
    assert not shown.cases[0].chains
    assert shown.cases[0].profile is None


def test_long_texts_are_cut_and_say_so(world: Done) -> None:
    table = rankings(world, "R2Rec", [0]).with_columns(completion=pl.lit("a" * 10_000_000))
    shown = browser(composed(), {"R2Rec": table}, world.folders())
    assert shown is not None
    (told,) = shown.cases[0].told
    assert len(told.before + told.tail) < 6_100_000
    assert "rankings.parquet has all of it" in told.before + told.tail


def test_records_are_in_the_order_of_rows_and_follow_the_places(
    world: Done, tmp_path: Path
) -> None:
    tables = {
        "a": rankings(world, "a", [0, 1, 3, None], written=False),
        "b": rankings(world, "b", [0, 0, 0, 0]),
    }
    rows = []
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        table.write_parquet(tmp_path / name / "rankings.parquet")
        rows.append(Row(name, "variant", tmp_path / name))
    out = tmp_path / "out"
    out.mkdir()
    cfg = composed("seed=5", "evaluation.users=4")
    records = write_report(
        cfg,
        rows,
        world.folders(),
        out,
        {"leakage": "none seen"},
        ["a note to read"],
        {"more": "<svg><title>of a diagnostic</title></svg>"},
    )
    assert json.loads((out / "metrics.json").read_text()) == records
    assert [(r["method"], r["variant"], r["dataset"], r["seed"], r["n_users"]) for r in records] == [
        ("a", "variant", "toy_small", 5, 4), ("b", "variant", "toy_small", 5, 4),
    ]  # fmt: skip
    assert (records[0]["hr@1"], records[0]["hr@3"], records[0]["valid_ratio"]) == (0.25, 0.5, 0.75)
    assert (records[1]["hr@1"], records[1]["ndcg@3"]) == (1, 1)
    assert pl.read_parquet(out / "rankings.parquet").equals(pl.concat(tables.values()))
    page = (out / "report.html").read_text()
    assert "none seen" in page
    assert "a note to read" in page
    assert "of a diagnostic" in page
    assert {path.name for path in (out / "tables").iterdir()} == {
        "results.md",
        "results.csv",
        "results.tex",
    }
    assert list((out / "plots").glob("*.svg"))


OTHERS = {
    "another negative": lambda t: t.with_columns(pl.col("candidates").list.eval(pl.element() + 1)),
    "another order": lambda t: t.with_columns(pl.col("candidates").list.reverse()),
    "another positive": lambda t: t.with_columns(positive=pl.col("candidates").list.first()),
    "fewer candidates": lambda t: t.with_columns(pl.col("candidates").list.head(4)),
    "fewer users": lambda t: t.head(3),
    "another user": lambda t: t.with_columns(user=pl.col("user") + 1),
    "users twice": lambda t: pl.concat([t, t]),
    "no users": lambda t: t.clear(),
    "no such column": lambda t: t.drop("candidates"),
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_rankings_of_other_candidates_are_refused(world: Done, tmp_path: Path, changed) -> None:  # type: ignore[no-untyped-def]
    """An easier question is no way to a better figure."""
    table = rankings(world, "a", [1, 0, 2, 3])
    changed(table).write_parquet(tmp_path / "rankings.parquet")
    cfg = composed("seed=5", "evaluation.users=4")
    with pytest.raises(
        R2RecError, match=r"ranks other users or candidates|holds no rankings"
    ) as told:
        write_report(cfg, [Row("a", "", tmp_path)], world.folders(), tmp_path, {}, [], {})
    assert "\n" not in str(told.value)
    assert not (tmp_path / "metrics.json").exists()
