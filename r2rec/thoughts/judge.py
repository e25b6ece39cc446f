"""A model that judges whether a thought makes sense (`teacher.judge`). Not in the paper.

The audit is a program: it knows form, and whether what is cited stands in the question. What a
thought means it cannot tell, so a model may be asked as well, about thoughts that the audit
accepts. Only a clear verdict accepts one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.config import Generation
from r2rec.config.slices import ThinkSlice
from r2rec.llm.chat import Messages, user_turn
from r2rec.llm.engine import Engine, Question, Setup
from r2rec.prompts.answer import split_thought
from r2rec.prompts.render import clean, render_prompt, render_template
from r2rec.tasks.training import Task

LINE = 2000  # characters of one line of a thought that the judge reads, at most
SHOWN_REASON = 160  # characters of a judge's reason, at most
NO_VERDICT = "unjudged: the judge's reply is no verdict"

_VERDICT = re.compile(
    r"^[\s*_#>\"'-]*verdict[*_]*\s*[:：][\s*_\"']*(?P<word>sound|unsound)\b"
    r"[\s*_\"'.,;:–—-]*(?:because\b)?[\s:]*(?P<why>[^\n]*)",
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)


class Verdict(NamedTuple):
    """What a judge's reply says."""

    sound: bool | None  # None: it is no verdict
    why: str  # one line, perhaps empty


@dataclass
class Tally:
    """How a judge has decided, and what that cost."""

    asked: int = 0
    sound: int = 0
    unsound: int = 0
    no_verdict: int = 0  # replies that are none, and thoughts too long to ask about
    new_tokens: int = 0
    dollars: float = 0.0


@dataclass
class Judge:
    """A judge at work."""

    engine: Engine
    choices: ThinkSlice
    tally: Tally

    def objections(
        self, tasks: Mapping[int, Task], written: Mapping[int, tuple[str, str]]
    ) -> dict[int, list[str]]:
        """Why each thought is rejected, as the audit gives reasons; [] accepts it.

        Args:
            written: Index of a task -> (thought, answer).
        """
        if not written:
            return {}
        questions = []
        for index, (thought, answer) in written.items():
            questions.append(Question(judge_messages(self.choices, tasks[index], thought, answer)))
        seed = seeds.integer(self.choices.seed, f"think.judge.{self.tally.asked}")
        replies = self.engine.write(questions, seed)
        found = {}
        for index, reply in zip(written, replies, strict=True):
            self.tally.asked += 1
            verdict = Verdict(None, "")
            if reply is not None:
                self.tally.new_tokens += reply.completion_tokens
                self.tally.dollars = round(self.tally.dollars + reply.cost, 4)
                verdict = read_verdict(reply.text)
            found[index] = self._counted(verdict)
        return found

    def _counted(self, verdict: Verdict) -> list[str]:
        if verdict.sound is None:
            self.tally.no_verdict += 1
            return [NO_VERDICT]
        if verdict.sound:
            self.tally.sound += 1
            return []
        self.tally.unsound += 1
        return [f"judge: unsound, because {verdict.why or 'of no reason that it gives'}"]


def appointed(choices: ThinkSlice, inputs: Mapping[str, Path], work: Workspace) -> Judge | None:
    """The judge of `teacher.judge`; None where nobody judges."""
    spec = choices.teacher.judge
    if spec is None:
        return None
    return Judge(open_engine(spec, choices, inputs, work), choices, Tally())


def open_engine(
    spec: Generation, choices: ThinkSlice, inputs: Mapping[str, Path], work: Workspace
) -> Engine:
    """An engine on `teacher.model`, on the run's own model, or behind an endpoint."""
    setup = Setup(
        generation=spec,
        model=choices.teacher.model or choices.model,
        hardware=work.hardware,
        reasoning=True,
        made=inputs.get("backbone"),
        adapter=None,
        responses=work.responses,
    )
    made: Engine = get_method(spec._target_)(setup)
    return made


def judge_messages(choices: ThinkSlice, task: Task, thought: str, answer: str) -> Messages:
    """What a judge is asked. A thought is text of a model, so it is cleaned like data."""
    lines = [clean(line, LINE) for line in thought.splitlines()]
    text = render_template(
        "judge",
        question=render_prompt(task.case, choices.prompt, choices.words, ask=False),
        thought="\n".join(lines),
        answer=clean(answer, LINE),
    )
    return user_turn(text)


def read_verdict(text: str) -> Verdict:
    """The verdict of a reply, outside of what the judge itself thinks.

    None is read where lines contradict one another, nor in a thought that never ends.
    """
    found = list(_VERDICT.finditer(split_thought(text, reasoned=False)[1]))
    words = {verdict["word"].lower() for verdict in found}
    if len(words) != 1:
        return Verdict(None, "")
    return Verdict(words == {"sound"}, clean(found[-1]["why"], SHOWN_REASON))
