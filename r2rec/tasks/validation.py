"""Ranking questions about validation positives: a probe or a fusion may learn from these answers.

Test answers are never among them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from r2rec.base import seeds
from r2rec.chains import witness
from r2rec.chains.chain import load_graph, sample, weighed
from r2rec.chains.graph import queries
from r2rec.config.slices import CaseSlice
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times
from r2rec.prompts.cases import RankingCase
from r2rec.tasks.assemble import RankingQuestions, load_texts, ranking_cases


def validation(
    choices: CaseSlice, inputs: Mapping[str, Path], users: int, purpose: str
) -> tuple[pl.DataFrame, list[RankingCase]]:
    """Candidates and cases of at most `users` validation positives.

    Args:
        inputs: Folders of the artefacts `prepare` and `split`; `weigh` and `witness_fit` where
            there are any.
        purpose: Names the random stream: another purpose draws other users and other chains.

    Returns:
        The drawn rows of validation_candidates.parquet, in their order, and the case of each.
    """
    choices = weighed(choices, inputs)
    table = pl.read_parquet(inputs["split"] / "validation_candidates.parquet")
    rng = seeds.generator(choices.data_seed, purpose)
    drawn = rng.permutation(table.height)[:users]
    table = table[np.sort(drawn)]
    candidates = Candidates.of(table)
    user = candidates.users.astype(np.int64)
    graph = load_graph(inputs["prepare"], inputs["split"])
    length = np.diff(graph.start)[user]
    time = positive_times(inputs["prepare"], table) if choices.temporal else None
    asked = queries(graph, user, length, candidates.items, time)
    chains = sample(choices.chain_sampler, graph, asked, rng, witness.of_all_users(inputs))
    cases = ranking_cases(
        RankingQuestions(user, length, candidates.items, time),
        chains,
        graph,
        load_texts(inputs["prepare"]),
        choices.prompt,
        positive_above=choices.positive_above,
    )
    return table, cases
