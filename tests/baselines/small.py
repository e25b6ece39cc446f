"""Ratings small enough to check by hand, and every model on them."""

import numpy as np
import polars as pl

from r2rec.baselines.caser import Caser
from r2rec.baselines.graphsage import GraphSAGE
from r2rec.baselines.gru4rec import GRU4Rec
from r2rec.baselines.lightgcn import LightGCN
from r2rec.baselines.ngcf import NGCF
from r2rec.baselines.ratings import train_ratings
from r2rec.baselines.sasrec import SASRec

SEQUENCE, GRAPH = (SASRec, GRU4Rec, Caser), (LightGCN, NGCF, GraphSAGE)
USERS, ITEMS = 12, 30


def table(
    seed: int = 0, users: int = USERS, items: int = ITEMS, empty: tuple[int, ...] = (3,)
) -> pl.DataFrame:
    """A train table: 1 to 14 items of each user, none of those in `empty`."""
    rng = np.random.default_rng(seed)
    rows = [
        (u, int(i), float(rng.integers(1, 6)), t)
        for u in range(users)
        if u not in empty
        for t, i in enumerate(rng.choice(items, rng.integers(1, 15), replace=False))
    ]
    schema = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def data(seed: int = 0):
    return train_ratings(table(seed), USERS, ITEMS)
