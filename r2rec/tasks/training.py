"""Training tasks: a case, what it is about, and the true answer. Shared by `think`, `rl` and the tiny backbone."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.chains.chain import load_graph, sample
from r2rec.chains.graph import Graph, queries
from r2rec.data import negatives
from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.tasks.assemble import RankingQuestions, Texts, load_texts, ranking_cases, rating_cases
from r2rec.tasks.targets import training_targets


class TaskSource(NamedTuple):
    """What tasks are made from."""

    train: pl.DataFrame
    touched: NDArray[np.int64]  # `negatives.touched_keys` of all interactions
    graph: Graph
    known: Texts


class Task(NamedTuple):
    user: int
    item: int  # the positive, or the chain's item2
    case: RankingCase | RatingCase
    truth: str  # the positive's label, or the rating's digit


def load_source(prepare: Path, split: Path) -> TaskSource:
    """Tables of two artefacts."""
    graph = load_graph(prepare, split)
    interactions = pl.read_parquet(prepare / "interactions.parquet", columns=["user", "item"])
    train = pl.read_parquet(split / "train.parquet")
    made_up = train.select("user", "item").join(
        interactions, on=["user", "item"], how="anti"
    )  # by noise
    touched = negatives.touched_keys(pl.concat([interactions, made_up]), graph.n_items)
    return TaskSource(train, touched, graph, load_texts(prepare))


def targets(source: TaskSource, cfg: DictConfig) -> pl.DataFrame:
    """All training targets in their seeded order. `cfg` has `evaluation` and `seed`."""
    protocol = cfg.evaluation
    return training_targets(
        source.train,
        positive_above=protocol.positive_above,
        min_history=protocol.min_history,
        rng=seeds.generator(cfg.seed, "targets"),
    )


def ranking_tasks(
    source: TaskSource, chosen: pl.DataFrame, cfg: DictConfig, rng: np.random.Generator
) -> list[Task]:
    """Ranking tasks on these targets: history and chains from before the target, untouched items beside it."""
    graph = source.graph
    chosen, drawn = with_negatives(source, chosen, cfg.evaluation.negatives, rng)
    user, length = chosen["user"].to_numpy().astype(np.int64), chosen["position"].to_numpy()
    positive = chosen["item"].to_numpy()
    shown = rng.permuted(np.column_stack([positive, drawn]), axis=1)
    chains = sample(cfg.chain_sampler, graph, queries(graph, user, length, shown), rng)
    cases = ranking_cases(
        RankingQuestions(user, length, shown), chains, graph, source.known, cfg.prompt,
        positive_above=cfg.evaluation.positive_above,
    )  # fmt: skip
    place = (shown == positive[:, None]).argmax(1)
    return [
        Task(int(u), int(i), c, LABELS[k])
        for u, i, c, k in zip(user, positive, cases, place, strict=True)
    ]


def with_negatives(
    source: TaskSource, chosen: pl.DataFrame, k: int, rng: np.random.Generator
) -> tuple[pl.DataFrame, NDArray[np.uint32]]:
    """Those of the targets whose users have k untouched items left, and k of these each [n, k]."""
    user, n_items = chosen["user"].to_numpy().astype(np.int64), source.graph.n_items
    free = negatives.untouched_counts(source.touched, len(source.graph.start) - 1, n_items)
    served = free[user] >= k
    return chosen.filter(pl.lit(served)), negatives.draw_negatives(
        user[served], source.touched, n_items, k, rng
    )


def rating_tasks(
    source: TaskSource, taken: pl.DataFrame, n: int, cfg: DictConfig, rng: np.random.Generator
) -> list[Task]:
    """The paper's question on one closed chain, its later rating asked for; never a rating in `taken`.

    Args:
        taken: user, item of targets that belong to someone else.
    """
    graph = source.graph
    users = np.flatnonzero(np.diff(graph.start) > 1)
    asked = (
        queries(graph, rng.choice(users, min(2 * n, 50 * len(users))))
        if len(users)
        else queries(graph, users)
    )
    one = cfg.chain_sampler.copy()
    one.per_user = 1
    chains = sample(one, graph, asked, rng).drop_nulls("rating_u2")
    when = source.train.select("user", "item", when=pl.int_range(pl.len()))
    for role in ("item1", "item2"):
        renamed = when.rename({"item": role, "when": f"when_{role}"})
        chains = chains.join(renamed, on=["user", role], maintain_order="left")
    chains = (
        _later_last(chains)
        .join(taken.rename({"item": "item2"}), on=["user", "item2"], how="anti")
        .head(n)
    )
    cases = rating_cases(chains, source.known, cfg.prompt)
    rows = zip(chains["user"], chains["item2"], cases, chains["rating_u2"], strict=True)
    return [Task(u, i, case, f"{rating:.0f}") for u, i, case, rating in rows]


def _later_last(chains: pl.DataFrame) -> pl.DataFrame:
    """The same loops, turned so that item2 is what the user rated later."""
    turn = pl.col("when_item1") > pl.col("when_item2")
    pairs = [("item1", "item2"), ("rating_u1", "rating_u2"), ("rating_v1", "rating_v2")]
    swapped = [
        pl.when(turn).then(pl.col(theirs)).otherwise(pl.col(own)).alias(own)
        for pair in pairs
        for own, theirs in (pair, pair[::-1])
    ]
    return chains.with_columns(swapped)
