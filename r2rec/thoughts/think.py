"""Stage `think`: a teacher turns training tasks into interaction-of-thoughts, and the audit accepts or rejects them."""

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.prompts.render import render_prompt
from r2rec.tasks.targets import for_rl, for_sft
from r2rec.tasks.training import Task, load_source, ranking_tasks, rating_tasks, targets
from r2rec.thoughts.audit import audit, rates
from r2rec.thoughts.lesson import accepted, lessons, start

SHARES = {"ranking": (1.0, 0.0), "chain_rating": (0.0, 1.0), "mix": (0.5, 0.5)}


def think(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write traces.parquet: user, item, task, prompt, thought, answer, accepted, reasons.

    `sft.samples` accepted traces are wanted; up to `teacher.oversample` times as many tasks are tried. Rejected
    ones stay in the table with their reasons.
    """
    tasks = training_tasks(cfg, inputs)
    if not tasks:
        raise R2RecError(
            "no train rating has a history before it to make a training prompt of; give more data"
        )
    facts: dict[str, Any] = {}
    if cfg.teacher.generation:
        tasks, written, reasons, facts = learned(
            cfg, inputs, tasks, folder.parents[1] / "responses"
        )
    else:
        teacher, seed = get_method(cfg.teacher._target_), seeds.integer(cfg.seed, "think.teacher")
        written = teacher(
            [t.case for t in tasks], [t.truth for t in tasks], seed, **cfg.teacher.params
        )
        pairs = zip(tasks, written, strict=True)
        reasons = [
            audit(task.case, thought, answer, task.truth) for task, (thought, answer) in pairs
        ]
    traces = pl.DataFrame(
        {
            "user": [t.user for t in tasks],
            "item": [t.item for t in tasks],
            "task": [
                "ranking" if len(t.truth) and t.truth.isalpha() else "chain_rating" for t in tasks
            ],
            "prompt": [render_prompt(t.case, cfg.prompt, cfg.dataset.words) for t in tasks],
            "thought": [thought if cfg.prompt.reasoning else None for thought, _ in written],
            "answer": [answer for _, answer in written],
            "accepted": [accepted(cfg, r) for r in reasons],
            "reasons": reasons,
        },
        schema_overrides={
            "user": pl.UInt32,
            "item": pl.UInt32,
            "thought": pl.String,
            "reasons": pl.List(pl.String),
        },
    )
    traces.write_parquet(folder / "traces.parquet")
    kept = int(traces["accepted"].sum())
    if not kept:
        raise R2RecError(
            f"the audit rejected all {len(tasks)} traces of teacher={cfg.teacher.name}: {reasons[0][0]}"
        )
    notes = []
    if kept < cfg.sft.samples:
        notes = [
            f"only {kept} of sft.samples={cfg.sft.samples} traces were accepted; raise teacher.oversample"
        ]
    return {
        "traces": len(tasks),
        "accepted": kept,
        **facts,
        "rates": rates(reasons),
        "notes": notes,
    }


def learned(
    cfg: DictConfig, inputs: dict[str, Path], tasks: list[Task], responses: Path
) -> tuple[list[Task], list[tuple[str, str]], list[list[str]], dict[str, Any]]:
    """Tasks that a language model was asked for, (thought, answer) and audit's reasons of each, and what it cost."""
    engine = start(cfg, inputs, responses)
    kinds: dict[type, list[Task]] = {}
    for task in tasks:
        kinds.setdefault(type(task.case), []).append(task)
    done, traces, facts = [], [], Counter[str]()
    for some in kinds.values():
        found, cost = lessons(some, -(-cfg.sft.samples // len(kinds)), cfg, engine)
        done += [some[k] for k in sorted(found)]
        traces += [found[k] for k in sorted(found)]
        facts.update(cost)
    return done, [(t.thought, t.answer) for t in traces], [t.reasons for t in traces], dict(facts)


def training_tasks(cfg: DictConfig, inputs: dict[str, Path]) -> list[Task]:
    """The tasks of SFT, disjoint from those of RL, oversampled."""
    source = load_source(inputs["prepare"], inputs["split"])
    pool = targets(source, cfg)
    ranking, rating = (
        int(share * cfg.sft.samples * cfg.teacher.oversample + 0.5)
        for share in SHARES[cfg.sft.task]
    )
    rng = seeds.generator(cfg.seed, "think.tasks")
    tasks = ranking_tasks(source, for_sft(pool, ranking), cfg, rng) if ranking else []
    if rating:
        tasks += rating_tasks(
            source, for_rl(pool, pool.height).select("user", "item"), rating, cfg, rng
        )
    return tasks
