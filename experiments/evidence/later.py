"""How much of what is told of test users rests on ratings from after their test positives.

    python experiments/evidence/later.py RUN

RUN is the folder of any run; its data and candidates are read, and nothing is trained. Chains are
drawn for all users with candidates, five for each, with and without `evaluation.temporal`.
"""

import sys

import numpy as np
import polars as pl

import r2rec
from r2rec.chains import links, retrieval, samplers
from r2rec.chains.before import had_rated
from r2rec.chains.chain import load_graph
from r2rec.chains.graph import queries
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times

SAMPLERS = {
    "closed": samplers.closed,
    "open": samplers.open_ended,
    "retrieval": lambda *given: retrieval.retrieved(*given, recent=10, decay=0.6),
}
CHAINS = 5
EVIDENCE = {"recent": 20, "window": 10, "before": False, "above": 3.0}


def main(run: str) -> None:
    """Print a line for each sampler."""
    folders = r2rec.load(run).artefacts
    graph = load_graph(folders["prepare"], folders["split"])
    table = pl.read_parquet(folders["split"] / "candidates.parquet").sort("user")
    candidates = Candidates.of(table)
    moment = positive_times(folders["prepare"], table)
    asked = queries(graph, candidates.users, candidates=candidates.items)
    for name, draw in SAMPLERS.items():
        for time in (None, moment):
            rng = np.random.default_rng(0)
            chains = draw(graph, asked._replace(time=time), CHAINS, rng)
            in_time = np.ones(len(chains.query), bool)
            for item in (chains.item1, chains.item2):
                in_time &= had_rated(graph, chains.neighbour, item, moment[chains.query])
            per_user = np.bincount(chains.query, minlength=table.height)
            kind = "all ratings" if time is None else "temporal"
            print(
                f"{name}, {kind}: {1 - in_time.mean():.3f} of {len(in_time)} chains rest on later "
                f"ratings; {int((per_user < CHAINS).sum())} users have fewer than {CHAINS}"
            )
    items = candidates.items.astype(np.int64)
    soon = []
    for time in (None, moment):
        soon.append(links.count_links(graph, asked._replace(time=time), items, **EVIDENCE).soon)
    print(f"evidence: {1 - soon[1].sum() / soon[0].sum():.3f} of what is counted is later")


if __name__ == "__main__":
    main(sys.argv[1])
