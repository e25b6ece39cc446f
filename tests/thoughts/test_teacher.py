"""Language models as teachers: what they are told, how they are read; asked again, but not for ever."""

import re
from functools import cache

import pytest
from omegaconf import OmegaConf

from r2rec.llm.endpoint import Answer
from r2rec.llm.engine import Engine
from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import render_prompt
from r2rec.run.runner import Run, pick
from r2rec.tasks.training import Task
from r2rec.thoughts import teacher, template
from r2rec.thoughts.audit import audit
from r2rec.thoughts.lesson import accepted, lessons
from tests.small import composed, go

ONE, TWO = Item("Heat", ("Crime",)), Item("Big", ("Comedy",))
CHAIN = Chain(ONE, 5, 4, 5, TWO, 2)
RATING = RatingCase("female, artist", CHAIN)
RANKING = RankingCase(None, (ONE,), (CHAIN,), (TWO, ONE, Item("Alien", ("Horror",))))


config = cache(composed)


def asked(case, answer, **params):
    cfg = config("teacher=local")
    (message,) = teacher.teacher_messages(case, answer, cfg.prompt, cfg.dataset.words, **params)
    return message["content"]


def test_the_teacher_reads_what_the_student_will():
    cfg = config()
    for case, answer in ((RATING, "2"), (RANKING, "B")):
        question = render_prompt(case, cfg.prompt, cfg.dataset.words, ask=False)
        assert render_prompt(case, cfg.prompt, cfg.dataset.words).startswith(question)
        assert question in asked(case, answer)
        assert "<think>" not in asked(case, answer)


@pytest.mark.parametrize(
    ("part", "words"),
    [("masked", "hop by hop"), ("progressive", "earlier steps found"), ("guided", "For you alone")],
)
def test_each_part_of_the_prompt_can_be_left_out(part, words):
    for case, answer in ((RATING, "2"), (RANKING, "B")):
        full, without = asked(case, answer), asked(case, answer, **{part: False})
        assert words in full
        assert words not in without
        others = {"hop by hop", "earlier steps found", "For you alone"} - {words}
        assert all(other in without for other in others)


def test_the_answer_is_told_where_it_guides_and_nowhere_else():
    assert "gave the second item a 2" in asked(RATING, "2")
    assert "candidate B" in asked(RANKING, "B")
    for case in (RATING, RANKING):
        one, other = (asked(case, answer, guided=False) for answer in ("2", "5"))
        assert one == other


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
def test_a_reply_is_read_whatever_its_form(reply):
    assert teacher.read_reply(reply, RANKING) == (THOUGHT, "Ranking: B > A > C")


def test_a_rating_is_read_from_its_own_line():
    thought = "Step 1: Rated 5, so liked: the rating of Heat.\nStep 2: Expect a dislike."
    assert teacher.read_reply(f"{thought}\nRating: 2", RATING) == (thought, "Rating: 2")


def test_what_was_wrong_is_told_without_the_answer_where_it_is_not_known():
    reasons = [
        "leak: the positive, B, is named",
        "inconsistent: the answer is not B, or cannot be read",
    ]
    assert "positive, B" in teacher.again("x", reasons, guided=True)[1]["content"]
    said = teacher.again("x", reasons, guided=False)[1]["content"]
    assert re.findall(r"\((.*?)\)", said) == ["leak; inconsistent"]


def told(*replies):
    """An engine that gives each question the next of these replies; and the conversations that it was asked."""
    talks, left = [], list(replies)

    def write(questions, seed):
        talks.extend(q.messages for q in questions)
        given = [left.pop(0) for _ in questions]
        return [None if text is None else Answer(text, 10, 5, 0.5) for text in given]

    return Engine(write, lambda _: []), talks


def good(case, answer):
    thought, said = template.write_thoughts([case], [answer], 0)[0]
    assert audit(case, thought, said, answer) == []
    return f"{thought}\n{said}"


def test_questions_about_one_chain_are_taught_as_well():
    reply = good(RATING, "5")
    engine, _ = told("Rating: 5", reply)
    traces, _ = lessons([Task(0, 0, RATING, "5")], 1, config("teacher=local"), engine)
    assert traces[0].reasons == []
    assert traces[0].answer == "Rating: 5"


TASK = Task(0, 0, RANKING, "B")
GOOD = good(RANKING, "B")


def lesson(n, wanted, *replies, **changes):
    cfg = config("teacher=local", *(f"teacher.{k}={v}" for k, v in changes.items()))
    engine, talks = told(*replies)
    return (*lessons([TASK] * n, wanted, cfg, engine), talks)


def test_what_the_audit_turns_down_is_asked_again_with_the_reason():
    traces, facts, talks = lesson(1, 1, "Ranking: A > B", GOOD)
    assert traces[0].reasons == []
    assert facts == {"asked": 2, "new_tokens": 10, "dollars": 1.0}
    assert [len(t) for t in talks] == [1, 3]
    assert talks[1][0] == talks[0][0]
    assert "no numbered steps" in talks[1][2]["content"]


def test_nobody_is_asked_for_ever():
    traces, facts, talks = lesson(2, 1, *["no"] * 6, attempts=3)
    assert [len(t) for t in talks] == [1, 3, 3] * 2
    assert all(t.reasons for t in traces.values())
    assert facts["asked"] == 6


def test_no_more_is_asked_than_wanted():
    traces, facts, _ = lesson(9, 2, "no", GOOD, GOOD, attempts=1)
    assert len(traces) == 3
    assert facts["asked"] == 3


def test_a_prompt_without_room_is_a_rejected_trace():
    traces, facts, _ = lesson(1, 1, None, attempts=1)
    assert "no room" in traces[0].reasons[0]
    assert facts["asked"] == 0


def test_rules_that_a_prompt_leaves_out_are_not_held_against_its_traces():
    early = GOOD.replace("Step 1: ", "Step 1: Candidate A is far. ", 1)
    kept, strict = {"params.masked": False}, {}
    for params, expected in ((kept, True), (strict, False)):
        traces, _, _ = lesson(1, 1, early, attempts=1, **params)
        rules = {reason.partition(":")[0] for reason in traces[0].reasons}
        assert "masked" in rules
        cfg = config("teacher=local", *(f"teacher.{k}={v}" for k, v in params.items()))
        assert accepted(cfg, [r for r in traces[0].reasons if r.startswith("masked")]) == expected


def test_the_backbone_teaches_itself(tmp_path):
    words = [
        "model=tiny",
        "teacher=local",
        "until=think",
        "sft.samples=1",
        "teacher.oversample=6",
        "seed=1",
    ]
    words += [
        f"teacher.{k}"
        for k in ("attempts=1", "generation.temperature=0", "generation.max_new_tokens=400")
    ]
    done = go(tmp_path / "store", *words, "dataset.params.seed=0")
    (row,) = done.table("think", "traces").filter("accepted").iter_rows(named=True)
    assert row["reasons"] == []
    assert row["thought"].startswith("Step 1")
    assert row["answer"].startswith("Ranking: ")
    manifest = OmegaConf.load(f"{done.stages['think']['path']}/manifest.json")
    assert "model.safetensors" in manifest.inputs.raw
    again = go(
        tmp_path / "store",
        *words,
        "dataset.params.seed=0",
        "model.path=r2rec:tiny",
        "generation.top_p=0.5",
    )
    assert again.made() == set()  # how the student writes is no choice of its teacher's


def test_the_key_knows_the_teachers_own_weights(tmp_path):
    run = Run(composed("teacher=local", "model@teacher.model=tiny"), tmp_path, print)
    assert "teacher/model.safetensors" in run._weights(pick(run.plain, ("teacher",)))


def test_the_template_needs_no_model_and_knows_none(tmp_path):
    done = go(tmp_path / "store", "model=tiny", "until=think")
    manifest = OmegaConf.load(f"{done.stages['think']['path']}/manifest.json")
    assert set(manifest.inputs.parents) == {"prepare", "split"}
    assert not manifest.inputs.raw
