"""Lessons in rounds: a model is asked again where audit or judge reject; a program only judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.config import Teacher
from r2rec.config.slices import ThinkSlice
from r2rec.llm.chat import Messages
from r2rec.llm.engine import Engine, Question
from r2rec.tasks.training import Task
from r2rec.thoughts.audit import audit, broken_rules
from r2rec.thoughts.judge import Judge, open_engine
from r2rec.thoughts.teacher import again, read_reply

WAIVED = ("masked", "progressive")  # rules that a prompt without them cannot be held to


class TaughtTrace(NamedTuple):
    """A trace and what audit and judge say of it."""

    thought: str
    answer: str
    reasons: list[str]  # why it is rejected; empty: it is accepted


@dataclass
class LessonCost:
    """What a teacher's replies cost."""

    asked: int = 0  # replies
    new_tokens: int = 0  # tokens of the replies
    dollars: float = 0.0


def start(choices: ThinkSlice, inputs: Mapping[str, Path], work: Workspace) -> Engine:
    """The teacher's engine: on `teacher.model`, on the run's own model, or behind an endpoint."""
    generation = choices.teacher.generation
    assert generation is not None
    return open_engine(generation, choices, inputs, work)


def lessons(
    tasks: list[Task],
    wanted: int,
    choices: ThinkSlice,
    engine: Engine,
    judge: Judge | None = None,
) -> tuple[dict[int, TaughtTrace], LessonCost]:
    """Traces of the first tasks, by index, until `wanted` are accepted; and what they cost.

    A round asks for as many as are missing, and each task up to `teacher.attempts` times.
    """
    cost = LessonCost()

    def teach(batch: dict[int, Task]) -> dict[int, TaughtTrace]:
        return _taught(batch, choices, engine, judge, cost)

    return _in_rounds(tasks, wanted, choices.teacher, teach), cost


def judged_lessons(
    tasks: list[Task], traces: Sequence[TaughtTrace], wanted: int, judge: Judge
) -> dict[int, TaughtTrace]:
    """The first of these traces, by index, until the judge accepts `wanted` of them.

    Args:
        traces: Of each task, as the audit leaves them.
    """
    teacher = judge.choices.teacher

    def teach(batch: dict[int, Task]) -> dict[int, TaughtTrace]:
        return _judged(batch, {index: traces[index] for index in batch}, judge)

    return _in_rounds(tasks, wanted, teacher, teach)


def _in_rounds(
    tasks: list[Task],
    wanted: int,
    teacher: Teacher,
    teach: Callable[[dict[int, Task]], dict[int, TaughtTrace]],
) -> dict[int, TaughtTrace]:
    """What `teach` makes of the first tasks, as many at a time as are missing."""
    traces: dict[int, TaughtTrace] = {}
    while len(traces) < len(tasks):
        missing = wanted
        for trace in traces.values():
            if is_accepted(teacher, trace.reasons):
                missing -= 1
        if missing <= 0:
            break
        untried = [index for index in range(len(tasks)) if index not in traces]
        traces |= teach({index: tasks[index] for index in untried[:missing]})
    return traces


def _judged(
    tasks: Mapping[int, Task], traces: dict[int, TaughtTrace], judge: Judge | None
) -> dict[int, TaughtTrace]:
    """The traces with the judge's objections to those that the audit accepts."""
    if judge is None:
        return traces
    written = {}
    for index, trace in traces.items():
        if is_accepted(judge.choices.teacher, trace.reasons):
            written[index] = (trace.thought, trace.answer)
    judged = dict(traces)
    for index, objections in judge.objections(tasks, written).items():
        trace = traces[index]
        judged[index] = trace._replace(reasons=trace.reasons + objections)
    return judged


def audited(task: Task, thought: str, answer: str) -> TaughtTrace:
    """A trace about this task with the audit's reasons."""
    return TaughtTrace(thought, answer, audit(task.case, thought, answer, task.truth))


def is_accepted(teacher: Teacher, reasons: list[str]) -> bool:
    """Whether a trace keeps the rules that its writer was told."""
    waived = [rule for rule in WAIVED if teacher.params.get(rule) is False]
    return all(rule in waived for rule in broken_rules(reasons))


def _taught(
    tasks: dict[int, Task],
    choices: ThinkSlice,
    engine: Engine,
    judge: Judge | None,
    cost: LessonCost,
) -> dict[int, TaughtTrace]:
    """The last trace of each task; what it took is added to `cost`."""
    teacher = choices.teacher
    openings = _openings(tasks, choices)
    conversations = dict(openings)
    traces: dict[int, TaughtTrace] = {}
    for attempt in range(teacher.attempts):
        open_tasks = []
        for index in tasks:
            if index not in traces or not is_accepted(teacher, traces[index].reasons):
                open_tasks.append(index)
        questions = [Question(conversations[index]) for index in open_tasks]
        seed = seeds.integer(choices.seed, f"think.teacher.{attempt}")
        replies = engine.write(questions, seed)
        written: dict[int, TaughtTrace] = {}
        for index, reply in zip(open_tasks, replies, strict=True):
            if reply is None:  # the prompt is too long: an earlier trace stays, if there is one
                no_room = ["malformed: the prompt leaves no room for a reply"]
                traces.setdefault(index, TaughtTrace("", "", no_room))
                continue
            cost.asked += 1
            cost.new_tokens += reply.completion_tokens
            cost.dollars = round(cost.dollars + reply.cost, 4)
            thought, answer = read_reply(reply.text, tasks[index].case)
            written[index] = audited(tasks[index], thought, answer)
        traces |= _judged(tasks, written, judge)
        for index, reply in zip(open_tasks, replies, strict=True):
            if reply is not None:
                reasons = traces[index].reasons
                retry = again(reply.text, reasons, teacher.params.get("guided", True))
                conversations[index] = [*openings[index], *retry]
    return traces


def _openings(tasks: dict[int, Task], choices: ThinkSlice) -> dict[int, Messages]:
    """The first message about each task."""
    teacher = choices.teacher
    build = get_method(teacher._target_)
    messages = {}
    for index, task in tasks.items():
        messages[index] = build(
            task.case, task.truth, choices.prompt, choices.words, **teacher.params
        )
    return messages
