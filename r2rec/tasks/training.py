"""Training tasks: a case, what it is about, and its true answer.

The stages `think`, `rl` and `adapt` make them from a data set, the tiny backbone from toy worlds.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.chains.before import had_rated
from r2rec.chains.chain import load_graph, sample
from r2rec.chains.graph import Graph, queries, rating_times
from r2rec.chains.witness import Witnesses
from r2rec.config.slices import CaseSlice, TargetSlice
from r2rec.data import negatives
from r2rec.data.candidates import Candidates
from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.tasks.assemble import RankingQuestions, Texts, load_texts, ranking_cases, rating_cases
from r2rec.tasks.targets import training_targets

PAIRS = [("item1", "item2"), ("rating_u1", "rating_u2"), ("rating_v1", "rating_v2")]
"""Columns of a chains table that change places when a closed chain is read the other way round."""


class TaskSource(NamedTuple):
    """What tasks are made from."""

    train: pl.DataFrame  # train ratings, sorted by user, then time
    touched: NDArray[np.int64]  # `negatives.touched_keys` of all interactions
    graph: Graph  # of `train`
    texts: Texts  # titles, attributes and profiles


class Task(NamedTuple):
    """A question with its answer."""

    user: int
    item: int  # the positive of a RankingCase, item2 of a RatingCase
    case: RankingCase | RatingCase
    truth: str  # the positive's label, or the rating of item2 as a digit


def load_source(prepare: Path, split: Path) -> TaskSource:
    """The source that these two artefacts make."""
    graph = load_graph(prepare, split)
    interactions = pl.read_parquet(prepare / "interactions.parquet", columns=["user", "item"])
    train = pl.read_parquet(split / "train.parquet")
    # Ratings that noise added are no interactions, but the user must not get them as negatives.
    added = train.select("user", "item").join(interactions, on=["user", "item"], how="anti")
    touched = negatives.touched_keys(pl.concat([interactions, added]), graph.n_items)
    return TaskSource(train, touched, graph, load_texts(prepare))


def targets(source: TaskSource, choices: TargetSlice) -> pl.DataFrame:
    """All training targets in their seeded order: user, item, position."""
    return training_targets(
        source.train,
        positive_above=choices.positive_above,
        min_history=choices.min_history,
        by=choices.targets,
        rng=seeds.generator(choices.seed, "targets"),
    )


def ranking_tasks(
    source: TaskSource,
    chosen: pl.DataFrame,
    choices: CaseSlice,
    rng: np.random.Generator,
    told_by: Witnesses | None = None,
) -> list[Task]:
    """Ranking tasks (section 4.1.2) about the chosen targets.

    History and chains come from before the target, those of others too if `temporal`; the other
    candidates are untouched items.
    Targets whose users have too few untouched items are left out.

    Args:
        told_by: Places the candidates (`witness.out_of_fold`).
    """
    graph = source.graph
    chosen, drawn = with_negatives(source, chosen, choices.negatives, rng)
    user = chosen["user"].to_numpy().astype(np.int64)
    length = chosen["position"].to_numpy()
    positive = chosen["item"].to_numpy()
    shown = rng.permuted(np.column_stack([positive, drawn]), axis=1)
    time = None
    if choices.temporal:
        time = rating_times(graph)[graph.start[user] + length]
    asked = queries(graph, user, length, shown, time)
    chains = sample(choices.chain_sampler, graph, asked, rng, told_by)
    cases = ranking_cases(
        RankingQuestions(user, length, shown, time),
        chains,
        graph,
        source.texts,
        choices.prompt,
        positive_above=choices.positive_above,
    )
    positive_index = Candidates(chosen["user"].to_numpy(), positive, shown).positive_index
    tasks = []
    for row, case in enumerate(cases):
        label = LABELS[positive_index[row]]
        tasks.append(Task(int(user[row]), int(positive[row]), case, label))
    return tasks


def with_negatives(
    source: TaskSource, chosen: pl.DataFrame, k: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, NDArray[np.uint32]]:
    """The targets whose users have k untouched items left, and k such items for each, [n, k]."""
    user = chosen["user"].to_numpy().astype(np.int64)
    n_users = len(source.graph.start) - 1
    n_items = source.graph.n_items
    untouched = negatives.untouched_counts(source.touched, n_users, n_items)
    has_enough = untouched[user] >= k
    kept = chosen.filter(pl.lit(has_enough))
    drawn = negatives.draw_negatives(user[has_enough], source.touched, n_items, k, rng)
    return kept, drawn


def rating_tasks(
    source: TaskSource, taken: pl.DataFrame, n: int, choices: CaseSlice, rng: np.random.Generator
) -> list[Task]:
    """At most n of the paper's questions (section 3.2.1), each on one closed chain.

    A chain is turned so that item2 is what the user rated later; that rating is asked for.

    Args:
        taken: Columns user, item: targets that belong to someone else and are never asked about.
    """
    graph = source.graph
    users = np.flatnonzero(np.diff(graph.start) > 1)  # a closed chain needs two ratings
    if len(users):
        # Some chains are open, about a taken target or too late, so more than needed are drawn.
        share = 6 if choices.temporal else 2
        users = rng.choice(users, min(share * n, 50 * len(users)))
    one_each = replace(choices.chain_sampler, per_user=1)
    chains = sample(one_each, graph, queries(graph, users), rng)
    closed = chains.drop_nulls("rating_u2")
    closed = _with_later_item_last(closed, source.train)
    if choices.temporal:
        closed = _told_in_time(closed, source)
    taken_items = taken.rename({"item": "item2"})
    free = closed.join(taken_items, on=["user", "item2"], how="anti").head(n)
    cases = rating_cases(free, source.texts, choices.prompt)
    tasks = []
    answers = free.select("user", "item2", "rating_u2").iter_rows()
    for case, (user, item, rating) in zip(cases, answers, strict=True):
        tasks.append(Task(user, item, case, f"{max(1, rating):.0f}"))  # half a star is one
    return tasks


def _told_in_time(chains: pl.DataFrame, source: TaskSource) -> pl.DataFrame:
    """The chains whose neighbour had rated both items before the user rated item2."""
    when = source.train.select("user", "timestamp", item2="item")
    rated = chains.join(when, on=["user", "item2"], how="left", maintain_order="left")
    moment = rated["timestamp"].to_numpy()
    neighbour = chains["neighbour"].to_numpy().astype(np.int64)
    in_time = np.ones(chains.height, bool)
    for name in ("item1", "item2"):
        in_time &= had_rated(source.graph, neighbour, chains[name].to_numpy(), moment)
    return chains.filter(pl.lit(in_time))


def _with_later_item_last(chains: pl.DataFrame, train: pl.DataFrame) -> pl.DataFrame:
    """The same closed chains, turned so that item2 is the item that the user rated later.

    Args:
        train: Sorted by user, then time, so a row's index says when its rating was given.
    """
    when = train.select("user", "item", when=pl.int_range(pl.len()))
    for role in ("item1", "item2"):
        renamed = when.rename({"item": role, "when": f"when_{role}"})
        chains = chains.join(renamed, on=["user", role], maintain_order="left")
    must_turn = pl.col("when_item1") > pl.col("when_item2")
    turned = {}
    for first, second in PAIRS:
        turned[first] = pl.when(must_turn).then(second).otherwise(first)
        turned[second] = pl.when(must_turn).then(first).otherwise(second)
    return chains.with_columns(**turned)
