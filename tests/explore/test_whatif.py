"""The real model of a small run answers again: to the prompt that was asked for, and no other."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import r2rec
from r2rec.base.errors import R2RecError
from r2rec.evaluate.answers import ranking_questions, read_order
from r2rec.evaluate.changes import Changes
from r2rec.explore.desk import Desk
from r2rec.explore.opened import OpenRun
from r2rec.explore.whatif import ask_again, line_changes, load_policy
from r2rec.llm import load
from r2rec.llm.chat import encode, user_turn
from r2rec.llm.hf import generate
from r2rec.prompts.cases import LABELS
from r2rec.results.find import find_one
from tests.explore.small import ANSWERING, answering, desk_of
from tests.small import Done, go


@pytest.fixture(scope="module")
def folder(store: Path) -> Path:
    return answering(store)


@pytest.fixture(scope="module")
def desk(folder: Path) -> Desk:
    return desk_of(folder)


@pytest.fixture(scope="module")
def opened(desk: Desk) -> OpenRun:
    return desk.open(next(iter(desk.runs)))


def ask(desk: Desk, user: str, **request: Any) -> dict[str, Any]:
    (run,) = desk.runs
    return desk.reply("ask", {"run": run, "user": user, "method": "backbone", **request})


def written(opened: OpenRun, prompt: str) -> str:
    """What the weights write to a prompt, one likeliest token after the other."""
    config = opened.config
    tokenizer = load.tokenizer(config.model, None)
    model = load.weights(config.model, None, None)
    ids = encode(tokenizer, user_turn(prompt), config.prompt.reasoning)
    greedy = replace(config.generation, temperature=0.0)
    return generate(model, tokenizer, [ids], greedy, [0])[0].text


def test_the_model_answers_to_the_changed_prompt(desk: Desk, opened: OpenRun) -> None:
    case = opened.cases[0]
    changes = {"leave_out": [1], "titles": {"kA": "A Title of Ours"}}
    reply = ask(desk, case.raw_id, changes=changes)
    assert "A Title of Ours" in reply["prompt"]
    assert "A Title of Ours" not in str(case.prompt)
    for answer, prompt in ((reply["before"], case.prompt), (reply["after"], reply["prompt"])):
        assert answer["completion"] == written(opened, str(prompt))
        order = read_order(answer["completion"], len(case.candidates), reasoned=True)
        assert answer["ranking"] == "".join(LABELS[index] for index in order)
    assert reply["before"]["ranking"]
    assert reply["after"]["claims"]
    lines = [line for kind, line in reply["lines"] if kind != "new"]
    assert lines == str(case.prompt).splitlines()
    assert [line for kind, line in reply["lines"] if kind != "gone"] == reply["prompt"].splitlines()


def test_the_same_question_has_the_same_answer_and_is_not_asked_twice(
    desk: Desk, opened: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = opened.cases[1].raw_id
    first = ask(desk, user, changes={})
    assert first["before"] == first["after"]
    assert first["prompt"] == opened.cases[1].prompt
    assert {kind for kind, _ in first["lines"]} == {"same"}
    assert all(move["from"] == move["to"] for move in first["moves"])
    assert desk.policy
    policy = desk.policy[1]
    assert ask(desk, user) == first
    assert desk.policy[1] is policy  # loaded once
    assert policy.unchanged.keys() >= {opened.cases[1].user}


def test_shuffled_candidates_are_told_by_their_labels_then_and_now(
    desk: Desk, opened: OpenRun
) -> None:
    case = opened.cases[0]
    reply = ask(desk, case.raw_id, changes={"shuffle": 5})
    order = np.random.default_rng(5).permutation(len(case.candidates)).tolist()
    assert [move["now"] for move in reply["moves"]] == [
        LABELS[order.index(index)] for index in range(len(case.candidates))
    ]
    assert reply["truth"] == LABELS[order.index(case.positive)]
    for index, move in enumerate(reply["moves"]):
        assert f'- {move["now"]}: "{case.candidates[index].title}"' in reply["prompt"]
        place = reply["after"]["ranking"].find(move["now"]) + 1
        assert move["to"] == (place or None)
        assert move["from"] == (reply["before"]["ranking"].find(LABELS[index]) + 1 or None)
    assert reply["after"]["place"] == (reply["after"]["ranking"].find(reply["truth"]) + 1 or None)


def test_a_flipped_like_leaves_the_prompt(desk: Desk, opened: OpenRun) -> None:
    case = opened.cases[0]
    reply = ask(desk, case.raw_id, changes={"flip": ["h1"]})
    assert f"- Liked {len(case.history)}:" in str(case.prompt)
    assert f"- Liked {len(case.history)}:" not in reply["prompt"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"leave_out": [99]}, "there is no chain 99"),
        ({"leave_out": ["1"]}, "leave_out must be a list of numbers"),
        ({"leave_out": [True]}, "leave_out must be a list of numbers"),
        ({"flip": [1]}, "flip must be a list of texts"),
        ({"titles": {"kA": 1}}, "titles must be an object of texts"),
        ({"titles": ["kA"]}, "titles must be an object of texts"),
        ({"shuffle": -1}, "shuffle must be a whole number from 0"),
        ({"shuffle": 1.5}, "shuffle must be a whole number from 0"),
        ({"seed": 1}, "changes must be an object of leave_out, flip, titles, shuffle"),
        ([], "changes must be an object"),
    ],
)
def test_changes_that_are_none_are_refused(
    desk: Desk, opened: OpenRun, changes: Any, why: str
) -> None:
    with pytest.raises(R2RecError, match=why):
        ask(desk, opened.cases[0].raw_id, changes=changes)


def test_methods_without_words_are_not_asked(desk: Desk, opened: OpenRun) -> None:
    with pytest.raises(R2RecError, match="random cannot be asked again: choose backbone"):
        ask(desk, opened.cases[0].raw_id, method="random")


def test_drawn_answers_are_drawn_as_in_the_run(opened: OpenRun) -> None:
    """One by one with the seed of the first question, so the first user's is the run's own."""
    case = opened.cases[0]
    policy = load_policy(opened, "backbone", greedy=False)
    reply = ask_again(opened, policy, case, Changes())
    (recorded,) = [answer for answer in case.answers if answer.method == "backbone"]
    assert reply["before"]["completion"] == recorded.completion


def test_a_model_that_weighs_labels_ranks_again_without_words(store: Path) -> None:
    weighing = ("generation.by=labels", "prompt=no_reasoning")
    opened = OpenRun(r2rec.load(go(store, *ANSWERING, *weighing).folder))
    case = opened.cases[0]
    policy = load_policy(opened, "backbone", greedy=True)
    reply = ask_again(opened, policy, case, Changes(leave_out=[1]))
    (recorded,) = [answer for answer in case.answers if answer.method == "backbone"]
    assert reply["before"]["ranking"] == recorded.ranking
    assert sorted(reply["after"]["ranking"]) == sorted(recorded.ranking)
    assert reply["after"]["wrote"] is False


def test_a_model_that_is_gone_is_told_before_and_when_it_is_asked(
    smoke: Done, tmp_path: Path
) -> None:
    copied = Path(shutil.copytree(smoke.folder, tmp_path / "copied"))
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["stages"]["rl"]["path"] = str(tmp_path / "nowhere")
    path.write_text(json.dumps(manifest))
    desk = desk_of(copied)
    why_not = {
        one["method"]: one["why_not"] for one in desk.reply("run", {"run": "copied"})["methods"]
    }
    assert why_not["R2Rec without RL"] is None
    gone = f"{tmp_path / 'nowhere'}, of stage rl, is gone: `r2rec rerun {copied}` makes it again"
    assert why_not["R2Rec"] == gone
    user = desk.open("copied").cases[0].raw_id
    with pytest.raises(R2RecError, match="of stage rl, is gone"):
        desk.reply("ask", {"run": "copied", "user": user, "method": "R2Rec"})
    assert not desk.asking.locked()
    assert find_one(copied) == copied


def test_a_trained_arm_is_asked_with_its_adapter(smoke: Done) -> None:
    """The arms of one run share the backbone; what they hold likely differs by what was trained."""
    opened = OpenRun(r2rec.load(smoke.folder))
    question = opened.question(opened.cases[0])
    weights = {}
    for method in opened.models():
        policy = load_policy(opened, method, greedy=True)
        choices = policy.choices
        asked = ranking_questions([question], choices.prompt, choices.words)
        (weights[method],) = policy.engine.weigh(asked)
    assert weights["backbone"] != weights["R2Rec without RL"]


@pytest.mark.slow
def test_an_answer_takes_seconds(desk: Desk, opened: OpenRun) -> None:
    """As much processor time as a reader waits for on a free machine."""
    case = opened.cases[2]
    ask(desk, case.raw_id)
    begin = time.process_time()
    ask(desk, case.raw_id, changes={"leave_out": [1]})
    assert time.process_time() - begin < 3


def test_lines_of_two_prompts() -> None:
    assert line_changes("a\nb\nc", "a\nB\nc\nd") == [
        ("same", "a"),
        ("gone", "b"),
        ("new", "B"),
        ("same", "c"),
        ("new", "d"),
    ]
