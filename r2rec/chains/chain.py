"""Stage `chain`: interaction chains of users with train ratings, from all that came before the held-out items.

Everybody gets some, so that a run that evaluates other users finds them made. Where there are too many users for that
(`pipeline.EVERYONE`), the stage is told whom the run evaluates, and draws for those alone.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.chains import graph as graphs
from r2rec.chains.samplers import closed, table
from r2rec.data.split import evaluated


def sample(
    cfg: DictConfig, graph: graphs.Graph, asked: graphs.Queries, rng: np.random.Generator
) -> pl.DataFrame:
    """Chains of these queries by the configured sampler; an empty table where chains are off."""
    sampler = get_method(cfg._target_) if cfg._target_ else closed
    per_query = cfg.per_user if cfg._target_ else 0
    return table(sampler(graph, asked, per_query, rng, **cfg.params), graph, asked)


def load_graph(prepare: Path, split: Path) -> graphs.Graph:
    """The graph of an artefact's train table, with room for all users, fake ones included, and all items."""
    train = pl.read_parquet(split / "train.parquet")
    n_users = pl.scan_parquet(prepare / "users.parquet").select(pl.len()).collect().item()
    n_items = pl.scan_parquet(prepare / "items.parquet").select(pl.len()).collect().item()
    return graphs.build_graph(train, max(n_users, (train["user"].max() or 0) + 1), n_items)  # type: ignore[operator]


def chain(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write chains.parquet: user, item1, rating_u1, neighbour, rating_v1, rating_v2, item2, rating_u2."""
    graph = load_graph(inputs["prepare"], inputs["split"])
    queries = _queries(cfg, graph, inputs["split"])
    chains = sample(cfg.chain_sampler, graph, queries, seeds.generator(cfg.seed, "chain"))
    chains.drop("query").write_parquet(folder / "chains.parquet")
    per_user = np.bincount(chains["query"].to_numpy(), minlength=len(queries.user))
    fewer = int((per_user < cfg.chain_sampler.per_user).sum())
    return {"chains": chains.height, "users": len(queries.user), "users_with_fewer": fewer}


def _queries(cfg: DictConfig, graph: graphs.Graph, split: Path) -> graphs.Queries:
    """Whom the stage draws for: the evaluated users where `cfg` says how many, else all."""
    if "evaluation" in cfg:
        asked = evaluated(cfg, split)
    elif cfg.chain_sampler.forward:
        asked = pl.read_parquet(split / "candidates.parquet").sort("user")
    else:
        return graphs.queries(graph, np.flatnonzero(np.diff(graph.start)))
    shown = np.array(asked["items"].to_list(), np.uint32) if cfg.chain_sampler.forward else None
    return graphs.queries(graph, asked["user"].to_numpy(), candidates=shown)
