"""Language models as teachers: their prompt, how replies are read, when they are asked again."""

import json
import re
from functools import cache, partial
from pathlib import Path

import pytest

from r2rec.config.slices import ThinkSlice
from r2rec.execution.keys import key_inputs
from r2rec.execution.plan import plan
from r2rec.llm.endpoint import Answer
from r2rec.llm.engine import Engine
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.training import Task
from r2rec.thoughts import teacher, template
from r2rec.thoughts.audit import audit
from r2rec.thoughts.lesson import LessonCost, is_accepted, lessons
from tests.small import choices, go, typed

ONE = Item("Heat", ("Crime",))
TWO = Item("Big", ("Comedy",))
CHAIN = Chain(ONE, 5, 4, 5, TWO, 2)
RATING = RatingCase("female, artist", CHAIN)
RANKING = RankingCase(None, (ONE,), (CHAIN,), (TWO, ONE, Item("Alien", ("Horror",))))


think_choices = cache(partial(choices, ThinkSlice))


def asked(case, answer, **params):
    chosen = think_choices("teacher=local")
    (message,) = teacher.teacher_messages(case, answer, chosen.prompt, chosen.words, **params)
    return message["content"]


def test_teacher_prompt_has_the_question_of_the_student():
    chosen = think_choices()
    for case, answer in ((RATING, "2"), (RANKING, "B")):
        question = render_prompt(case, chosen.prompt, chosen.words, ask=False)
        assert render_prompt(case, chosen.prompt, chosen.words).startswith(question)
        assert question in asked(case, answer)
        assert "<think>" not in asked(case, answer)


@pytest.mark.parametrize(
    ("part", "words"),
    [("masked", "hop by hop"), ("progressive", "earlier steps found"), ("guided", "For you alone")],
)
def test_teacher_prompt_without_a_part(part, words):
    for case, answer in ((RATING, "2"), (RANKING, "B")):
        full = asked(case, answer)
        without = asked(case, answer, **{part: False})
        assert words in full
        assert words not in without
        others = {"hop by hop", "earlier steps found", "For you alone"} - {words}
        assert all(other in without for other in others)


def test_teacher_prompt_has_the_answer_only_if_guided():
    assert "gave the second item a 2" in asked(RATING, "2")
    assert "candidate B" in asked(RANKING, "B")
    for case in (RATING, RANKING):
        assert asked(case, "2", guided=False) == asked(case, "5", guided=False)


THOUGHT = "Step 1: The user liked Heat.\nStep 2: B fits, so it comes first."


@pytest.mark.parametrize(
    "reply",
    [
        f"{THOUGHT}\nRanking: B > A > C",
        f"{THOUGHT}\n\n**Final ranking:** B, A, C",
        f"<think>\nhm, Ranking: C > A\n</think>\n{THOUGHT}\nRanking: B > A > C\n",
        f"<think>\n{THOUGHT}\n</think>\nRanking: B > A > C",
    ],
)
def test_read_reply(reply):
    assert teacher.read_reply(reply, RANKING) == (THOUGHT, "Ranking: B > A > C")


def test_read_reply_takes_the_last_answer_line():
    thought = "Step 1: Rated 5, so liked: the rating of Heat.\nStep 2: Expect a dislike."
    assert teacher.read_reply(f"{thought}\nRating: 2", RATING) == (thought, "Rating: 2")


def test_again_hides_the_answer_if_not_guided():
    reasons = [
        "leak: the positive, B, is named",
        "inconsistent: the answer is not B, or cannot be read",
    ]
    assert "positive, B" in teacher.again("x", reasons, guided=True)[1]["content"]
    text = teacher.again("x", reasons, guided=False)[1]["content"]
    assert re.findall(r"\((.*?)\)", text) == ["leak; inconsistent"]


def scripted_engine(*replies):
    """An engine that gives each question the next of these replies, and its conversations."""
    conversations = []
    left = list(replies)

    def write(questions, seed):
        answers = []
        for question in questions:
            conversations.append(question.messages)
            text = left.pop(0)
            answers.append(None if text is None else Answer(text, 10, 5, 0.5))
        return answers

    return Engine(write, lambda _: []), conversations


def good_reply(case, truth):
    thought, answer = template.write_thoughts([case], [truth], 0)[0]
    assert audit(case, thought, answer, truth) == []
    return f"{thought}\n{answer}"


def test_lessons_about_one_chain():
    engine, _ = scripted_engine("Rating: 5", good_reply(RATING, "5"))
    chosen = think_choices("teacher=local")
    traces, _ = lessons([Task(0, 0, RATING, "5")], 1, chosen, engine)
    assert traces[0].reasons == []
    assert traces[0].answer == "Rating: 5"


TASK = Task(0, 0, RANKING, "B")
GOOD = good_reply(RANKING, "B")


def lesson(n, wanted, *replies, changes=()):
    """Traces and cost of n times the same task, and the conversations."""
    engine, conversations = scripted_engine(*replies)
    chosen = think_choices("teacher=local", *changes)
    return (*lessons([TASK] * n, wanted, chosen, engine), conversations)


def test_lessons_ask_again_with_the_reason():
    traces, cost, conversations = lesson(1, 1, "Ranking: A > B", GOOD)
    assert traces[0].reasons == []
    assert cost == LessonCost(asked=2, new_tokens=10, dollars=1.0)
    first, second = conversations
    assert [len(first), len(second)] == [1, 3]
    assert second[0] == first[0]
    assert "no numbered steps" in second[2]["content"]


def test_lessons_stop_after_all_attempts():
    changes = ["teacher.attempts=3"]
    traces, cost, conversations = lesson(2, 1, *["no"] * 6, changes=changes)
    assert [len(messages) for messages in conversations] == [1, 3, 3] * 2
    assert all(trace.reasons for trace in traces.values())
    assert cost.asked == 6


def test_lessons_stop_when_enough_are_accepted():
    changes = ["teacher.attempts=1"]
    traces, cost, _ = lesson(9, 2, "no", GOOD, GOOD, changes=changes)
    assert len(traces) == 3
    assert cost.asked == 3


def test_lessons_reject_a_prompt_without_room():
    changes = ["teacher.attempts=1"]
    traces, cost, _ = lesson(1, 1, None, changes=changes)
    assert "no room" in traces[0].reasons[0]
    assert cost.asked == 0


def with_system_message(case, answer, prompt, words, **params):
    """A teacher of a user's own."""
    messages = teacher.teacher_messages(case, answer, prompt, words, **params)
    return [{"role": "system", "content": "Be brief."}, *messages]


def test_lessons_ask_again_with_all_first_messages():
    changes = [f"teacher._target_={__name__}.with_system_message"]
    _, _, conversations = lesson(1, 1, "no", GOOD, changes=changes)
    first, second = conversations
    assert [message["role"] for message in first] == ["system", "user"]
    assert second[:2] == first


@pytest.mark.parametrize(
    ("changes", "expected"), [(["teacher.params.masked=False"], True), ([], False)]
)
def test_rules_that_the_prompt_leaves_out_are_waived(changes, expected):
    early = GOOD.replace("Step 1: ", "Step 1: Candidate A is far. ", 1)
    traces, _, _ = lesson(1, 1, early, changes=["teacher.attempts=1", *changes])
    masked = [reason for reason in traces[0].reasons if reason.startswith("masked:")]
    assert masked
    chosen = think_choices("teacher=local", *changes)
    assert is_accepted(chosen.teacher, masked) == expected


def key_of(done):
    """What the key of a run's traces was made of."""
    manifest = Path(done.stages["think"]["path"]) / "manifest.json"
    return json.loads(manifest.read_text())["inputs"]


def test_backbone_teaches_itself(tmp_path):
    overrides = [
        "model=tiny",
        "teacher=local",
        "until=think",
        "sft.samples=1",
        "seed=1",
        "dataset.params.seed=0",
        "teacher.oversample=6",
        "teacher.attempts=1",
        "teacher.generation.temperature=0",
        "teacher.generation.max_new_tokens=400",
    ]
    done = go(tmp_path / "store", *overrides)
    (row,) = done.table("think", "traces").filter("accepted").iter_rows(named=True)
    assert row["reasons"] == []
    assert row["thought"].startswith("Step 1")
    assert row["answer"].startswith("Ranking: ")
    assert "model.safetensors" in key_of(done)["weights"]
    # How the student writes changes nothing for its teacher.
    again = go(
        tmp_path / "store", *overrides, "model.path=r2rec:tiny_closed", "generation.top_p=0.5"
    )
    assert again.made() == set()


def test_key_has_the_teachers_own_weights():
    (job,) = [
        job
        for job in plan(typed("teacher=local", "model@teacher.model=tiny"))
        if job.name == "think"
    ]
    assert "teacher/model.safetensors" in key_inputs(job, {}, {})["weights"]


def test_key_of_template_traces_has_no_model(tmp_path):
    done = go(tmp_path / "store", "model=tiny", "until=think")
    key = key_of(done)
    assert set(key["parents"]) == {"prepare", "split"}
    assert not key["raw"]
    assert "weights" not in key
