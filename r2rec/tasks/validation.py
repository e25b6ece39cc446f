"""Ranking questions about validation positives: what a probe or a fusion may learn from, and no test answer."""

from pathlib import Path

import numpy as np
import polars as pl
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.chains.chain import load_graph, sample
from r2rec.chains.graph import queries
from r2rec.prompts.cases import RankingCase
from r2rec.tasks.assemble import RankingQuestions, load_texts, ranking_cases


def validation(
    cfg: DictConfig, inputs: dict[str, Path], users: int, purpose: str
) -> tuple[pl.DataFrame, list[RankingCase]]:
    """Candidates and cases of so many validation positives, at most; which ones, the seed and the purpose say."""
    table = pl.read_parquet(inputs["split"] / "validation_candidates.parquet")
    rng = seeds.generator(cfg.seed, purpose)
    table = table[np.sort(rng.permutation(table.height)[:users])]
    graph = load_graph(inputs["prepare"], inputs["split"])
    user, shown = (
        table["user"].to_numpy().astype(np.int64),
        np.array(table["items"].to_list(), np.uint32),
    )
    length = np.diff(graph.start)[user]
    chains = sample(cfg.chain_sampler, graph, queries(graph, user, length, shown), rng)
    cases = ranking_cases(
        RankingQuestions(user, length, shown), chains, graph, load_texts(inputs["prepare"]), cfg.prompt,
        positive_above=cfg.evaluation.positive_above,
    )  # fmt: skip
    return table, cases
