"""Stage `chain`: interaction chains from all ratings before the held-out items (section 3.2.1).

All users with train ratings get chains, so that a user's chains do not depend on who else is
evaluated. With more users than MAX_USERS_WITH_FULL_CHAINS that would take too long, and only the
evaluated users get chains.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import polars as pl
from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.chains import graph as graphs
from r2rec.chains import witness
from r2rec.chains.before import had_rated
from r2rec.chains.samplers import closed, table
from r2rec.config import ChainSampler
from r2rec.config.slices import CaseSlice, ChainSlice
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times
from r2rec.data.split import evaluated
from r2rec.data.told import told_table

MAX_USERS_WITH_FULL_CHAINS = 10_000  # users with candidates
PARAMS = "params.json"  # what stage `weigh` writes

Choices = TypeVar("Choices", bound=CaseSlice | ChainSlice)


def sample(
    sampler: ChainSampler,
    graph: graphs.Graph,
    queries: graphs.Queries,
    rng: np.random.Generator,
    told_by: witness.Witnesses | None = None,
) -> pl.DataFrame:
    """Draw chains for these queries by the configured sampler.

    Args:
        told_by: Places the candidates for the sampler; chains then have a column `witness`.

    Returns:
        The columns of `samplers.table`; no rows if chains are off.
    """
    queries = witness.heard(told_by, graph, queries)
    if sampler._target_:
        draw = get_method(sampler._target_)
        per_query = sampler.per_user
    else:
        draw = closed
        per_query = 0
    chains = draw(graph, queries, per_query, rng, **sampler.params)
    if not isinstance(chains, pl.DataFrame):
        chains = table(chains, graph, queries)
    if queries.time is not None:
        _refuse_later(chains, graph, queries.time)
    if queries.placed is not None:
        chains = witness.with_places(chains, queries)
    return chains


def _refuse_later(chains: pl.DataFrame, graph: graphs.Graph, time: graphs.IntArray) -> None:
    """Refuse chains that rest on what a neighbour rated at the moment of the query, or later.

    Args:
        time: [q] the moments.

    Raises:
        R2RecError: There is one. Samplers of this package draw none.
    """
    told = chains.drop_nulls("neighbour")
    moment = time[told["query"].to_numpy()]
    neighbour = told["neighbour"].to_numpy().astype(np.int64)
    for name in ("item1", "item2"):
        item = told[name].to_numpy().astype(np.int64)
        if not had_rated(graph, neighbour, item, moment).all():
            raise R2RecError(
                "evaluation.temporal=true: the chain sampler drew a neighbour's rating from after "
                "the target's time; it may use ratings before queries.time alone"
            )


def weighed(choices: Choices, inputs: Mapping[str, Path]) -> Choices:
    """The same choices with the sampler's parameters that stage `weigh` chose, where it ran."""
    folder = inputs.get("weigh")
    if folder is None:
        return choices
    params = json.loads((folder / PARAMS).read_text())
    return replace(choices, chain_sampler=replace(choices.chain_sampler, params=params))


def load_graph(prepare: Path, split: Path, ratings: Path | None = None) -> graphs.Graph:
    """The graph of the train table, with room for all users and items.

    Args:
        prepare: Folder of the artefact of stage `prepare`.
        split: Folder of the artefact of stage `split`; noise may have added fake users to it.
        ratings: Another table in the place of train (`told_table`).
    """
    train = pl.read_parquet(ratings or split / "train.parquet")
    n_users = _height(prepare / "users.parquet")
    n_items = _height(prepare / "items.parquet")
    last_user = cast(int | None, train["user"].max())
    if last_user is not None:
        n_users = max(n_users, last_user + 1)
    return graphs.build_graph(train, n_users, n_items)


def chain(choices: ChainSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write chains.parquet: the columns that `sample` gives without `query`.

    Returns:
        The number of chains, of users who were to get some, and of users who got fewer than
        configured.
    """
    choices = weighed(choices, inputs)
    graph = load_graph(inputs["prepare"], inputs["split"], told_table(inputs))
    queries = _stage_queries(choices, graph, inputs)
    rng = seeds.generator(choices.seed, "chain")
    told_by = witness.of_all_users(inputs)
    chains = sample(choices.chain_sampler, graph, queries, rng, told_by)
    chains.drop("query").write_parquet(work.folder / "chains.parquet")
    n_queries = len(queries.user)
    per_user = np.bincount(chains["query"].to_numpy(), minlength=n_queries)
    has_fewer = per_user < choices.chain_sampler.per_user
    return {
        "chains": chains.height,
        "users": n_queries,
        "users_with_fewer": int(has_fewer.sum()),
    }


def _stage_queries(
    choices: ChainSlice, graph: graphs.Graph, inputs: Mapping[str, Path]
) -> graphs.Queries:
    """Queries of the users that get chains, at the times of their test positives if `temporal`."""
    split = inputs["split"]
    leads_to_candidates = choices.chain_sampler.forward
    candidates_file = split / "candidates.parquet"
    if _height(candidates_file) > MAX_USERS_WITH_FULL_CHAINS:
        candidates = evaluated(split, choices.seed, choices.users)
    elif leads_to_candidates:
        candidates = pl.read_parquet(candidates_file).sort("user")
    elif choices.temporal:
        candidates = pl.read_parquet(split / "heldout.parquet").filter(role="test").sort("user")
        candidates = candidates.rename({"item": "positive"})
    else:
        with_ratings = np.flatnonzero(np.diff(graph.start))
        return graphs.queries(graph, with_ratings)
    items = None
    if leads_to_candidates:
        items = Candidates.of(candidates).items
    time = positive_times(inputs["prepare"], candidates) if choices.temporal else None
    return graphs.queries(graph, candidates["user"].to_numpy(), candidates=items, time=time)


def _height(table_file: Path) -> int:
    """The number of rows of a parquet file."""
    height: int = pl.scan_parquet(table_file).select(pl.len()).collect().item()
    return height
