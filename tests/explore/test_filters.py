"""Filters keep what a plain look at each user's answers keeps."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import r2rec
from r2rec.base.errors import R2RecError
from r2rec.evaluate.arrays import Floats
from r2rec.explore.desk import Desk
from r2rec.explore.filters import FILTERS, Perspective, Standings, kept, kept_by_filter
from r2rec.explore.opened import OpenRun
from r2rec.report.judgements import thought_of
from r2rec.thoughts.judged import judged
from tests.explore.small import answering, desk_of
from tests.small import Done, go

METHODS = ("random", "popularity", "knn", "sft", "rl")
ITEMS = 4

Answer = tuple[int, int | None]  # (item ranked first, place of the held-out item)
User = dict[str, Any]

PLAIN: dict[str, Callable[[User], bool]] = {
    "right": lambda u: u["rl"] == 1,
    "wrong": lambda u: u["rl"] != 1,
    "right_alone": lambda u: u["rl"] == 1 and u["popularity"] != 1 and u["knn"] != 1,
    "rivals_alone": lambda u: u["rl"] != 1 and (u["popularity"] == 1 or u["knn"] == 1),
    "rl_fixed": lambda u: u["sft"] != 1 and u["rl"] == 1,
    "rl_broke": lambda u: u["sft"] == 1 and u["rl"] != 1,
    "popularity_right": lambda u: u["popularity"] == 1 and u["rl"] != 1,
    "disagree": lambda u: len({u["first"][name] for name in ("rl", "popularity", "knn")}) > 1,
    "invalid": lambda u: u["first"]["rl"] < 0,
    "unfaithful": lambda u: u["false"] > 0,
}


@st.composite
def users(draw: st.DrawFn) -> list[User]:
    """Users with any answers: a place of NaN is a miss, a first item of -1 an invalid answer."""
    made = []
    for _ in range(draw(st.integers(0, 8))):
        user: User = {"first": {}, "false": draw(st.integers(0, 2))}
        for method in METHODS:
            first = draw(st.integers(-1, ITEMS - 1))
            place = 1 if first == 0 else draw(st.sampled_from([math.nan, 2, 3]))
            user[method] = math.nan if first < 0 else place  # item 0 is the held-out one
            user["first"][method] = first
        made.append(user)
    return made


@given(users())
def test_filters_keep_what_a_plain_look_keeps(made: list[User]) -> None:
    shape = len(METHODS), len(made)
    rank: Floats = np.reshape([[u[m] for u in made] for m in METHODS], shape).astype(np.float64)
    first = np.reshape([[u["first"][m] for u in made] for m in METHODS], shape).astype(np.int64)
    false = np.zeros(shape, np.int64)
    false[METHODS.index("rl")] = [u["false"] for u in made]
    table = Standings(METHODS, rank, first, false)
    asked = Perspective("rl", ("popularity", "knn"), "sft", "rl")
    assert PLAIN.keys() == FILTERS.keys()
    for name, keeps in PLAIN.items():
        assert kept(table, asked, [name]).tolist() == [keeps(user) for user in made], name
        assert kept_by_filter(table, asked)[name] == sum(map(keeps, made))
    both = kept(table, asked, ["right", "disagree"]).tolist()
    assert both == [PLAIN["right"](user) and PLAIN["disagree"](user) for user in made]


@pytest.fixture(scope="module")
def opened(smoke: Done) -> OpenRun:
    return OpenRun(r2rec.load(smoke.folder))


@pytest.fixture(scope="module")
def desk(smoke: Done) -> Iterator[Desk]:
    return desk_of(smoke.folder)


def test_the_standings_of_a_run_are_those_of_its_rankings(opened: OpenRun) -> None:
    rankings = opened.run.rankings
    for place, case in enumerate(opened.cases):
        for row in rankings.filter(user=case.user).iter_rows(named=True):
            at = opened.standings.row(row["method"]), place
            expected = row["ranking"][0] if row["valid"] else -1
            assert opened.standings.first[at] == expected
            if row["valid"] and row["positive"] in row["ranking"]:
                assert opened.standings.rank[at] == row["ranking"].index(row["positive"]) + 1
            else:
                assert math.isnan(opened.standings.rank[at])


def test_rivals_are_neither_chance_nor_stages_of_the_model(opened: OpenRun) -> None:
    assert opened.models() == ["backbone", "R2Rec without RL", "R2Rec"]
    asked = opened.asked("R2Rec")
    assert set(asked.rivals) == set(opened.tables) - {"random", *opened.models()}
    assert (asked.sft, asked.rl) == ("R2Rec without RL", "R2Rec")
    assert opened.asked("R2Rec", ["random"]).rivals == ["random"]


def test_a_run_that_only_counts_evidence_shows_its_chains(store: Path) -> None:
    folder = go(store, "chain_sampler=evidence", "baseline=counter").folder
    desk = desk_of(folder)
    case = desk.open(folder.name).cases[0]
    reply = desk.reply("case", {"run": folder.name, "user": case.raw_id})
    told = [evidence["place"] for evidence in reply["evidence"]]
    assert sorted(told) == list(range(1, len(case.candidates) + 1))
    linked = [index for index, one in enumerate(case.evidence) if one.item1]
    assert sorted(reply["in_full"]) == linked  # of so few candidates, all are told in full
    assert desk.open(folder.name).rivals("counter") == ["popularity"]


def test_unfaithful_are_users_whose_thought_has_a_false_claim(store: Path) -> None:
    opened = OpenRun(r2rec.load(answering(store)))
    false = []
    for case in opened.cases:
        (answer,) = [one for one in case.answers if one.method == "backbone"]
        thought = thought_of(answer.completion, answer.place is not None, reasoned=True)
        wrong = judged(opened.question(case), thought).wrong if thought else 0
        false.append(wrong > 0)
    assert kept(opened.standings, opened.asked("backbone"), ["unfaithful"]).tolist() == false
    with pytest.raises(R2RecError, match="rl_fixed asks for methods that this run does not have"):
        kept(opened.standings, opened.asked("backbone"), ["rl_fixed"])
    assert "rl_fixed" not in kept_by_filter(opened.standings, opened.asked("backbone"))


def found(desk: Desk, text: str, **request: Any) -> list[str]:
    (run,) = desk.runs
    reply = desk.reply("users", {"run": run, "method": "R2Rec", "text": text, **request})
    return [raw for raw, _, _ in reply["users"]]


def test_a_user_is_found_by_id_and_by_a_title_of_candidates_or_history(desk: Desk) -> None:
    (run,) = desk.runs
    cases = desk.open(run).cases
    assert found(desk, "") == [case.raw_id for case in cases]
    for case in cases:
        assert found(desk, case.raw_id)[0] == case.raw_id
        assert found(desk, f" {case.raw_id} ")[0] == case.raw_id
        for item in (case.history[-1], case.candidates[0]):
            hits = found(desk, item.title.upper())
            told = [c.raw_id for c in cases if item in (*c.history, *c.candidates)]
            assert set(told) <= set(hits)
    assert found(desk, "no such title at all") == []


def test_a_search_looks_among_those_whom_filters_keep(desk: Desk) -> None:
    (run,) = desk.runs
    title = desk.open(run).cases[0].candidates[0].title
    wrong = found(desk, "", filters=["wrong"])
    assert set(found(desk, title, filters=["wrong"])) == set(wrong) & set(found(desk, title))
    assert found(desk, "", filters=["wrong", "right"]) == []


def test_a_case_has_every_methods_ranking_and_its_thought_in_full(desk: Desk) -> None:
    (run,) = desk.runs
    for case in desk.open(run).cases:
        reply = desk.reply("case", {"run": run, "user": case.raw_id})
        assert reply["prompt"] == case.prompt
        assert reply["truth"] == case.truth
        assert [item["title"] for item in reply["history"]] == [i.title for i in case.history]
        for shown, answer in zip(reply["answers"], case.answers, strict=True):
            assert shown["ranking"] == answer.ranking
            assert shown["wrote"] is (answer.completion is not None)
            if answer.completion is not None:
                pieces = [piece["text"] for step in shown["steps"] for piece in step["pieces"]]
                for text in (*pieces, shown["before"], shown["tail"]):
                    assert text in answer.completion


def test_runs_of_one_name_are_told_apart_and_jobs_of_a_sweep_are_runs(
    smoke: Done, tmp_path: Path
) -> None:
    for sweep in ("one", "two"):
        for job in ("0", "1"):
            folder = tmp_path / sweep / job
            shutil.copytree(smoke.folder, folder)
            manifest = json.loads((folder / "manifest.json").read_text()) | {"sweep": True}
            (folder / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "two" / "1" / "rankings.parquet").unlink()
    desk = desk_of(tmp_path / "one", tmp_path / "two", smoke.folder)
    assert list(desk.runs) == ["one/0", "one/1", "two/0", f"small/{smoke.folder.name}"]
    (tmp_path / "two" / "0" / "rankings.parquet").unlink()
    with pytest.raises(R2RecError, match="two has no results yet"):
        desk_of(tmp_path / "two")


def test_a_run_without_a_language_model_is_shown_too(store: Path) -> None:
    folder = go(store, "baseline=item_knn").folder
    desk = desk_of(folder)
    about = desk.reply("run", {"run": folder.name})
    assert about["chosen"] == "item_knn"
    assert {one["why_not"] for one in about["methods"]} == {
        "this run has no language model of its own: nothing can be asked again"
    }
    users = desk.reply("users", {"run": folder.name, "method": "item_knn"})
    assert users["rivals"] == ["popularity"]
    reply = desk.reply("case", {"run": folder.name, "user": users["users"][0][0]})
    assert (reply["prompt"], reply["in_full"]) == (None, [])
    assert [answer["wrote"] for answer in reply["answers"]] == [False] * 3
    request = {"run": folder.name, "user": users["users"][0][0], "method": "item_knn"}
    with pytest.raises(R2RecError, match="has no language model of its own"):
        desk.reply("ask", request)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["run", "user", "method", "filters", "rivals", "text", "changes", "greedy"])


@given(
    st.sampled_from(["run", "users", "case", "ask", "x"]),
    st.dictionaries(KEYS, JSON),
    st.booleans(),
)
def test_any_request_has_a_reply_or_an_error_in_a_line(
    desk: Desk, what: str, request: dict[str, Any], names_a_run: bool
) -> None:
    (run,) = desk.runs
    if names_a_run:
        request = request | {"run": run}
    with suppress(R2RecError):  # any other is a fault of ours
        assert desk.reply(what, request)
