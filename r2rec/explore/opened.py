"""A run that is open: the cases of all its users, what was written judged, ready to be searched."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.evaluate.arrays import Integers
from r2rec.execution.methods import arms
from r2rec.explore.filters import BY_CHANCE, Perspective, Standings, kept, standings
from r2rec.pipeline import STAGES
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import told_in_full
from r2rec.report import cases as page
from r2rec.results.cases import UserCase, answer_of, questions_of
from r2rec.results.load import Run
from r2rec.results.show import plain
from r2rec.thoughts.judged import Judgement

ROOM = 100_000  # characters of a thought that are shown
FUSED = " + "  # in the name of a model's arm that a baseline was added to

TRAINED_BY_REWARDS = [row.name for row in STAGES if row.place == "rl"]


class UnknownError(R2RecError):
    """What was asked for is not there."""


class OpenRun:
    """A run with all that its page shows, read once.

    Raises:
        R2RecError: It has no results yet, or an artefact that its cases are made of is gone.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.config = run.config
        self.cases = run.cases()
        self.variants = {record["method"]: record["variant"] for record in run.records}
        tables = run.rankings.partition_by("method", as_dict=True, maintain_order=True)
        self.tables: dict[str, pl.DataFrame] = {str(key[0]): rows for key, rows in tables.items()}
        self.written = page.written_arms(self.config, self.tables, run.artefacts)
        self.places = {case.raw_id: place for place, case in enumerate(self.cases)}
        self.questions: dict[int, RankingCase] = {}
        judgements = {}
        if self.written:
            asked = list(self.written.tables.values())[-1]["user"].to_list()
            self.questions = dict(zip(asked, self.written.questions, strict=True))
            judgements = dict(self.written.judgements)
        users = [case.user for case in self.cases]
        self.standings: Standings = standings(users, self.tables, judgements)
        self.texts = [_searched(case) for case in self.cases]

    @property
    def reasoned(self) -> bool:
        """Whether a thought was asked for."""
        return self.config.prompt.reasoning and not self.config.baseline.endpoint

    def case(self, user: str) -> UserCase:
        """The case of a user, by the id in the original files.

        Raises:
            UnknownError: The run did not rank for such a user.
        """
        if user not in self.places:
            raise UnknownError(f"the run ranked for no user {user[:80]}")
        return self.cases[self.places[user]]

    def question(self, case: UserCase) -> RankingCase:
        """What the run asked about a user, before it was text."""
        if case.user not in self.questions:
            row = self.run.rankings.filter(user=case.user).head(1)
            candidates = row.select("user", "positive", items="candidates")
            (question,) = questions_of(self.config, self.run.artefacts, candidates)
            self.questions[case.user] = question
        return self.questions[case.user]

    def models(self) -> list[str]:
        """The methods that are a language model of the run, in the order of the results."""
        known = [arm.method for arm in arms(self.config) if arm.target is None]
        return [method for method in self.tables if method in known]

    def rivals(self, model: str) -> list[str]:
        """The methods that a model competes with: not its own stages, fused or not, nor chance."""
        own = {*self.models(), model, BY_CHANCE}
        return [method for method in self.tables if method.partition(FUSED)[0] not in own]

    def asked(self, model: str, rivals: Sequence[str] = ()) -> Perspective:
        """What filters are about.

        Args:
            rivals: None given: all of `rivals(model)`.
        """
        trained = {}
        for arm in arms(self.config):
            if arm.target is None and arm.method in self.tables:
                by_rewards = arm.adapter in TRAINED_BY_REWARDS
                trained["rl" if by_rewards else arm.adapter] = arm.method
        rivals = rivals or self.rivals(model)
        return Perspective(model, rivals, trained.get("sft"), trained.get("rl"))

    def found(self, asked: Perspective, names: Sequence[str], text: str) -> Integers:
        """The users, by place in `cases`, that filters keep and a search finds.

        One whose id is the text comes first, then those whose id begins with it, then the others.
        """
        places = np.flatnonzero(kept(self.standings, asked, names))
        sought = " ".join(text.split()).casefold()
        if not sought:
            return places
        hits = [place for place in places.tolist() if sought in self.texts[place]]
        hits.sort(key=lambda place: _closeness(self.texts[place], sought))
        return np.array(hits, np.int64)

    def told(
        self, method: str, case: RankingCase, row: dict[str, Any], judgement: Judgement | None
    ) -> dict[str, Any]:
        """An answer as JSON values: how it ranks, and its thought with each claim marked.

        Args:
            case: What was asked, before its texts are cut as the prompt does it.
            row: Of a rankings table.
        """
        answer = answer_of(row, self.variants.get(method, ""), self.reasoned)
        values: dict[str, Any] = plain(answer) | {"wrote": answer.completion is not None}
        if answer.completion is None:
            return values
        shown = page.as_shown(case, self.config.prompt.title_length)
        positive = row["candidates"].index(row["positive"])
        in_full = told_in_full(shown, self.config.prompt.detailed)
        asked = page.Asked(shown, positive, self.reasoned, in_full)
        written = page.told(asked, row, judgement, ROOM)
        steps = []
        for index, (step, links) in enumerate(written.steps):
            mark = plain(written.marks[index]) if written.marks else {}
            pieces = mark.get("pieces", [{"text": step, "truth": None, "target": ""}])
            verdict = mark.get("verdict", "unread")
            steps.append({"pieces": pieces, "verdict": verdict, "links": plain(links)})
        about = {"before": written.before, "steps": steps, "tail": written.tail}
        return values | about | {"claims": written.claims, "why": written.why}

    def answers(self, case: UserCase) -> Iterator[dict[str, Any]]:
        """What each method answered for a user, as `told`."""
        for method, table in self.tables.items():
            for row in table.filter(user=case.user).iter_rows(named=True):
                judgement = None
                if self.written and method in self.written.judgements:
                    judgement = self.written.judgements[method].get(case.user)
                yield self.told(method, self.question(case), row, judgement)


def _searched(case: UserCase) -> str:
    """What a search looks in: the id, and a line for each title."""
    titles = [item.title for item in (*case.candidates, *case.history)]
    return "\n".join([case.raw_id, *titles]).casefold()


def _closeness(text: str, sought: str) -> int:
    raw_id = text.partition("\n")[0]
    if raw_id == sought:
        return 0
    return 1 if raw_id.startswith(sought) else 2
