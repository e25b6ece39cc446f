"""Stage `think`: a teacher writes interaction-of-thoughts, and the audit accepts or rejects them.

Section 3.2.2 of the paper: progressively masked reasoning about interaction chains.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from hydra.utils import get_method
from polars.datatypes import DataType, DataTypeClass

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.chains import witness
from r2rec.chains.chain import weighed
from r2rec.config.slices import ThinkSlice
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.targets import for_rl, for_sft, heavy_share
from r2rec.tasks.training import Task, load_source, ranking_tasks, rating_tasks, targets
from r2rec.thoughts.audit import rates
from r2rec.thoughts.judge import Judge, appointed
from r2rec.thoughts.lesson import (
    TaughtTrace,
    audited,
    is_accepted,
    judged_lessons,
    lessons,
    start,
)

SHARES = {"ranking": (1.0, 0.0), "chain_rating": (0.0, 1.0), "mix": (0.5, 0.5)}
"""`sft.task` -> shares of ranking tasks and of rating tasks."""


class Taught(NamedTuple):
    """What a teacher wrote."""

    tasks: list[Task]
    traces: list[TaughtTrace]  # of each task
    facts: dict[str, Any]  # what it cost

    def add(self, tasks: list[Task], traces: Mapping[int, TaughtTrace]) -> None:
        """Add the traces of some of these tasks, in the order of the tasks."""
        for index in sorted(traces):
            self.tasks.append(tasks[index])
            self.traces.append(traces[index])


def think(choices: ThinkSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write traces.parquet: user, item, task, prompt, thought, answer, accepted, reasons.

    `sft.samples` accepted traces are wanted; up to `teacher.oversample` times as many tasks are
    tried. Rejected traces stay in the table with their reasons.

    Raises:
        R2RecError: There is no task, or the audit rejects all traces.
    """
    tasks = training_tasks(weighed(choices, inputs), inputs)
    if not tasks:
        raise R2RecError(
            "think: no like in the train split has enough ratings before it to ask about; "
            "give more data, or lower evaluation.min_history"
        )
    judge = appointed(choices, inputs, work)
    if choices.teacher.generation:
        taught = _by_model(tasks, choices, inputs, work, judge)
    else:
        taught = _by_program(tasks, choices, judge)
    if judge:
        taught.facts["judge"] = asdict(judge.tally)
    table = _table(taught, choices)
    table.write_parquet(work.folder / "traces.parquet")
    reasons = [trace.reasons for trace in taught.traces]
    kept = int(table["accepted"].sum())
    if kept == 0:
        raise R2RecError(
            f"{'audit and judge' if judge else 'the audit'} rejected all {len(reasons)} traces of "
            f"teacher={choices.teacher.name}; the first because: {reasons[0][0]}"
        )
    notes = []
    if kept < choices.samples:
        notes.append(
            f"only {kept} of sft.samples={choices.samples} traces were accepted; "
            "raise teacher.oversample"
        )
    train = pl.read_parquet(inputs["split"] / "train.parquet")
    return {
        "traces": table.height,
        "accepted": kept,
        **taught.facts,
        "rates": rates(reasons),
        "accepted_by": accepted_shares(table, train),
        "from_heavy_users": round(heavy_share(table, train), 3),
        "notes": notes,
    }


def accepted_shares(traces: pl.DataFrame, train: pl.DataFrame) -> dict[str, dict[str, float]]:
    """The share of accepted ranking traces, by the target's rating and by its popularity.

    A teacher that only succeeds with popular targets would teach popularity.

    Returns:
        "rating" -> rating -> share, and "popularity" -> third of the targets -> share.
    """
    popularity = train.group_by("item").agg(popularity=pl.len())
    targets = (
        traces.filter(pl.col("task") == "ranking")
        .join(train.select("user", "item", "rating"), on=["user", "item"])
        .join(popularity, on="item")
    )
    third = (3 * (pl.col("popularity").rank("ordinal") - 1) // pl.len()).cast(pl.Int64)
    names = pl.Series(["rare", "middle", "popular"])
    targets = targets.with_columns(
        rating=pl.col("rating").cast(pl.String), popularity=third.replace_strict([0, 1, 2], names)
    )
    shares: dict[str, dict[str, float]] = {}
    for column in ("rating", "popularity"):
        by_group = targets.group_by(column).agg(pl.col("accepted").mean()).sort(column)
        shares[column] = {str(group): round(share, 3) for group, share in by_group.iter_rows()}
    return shares


def training_tasks(choices: ThinkSlice, inputs: Mapping[str, Path]) -> list[Task]:
    """The tasks of SFT, disjoint from those of RL, `teacher.oversample` times `sft.samples`."""
    source = load_source(inputs["prepare"], inputs["split"])
    pool = targets(source, choices)
    rng = seeds.generator(choices.seed, "think.tasks")
    ranking_share, rating_share = SHARES[choices.task]
    wanted = choices.samples * choices.teacher.oversample
    n_ranking = int(ranking_share * wanted + 0.5)
    n_rating = int(rating_share * wanted + 0.5)
    tasks = []
    if n_ranking:
        told_by = witness.out_of_fold(inputs)
        tasks += ranking_tasks(source, for_sft(pool, n_ranking), choices, rng, told_by)
    if n_rating:
        reserved = for_rl(pool, pool.height).select("user", "item")
        tasks += rating_tasks(source, reserved, n_rating, choices, rng)
    return tasks


def _by_program(tasks: list[Task], choices: ThinkSlice, judge: Judge | None) -> Taught:
    """Traces of a teacher that is a plain function; with a judge, as many as it has to see."""
    teacher = get_method(choices.teacher._target_)
    cases = [task.case for task in tasks]
    truths = [task.truth for task in tasks]
    seed = seeds.integer(choices.seed, "think.teacher")
    written = teacher(cases, truths, seed, **choices.teacher.params)
    traces = []
    for task, (thought, answer) in zip(tasks, written, strict=True):
        traces.append(audited(task, thought, answer))
    if judge is None:
        return Taught(tasks, traces, {})
    taught = Taught([], [], {})
    for indices, wanted in _kinds(tasks, choices.samples):
        of_kind = [tasks[index] for index in indices]
        audits = [traces[index] for index in indices]
        taught.add(of_kind, judged_lessons(of_kind, audits, wanted, judge))
    return taught


def _by_model(
    tasks: list[Task],
    choices: ThinkSlice,
    inputs: Mapping[str, Path],
    work: Workspace,
    judge: Judge | None,
) -> Taught:
    """Traces of a language model, asked until enough of each kind of task are accepted.

    Tasks that it was not asked about are left out.
    """
    engine = start(choices, inputs, work)
    taught = Taught([], [], {})
    for indices, wanted in _kinds(tasks, choices.samples):
        of_kind = [tasks[index] for index in indices]
        traces, cost = lessons(of_kind, wanted, choices, engine, judge)
        taught.add(of_kind, traces)
        for name, value in asdict(cost).items():
            taught.facts[name] = taught.facts.get(name, 0) + value
    return taught


def _kinds(tasks: list[Task], samples: int) -> list[tuple[list[int], int]]:
    """Of each kind of task: indices of its tasks, and how many traces are wanted."""
    by_kind: dict[type, list[int]] = {}
    for index, task in enumerate(tasks):
        by_kind.setdefault(type(task.case), []).append(index)
    wanted = -(-samples // len(by_kind))  # rounded up
    return [(indices, wanted) for indices in by_kind.values()]


def _table(taught: Taught, choices: ThinkSlice) -> pl.DataFrame:
    """One row per trace."""
    rows = []
    for task, trace in zip(taught.tasks, taught.traces, strict=True):
        row = {
            "user": task.user,
            "item": task.item,
            "task": "ranking" if isinstance(task.case, RankingCase) else "chain_rating",
            "prompt": render_prompt(task.case, choices.prompt, choices.words),
            "thought": trace.thought if choices.prompt.reasoning else None,
            "answer": trace.answer,
            "accepted": is_accepted(choices.teacher, trace.reasons),
            "reasons": trace.reasons,
        }
        rows.append(row)
    schema: dict[str, DataTypeClass | DataType] = {
        "user": pl.UInt32,
        "item": pl.UInt32,
        "task": pl.String,
        "prompt": pl.String,
        "thought": pl.String,
        "answer": pl.String,
        "accepted": pl.Boolean,
        "reasons": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema)
