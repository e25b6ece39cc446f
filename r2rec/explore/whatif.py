"""The model of a run, loaded and asked again about a case with something changed."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.config.slices import RankSlice
from r2rec.evaluate.answers import answered, engine_of
from r2rec.evaluate.changes import Changes, changed
from r2rec.explore.opened import OpenRun
from r2rec.llm.engine import Engine
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.report.judgements import thought_of
from r2rec.results.cases import UserCase
from r2rec.results.recorded import ranking_job
from r2rec.thoughts.judged import Judgement, judged

Row = dict[str, Any]  # of a rankings table


class Policy(NamedTuple):
    """An arm's model."""

    method: str
    choices: RankSlice
    engine: Engine
    unchanged: dict[int, Row]  # user -> its answer to the case as it was, once it was asked


def why_not(opened: OpenRun, method: str) -> str | None:
    """Why a method cannot be asked again, in a line; None: it can."""
    try:
        _choices(opened, method)
    except R2RecError as error:
        return str(error)
    return None


def _choices(opened: OpenRun, method: str) -> tuple[RankSlice, dict[str, Path]]:
    """How an arm ranks, and the artefacts that it is made of.

    Raises:
        R2RecError: It is no language model of the run, a server has it, or an artefact is gone.
    """
    models = opened.models()
    if not models:
        raise R2RecError("this run has no language model of its own: nothing can be asked again")
    if method not in models:
        raise R2RecError(f"{method} cannot be asked again: choose {' or '.join(models)}")
    job, inputs = ranking_job(opened.config, opened.run.folder, method)
    choices: RankSlice = job.choices
    if choices.generation.endpoint:
        raise R2RecError(f"{method} is behind a server; only models that run here are asked again")
    return choices, inputs


def load_policy(opened: OpenRun, method: str, greedy: bool) -> Policy:
    """Load an arm's model from the store.

    Args:
        greedy: The likeliest token each time, so that answers differ by what was changed alone;
            else as the run has drawn them.

    Raises:
        R2RecError: As `why_not`; or it does not load.
    """
    choices, inputs = _choices(opened, method)
    if greedy:
        choices = replace(choices, generation=replace(choices.generation, temperature=0.0))
    hardware = replace(opened.config.hardware, processes=1)
    if hardware.device != "cpu":
        hardware = replace(hardware, device="auto")  # the run's machine may have had another one
    engine = engine_of(choices, inputs, Workspace(Path(), hardware, Path()))
    return Policy(method, choices, engine, {})


def ask_again(opened: OpenRun, policy: Policy, case: UserCase, changes: Changes) -> dict[str, Any]:
    """What the model answers to a case as it was, and to the changed one, as JSON values.

    Returns:
        `before` and `after` (as `OpenRun.told`), `prompt` (the changed one), `lines` (kind, text)
        of both prompts, and `moves`, a row for each candidate of the unchanged case.

    Raises:
        R2RecError: The changes do not fit the case.
    """
    config = opened.config
    question = opened.question(case)
    new, order = changed(question, changes, config.prompt.detailed, config.prompt.title_length)
    (stored,) = opened.tables[policy.method].filter(user=case.user).iter_rows(named=True)
    if case.user not in policy.unchanged:
        policy.unchanged[case.user] = _asked(policy, question, stored)
    before = after = policy.unchanged[case.user]
    if new != question:
        items = [stored["candidates"][index] for index in order]
        after = _asked(policy, new, stored | {"candidates": items})
    prompts = []
    for asked in (question, new):
        prompts.append(render_prompt(asked, config.prompt, config.dataset.words))
    return {
        "before": opened.told(policy.method, question, before, _judged(question, before, opened)),
        "after": opened.told(policy.method, new, after, _judged(new, after, opened)),
        "prompt": prompts[1],
        "lines": line_changes(*prompts),
        "moves": _moves(before, after),
        "truth": LABELS[after["candidates"].index(after["positive"])],
    }


def _asked(policy: Policy, case: RankingCase, stored: Row) -> Row:
    """The row that the run would have for an answer to this case."""
    columns = {"user": "user", "positive": "positive", "items": "candidates"}
    values = {name: [stored[of]] for name, of in columns.items()}
    candidates = pl.DataFrame(values).cast({pl.Int64: pl.UInt32, pl.List: pl.List(pl.UInt32)})
    table, _ = answered(policy.choices, [case], candidates, policy.engine, "rank")
    return table.row(0, named=True)


def _judged(case: RankingCase, row: Row, opened: OpenRun) -> Judgement | None:
    """The judgement of a thought about this case; None where there is none."""
    thought = thought_of(row["completion"], row["valid"], opened.reasoned)
    return judged(case, thought) if thought else None


def _moves(before: Row, after: Row) -> list[dict[str, Any]]:
    """Label and place of each candidate then and now; a place of None: it is left out."""
    moves = []
    for index, item in enumerate(before["candidates"]):
        move = {
            "label": LABELS[index],
            "now": LABELS[after["candidates"].index(item)],
            "from": _place(before["ranking"], item),
            "to": _place(after["ranking"], item),
        }
        moves.append(move)
    return moves


def _place(ranking: Sequence[int], item: int) -> int | None:
    return ranking.index(item) + 1 if item in ranking else None


def line_changes(before: str, after: str) -> list[tuple[str, str]]:
    """(kind, line) of two prompts as one text: "same", "gone" or "new"."""
    kinds = {"  ": "same", "- ": "gone", "+ ": "new"}
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return [(kinds[line[:2]], line[2:]) for line in lines if line[:2] in kinds]
