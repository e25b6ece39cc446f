"""Ratings small enough to check by hand, and every model on them."""

import numpy as np
import polars as pl

from r2rec.baselines.caser import Caser
from r2rec.baselines.graphsage import GraphSAGE
from r2rec.baselines.gru4rec import GRU4Rec
from r2rec.baselines.lightgcn import LightGCN
from r2rec.baselines.ngcf import NGCF
from r2rec.baselines.ratings import Ratings, train_ratings
from r2rec.baselines.sasrec import SASRec

SEQUENCE = (SASRec, GRU4Rec, Caser)
GRAPH = (LightGCN, NGCF, GraphSAGE)
USERS = 12
ITEMS = 30


def table(
    seed: int = 0, users: int = USERS, items: int = ITEMS, empty: tuple[int, ...] = (3,)
) -> pl.DataFrame:
    """A train table: 1 to 14 items of each user, none of those in `empty`."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        if user in empty:
            continue
        chosen = rng.choice(items, rng.integers(1, 15), replace=False)
        for timestamp, item in enumerate(chosen):
            rows.append((user, int(item), float(rng.integers(1, 6)), timestamp))
    schema = {"user": pl.UInt32, "item": pl.UInt32, "rating": pl.Float32, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def data(seed: int = 0) -> Ratings:
    return train_ratings(table(seed), USERS, ITEMS)
