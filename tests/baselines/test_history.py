"""Every scorer and every fitted model hears of new ratings through the told table alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_model

from r2rec.baselines import fit
from r2rec.evaluate.scores import score_candidates
from tests.baselines.small import GRAPH, ITEMS, SEQUENCE, USERS, data, table

HALF_USERS, HALF_ITEMS = USERS // 2, ITEMS // 2
TOLD_USER = 1
SCORERS = {
    "popularity": "r2rec.baselines.popularity.popularity_scores",
    "item_knn": "r2rec.baselines.item_knn.item_knn_scores",
    "ease": "r2rec.baselines.ease.ease_scores",
}
MODELS = {kind.__name__: f"{kind.__module__}.{kind.__name__}" for kind in (*SEQUENCE, *GRAPH)}


def halves() -> pl.DataFrame:
    """Two worlds without a common user or item."""
    rows = table().with_columns(pl.col("item") % HALF_ITEMS)
    second = pl.col("user") >= HALF_USERS
    rows = rows.with_columns(item=pl.col("item") + second.cast(pl.UInt32) * HALF_ITEMS)
    return rows.unique(["user", "item"], keep="first", maintain_order=True)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    """`told` has three more ratings of one user of the first world."""
    folders = {name: tmp_path / name for name in ("prepare", "split", "tell", "fit")}
    for folder in folders.values():
        folder.mkdir()
    for name, count in (("user", USERS), ("item", ITEMS)):
        pl.DataFrame({name: range(count)}).write_parquet(folders["prepare"] / f"{name}s.parquet")
    train = halves()
    train.write_parquet(folders["split"] / "train.parquet")
    known = train.filter(user=TOLD_USER)["item"].to_list()
    new = [item for item in range(HALF_ITEMS) if item not in known][:3]
    rows = {"user": [TOLD_USER] * 3, "item": new, "rating": [5.0] * 3, "timestamp": [99] * 3}
    more = pl.DataFrame(rows, schema=train.schema)
    told = pl.concat([train, more]).sort("user", maintain_order=True)
    told.write_parquet(folders["tell"] / "told.parquet")
    return folders


def fitted(kind: str, inputs: dict[str, Path]) -> Path:
    """A model with fresh weights, stored as `fit` does it."""
    built = {"target": MODELS[kind], "params": {"dim": 8}, "above": None}
    torch.manual_seed(0)
    model = fit.build_module(built, fit.load_ratings(inputs["prepare"], inputs["split"]))
    save_model(model, str(inputs["fit"] / fit.WEIGHTS))
    (inputs["fit"] / fit.BUILT).write_text(json.dumps(built))
    return inputs["fit"]


@pytest.mark.parametrize("name", [*SCORERS, *MODELS])
def test_scores_change_only_through_what_is_told(inputs: dict[str, Path], name: str) -> None:
    """They change in the world of the new ratings, and nowhere in the other one."""
    model = fitted(name, inputs) if name in MODELS else None
    own = [[*range(HALF_ITEMS)]] * HALF_USERS
    other = [[*range(HALF_ITEMS, ITEMS)]] * HALF_USERS
    candidates = pl.DataFrame(
        {"user": range(USERS), "positive": [items[0] for items in (*own, *other)]},
        schema={"user": pl.UInt32, "positive": pl.UInt32},
    ).with_columns(items=pl.Series([*own, *other], dtype=pl.List(pl.UInt32)))

    def scores(ratings: Path) -> Any:
        rng = np.random.default_rng(0)
        return score_candidates(SCORERS.get(name), {}, model, inputs, ratings, candidates, rng)

    before = scores(inputs["split"] / "train.parquet")
    after = scores(inputs["tell"] / "told.parquet")
    np.testing.assert_array_equal(before, scores(inputs["split"] / "train.parquet"))
    np.testing.assert_allclose(after[HALF_USERS:], before[HALF_USERS:], rtol=1e-5, atol=1e-7)
    assert not np.allclose(after[TOLD_USER], before[TOLD_USER])
    if name in {kind.__name__ for kind in SEQUENCE}:  # a sequence is its user's alone
        others = np.arange(USERS) != TOLD_USER
        np.testing.assert_allclose(after[others], before[others], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", [*SEQUENCE, *GRAPH])
def test_weights_hold_no_ratings(kind: Any) -> None:
    """Else a model would be told what it was trained on, whatever else is given."""
    shapes = []
    for seed in (0, 1):
        torch.manual_seed(0)
        state = kind(data(seed), dim=8).state_dict()
        shapes.append(state)
    assert shapes[0].keys() == shapes[1].keys()
    for name, value in shapes[0].items():
        torch.testing.assert_close(value, shapes[1][name])
