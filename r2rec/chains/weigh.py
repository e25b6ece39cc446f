"""Stage `weigh`: the parameters of a chain sampler, chosen on validation positives.

Test positives have no say, and every stage that samples chains uses the same parameters.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.chains import witness
from r2rec.chains.chain import PARAMS, load_graph
from r2rec.chains.graph import queries
from r2rec.config.slices import WeighSlice
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times

MOST_USERS = 4000  # users whose validation positives decide


def weigh(choices: WeighSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write params.json: what `chain_sampler.weigh` chose, and the parameters that were given.

    Returns:
        The chosen parameters, and how many users decided.
    """
    table = pl.read_parquet(inputs["split"] / "validation_candidates.parquet")
    drawn = seeds.generator(choices.seed, "weigh").permutation(table.height)[:MOST_USERS]
    drawn_rows = table[np.sort(drawn)]
    candidates = Candidates.of(drawn_rows)
    graph = load_graph(inputs["prepare"], inputs["split"])
    time = positive_times(inputs["prepare"], drawn_rows) if choices.temporal else None
    asked = queries(graph, candidates.users, candidates=candidates.items, time=time)
    asked = witness.heard(witness.of_all_users(inputs), graph, asked)
    sampler = choices.chain_sampler
    best = get_method(str(sampler.weigh))
    params = best(graph, asked, candidates.positive_index, sampler.params)
    (work.folder / PARAMS).write_text(json.dumps(params))
    chosen = {name: value for name, value in params.items() if sampler.params.get(name) is None}
    return {"users": len(candidates.users), **chosen}
