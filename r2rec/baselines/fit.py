"""Stage `fit`: one training loop for every classical model, with early stopping.

It stops where NDCG on the validation positives no longer rises, and keeps the best weights. Every
epoch draws from a seed of its own, so an interrupted run goes on exactly as it would have. These
models are small: each process has a whole one, in float32, however `hardware` shards a language
model.
"""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray

from r2rec.base import processes, seeds, tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.baselines.ratings import IdArray, Ratings, load_ratings
from r2rec.config import Fit
from r2rec.config.slices import FitSlice
from r2rec.data.candidates import Candidates

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from r2rec.baselines.recommender import Recommender

COLUMNS = ("epoch", "loss", "ndcg", "hr@1", "seconds")
WEIGHTS = "model.safetensors"
BUILT = "model.json"  # what the weights belong to: target, params, rating threshold
STATE = "state.pt"

Row = tuple[int, float, float, float, float]  # a value for each of COLUMNS


@dataclass
class _Progress:
    """How far training has come."""

    weights: dict[str, Any]  # the best so far
    best: float = -1.0  # their validation NDCG
    since: int = 0  # epochs since then
    rows: list[Row] = field(default_factory=list)


def fit(choices: FitSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write the best weights, model.json and log.parquet (a row per epoch, see `COLUMNS`).

    Raises:
        R2RecError: The train ratings hold nothing to learn from.
    """
    import torch
    from safetensors.torch import save_model

    from r2rec.llm.runtime import settle

    device = settle(work.hardware)
    above = None
    if choices.fit.likes_only:
        above = choices.positive_above
    built = {"target": choices.target, "params": choices.params, "above": above}
    data = load_ratings(inputs["prepare"], inputs["split"], above)
    torch.manual_seed(seeds.integer(choices.seed, "fit.weights"))
    model = build_module(built, data).to(device)
    progress = _train(model, choices, inputs["split"], work.folder / "checkpoints" / STATE)
    model.load_state_dict(progress.weights)
    save_model(model, str(work.folder / WEIGHTS))
    (work.folder / BUILT).write_text(json.dumps(built))
    log = pl.DataFrame(progress.rows, schema=list(COLUMNS), orient="row")
    log.write_parquet(work.folder / "log.parquet")
    notes = []
    if not progress.since:
        epochs = choices.fit.epochs
        notes.append(f"validation still rose at baseline.fit.epochs={epochs}; raise it")
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, **_facts(log), "notes": notes}


def _train(model: "Recommender", choices: FitSlice, split: Path, state: Path) -> _Progress:
    """Train until `patience` epochs brought nothing better; go on from `state` where it exists."""
    import torch
    from tqdm import tqdm

    spec = choices.fit
    optimizer = torch.optim.Adam(
        model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    users, candidates, positive_index = _validation(split)
    progress = _resumed(state, model, optimizer)
    done = len(progress.rows)
    bar = tqdm(total=spec.epochs, initial=done, desc="fit", leave=False, disable=None)
    for epoch in range(done, spec.epochs):
        begin = time.perf_counter()
        loss = _train_epoch(model, optimizer, choices, epoch)
        seconds = time.perf_counter() - begin
        scores = model.eval().scores(users, candidates)
        # The same value in all processes: on GPUs each one's sum differs in the last digit.
        hit_ratio, ndcg = processes.broadcast(quality(scores, positive_index))
        row = (epoch, loss, ndcg, hit_ratio, seconds)
        progress.rows.append(row)
        tracking.log_step("fit", epoch, dict(zip(COLUMNS, row, strict=True)))
        progress.since += 1
        if ndcg > progress.best:
            progress.since = 0
            progress.best = ndcg
            progress.weights = _copy(model)
        bar.update()
        bar.set_postfix(ndcg=round(ndcg, 3), best=round(progress.best, 3), refresh=False)
        if processes.is_main():
            _save(state, model, optimizer, progress)
        if progress.since >= spec.patience:
            break
    bar.close()
    return progress


def _train_epoch(
    model: "Recommender", optimizer: "Optimizer", choices: FitSlice, epoch: int
) -> float:
    """Train on all examples once; the mean loss of the batches."""
    import torch

    losses = _epoch(model, optimizer, choices.fit, choices.seed, epoch)
    if not losses:
        raise R2RecError(
            f"baseline={choices.name} finds nothing to learn: no user has two train ratings"
        )
    return float(torch.stack(losses).mean().item())


def _epoch(
    model: "Recommender",
    optimizer: "Optimizer",
    spec: Fit,
    seed: int,
    epoch: int,
) -> list["Tensor"]:
    """Train on all batches once; their losses.

    Small data come in smaller batches: in a few large ones an epoch would move nothing.
    """
    import torch

    rng = seeds.generator(seed, f"fit.{epoch}")
    epoch_seed = seeds.integer(seed, f"fit.{epoch}")
    torch.manual_seed(epoch_seed)
    negative_generator = torch.Generator().manual_seed(epoch_seed)
    device = next(model.parameters()).device
    for_least_steps = math.ceil(model.examples / spec.least_steps)
    batch_size = max(1, min(spec.batch_size, for_least_steps))
    losses = []
    model.train()
    for batch in model.batches(batch_size, rng):
        on_device = tuple(part.to(device) for part in processes.own_part(batch))
        loss: Tensor = model(on_device, spec.loss, spec.negatives, negative_generator)
        torch.autograd.backward(loss)
        processes.average(p.grad for p in model.parameters() if p.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return losses


def _save(state: Path, model: "Recommender", optimizer: "Optimizer", progress: _Progress) -> None:
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "run": dict(vars(progress)),
    }
    save_state(state, content)


def _resumed(state: Path, model: "Recommender", optimizer: "Optimizer") -> _Progress:
    """The progress of an interrupted run, put into model and optimizer; else a fresh one."""
    saved = load_state(state, next(model.parameters()).device)
    if saved is None:
        return _Progress(_copy(model))
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return _Progress(**saved["run"])


def _copy(model: "Recommender") -> dict[str, Any]:
    weights = {}
    for name, value in model.state_dict().items():
        weights[name] = value.detach().clone()
    return weights


def _facts(log: pl.DataFrame) -> dict[str, Any]:
    best = log.sort("ndcg", descending=True, maintain_order=True).row(0, named=True)
    return {
        "epochs": log.height,
        "best_epoch": best["epoch"],
        "validation_ndcg": best["ndcg"],
        "validation_hr@1": best["hr@1"],
        "seconds_per_epoch": log["seconds"].median(),
    }


def build_module(built: Mapping[str, Any], data: Ratings) -> "Recommender":
    """The module that `target` and `params` name, with fresh weights."""
    module: Recommender = get_method(built["target"])(data, **built["params"])
    return module


def scores_by_fitted_model(
    fitted: Path,
    prepare: Path,
    split: Path,
    users: IdArray,
    candidates: IdArray,
    ratings: Path | None = None,
) -> NDArray[np.float32]:
    """Scores [n, k] of candidates [n, k] by the model that stage `fit` wrote to `fitted`.

    Args:
        ratings: The table that its histories or edges come from (`told_table`); None: train.
    """
    from safetensors.torch import load_model

    built = json.loads((fitted / BUILT).read_text())
    data = load_ratings(prepare, split, built["above"], ratings)
    model = build_module(built, data)
    load_model(model, str(fitted / WEIGHTS))
    model.eval()
    return model.scores(users.astype(np.int64), candidates.astype(np.int64))


def quality(scores: NDArray[np.floating[Any]], positive_index: IdArray) -> tuple[float, float]:
    """HR@1 and NDCG of scores [n, k], with one relevant candidate each, at `positive_index` [n].

    A positive whose score is tied takes the middle of the tied ranks.
    """
    positive = np.take_along_axis(scores, positive_index[:, None], axis=1)
    above = (scores > positive).sum(axis=1)
    tied = (scores == positive).sum(axis=1)  # itself included
    rank = above + (tied + 1) / 2
    hit_ratio = float((rank == 1).mean())
    ndcg = float((1 / np.log2(rank + 1)).mean())
    return hit_ratio, ndcg


def _validation(split: Path) -> tuple[IdArray, IdArray, IdArray]:
    """Users [n], candidates [n, k], and where among these the positive is [n]."""
    table = pl.read_parquet(split / "validation_candidates.parquet")
    candidates = Candidates.of(table)
    users = candidates.users.astype(np.int64)
    items = candidates.items.astype(np.int64)
    return users, items, candidates.positive_index
