"""Stage `fuse`: a language model's answers and a baseline's scores as one ranking.

A candidate's worth is w / (its rank in the answer) + (1 - w) / (its rank by the baseline). The one weight w is what
serves validation positives best; no test answer is looked at. An invalid answer says nothing: the baseline decides.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.baselines import fit
from r2rec.evaluate.rank import answered, engine_of, ranked_by, read_rankings, scored
from r2rec.tasks.validation import validation

WEIGHTS = np.linspace(0, 1, 21)


def fuse(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write rankings.parquet of the arm whose rankings `inputs["rank"]` has, fused with baseline `cfg.fusion`."""
    asked, cases = validation(cfg, inputs, cfg.evaluation.validation_users, "fuse")
    told, _ = answered(cfg, cases, asked, engine_of(cfg, inputs, folder), "fuse")
    known = worth(told), worth_by_baseline(cfg, inputs, asked)
    place = (np.array(asked["items"].to_list()) == asked["positive"].to_numpy()[:, None]).argmax(1)
    w, quality = learn(*known, place)

    test = read_rankings(inputs["rank"], cfg, inputs["split"])
    candidates = test.select("user", "positive", items="candidates")
    fused = w * worth(test) + (1 - w) * worth_by_baseline(cfg, inputs, candidates)
    name = f"{cfg.arm.method} + {cfg.fusion.name}"
    table = ranked_by(name, candidates, fused, seeds.generator(cfg.seed, "fuse.ties"))
    table.with_columns(test["completion"]).write_parquet(folder / "rankings.parquet")
    alone, answer = (fit.quality(part, place)[1] for part in known[::-1])
    said = f"{name}: weight of the answer {w:.2f}, by {len(place)} validation positives (NDCG {quality:.3f}; "
    said += f"{cfg.fusion.name} alone {alone:.3f}, the answer alone {answer:.3f})"
    return {"users": table.height, "weight": float(w), "notes": [said]}


def learn(told: NDArray, scored: NDArray, place: NDArray) -> tuple[float, float]:
    """The weight of `told` [n, k] beside `scored` [n, k] with the best NDCG of positives [n], and that; ties: less."""
    found = [fit.quality(w * told + (1 - w) * scored, place)[1] for w in WEIGHTS]
    best = int(np.argmax(found))
    return float(WEIGHTS[best]), found[best]


def worth(ranked: pl.DataFrame) -> NDArray[np.float64]:
    """1 / rank of each candidate [n, k] in a rankings table, 0 for those not ranked."""
    worths = np.zeros((ranked.height, len(ranked["candidates"][0]) if ranked.height else 0))
    for row, shown, order in zip(
        worths, ranked["candidates"].to_list(), ranked["ranking"].to_list(), strict=True
    ):
        rank = {item: 1 / n for n, item in enumerate(order, 1)}
        row[:] = [rank.get(item, 0.0) for item in shown]
    return worths


def worth_by_baseline(
    cfg: DictConfig, inputs: dict[str, Path], candidates: pl.DataFrame
) -> NDArray[np.float64]:
    """1 / rank of each candidate [n, k] by the baseline's scores, equals at random."""
    rng, spec = seeds.generator(cfg.seed, f"fuse.{cfg.fusion.name}"), cfg.fusion
    scores = scored(spec._target_, spec.params, inputs.get("fit"), inputs, candidates, rng)
    return worth(ranked_by(spec.name, candidates, scores, rng))
