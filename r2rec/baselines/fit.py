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
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray

from r2rec.base import processes, seeds, tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.base.errors import R2RecError
from r2rec.base.progress import Bar, note
from r2rec.base.workspace import Workspace
from r2rec.baselines.ratings import IdArray, Ratings, load_ratings
from r2rec.config import Fit
from r2rec.config.slices import FitSlice
from r2rec.data.candidates import Candidates

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.optim import Optimizer

    from r2rec.baselines.optimise import Optimizers
    from r2rec.baselines.recommender import Recommender

COLUMNS = ("epoch", "loss", "ndcg", "hr@1", "seconds")
WEIGHTS = "model.safetensors"
BUILT = "model.json"  # what the weights belong to: target, params, rating threshold
STATE = "state.pt"

Row = tuple[int, float, float, float, float]  # a value for each of COLUMNS


class Validation(NamedTuple):
    """Who decides when training stops: users, their candidates, and where the positives are."""

    users: IdArray  # [n]
    candidates: IdArray  # [n, k]
    positive_index: IdArray  # [n]

    def of_users(self, chosen: NDArray[np.bool_]) -> Self:
        """The rows of these users.

        Args:
            chosen: [users of the data set]
        """
        rows = chosen[self.users]
        return type(self)(self.users[rows], self.candidates[rows], self.positive_index[rows])


@dataclass
class Progress:
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
    from r2rec.llm.runtime import settle

    device = settle(work.hardware)
    built = built_of(choices)
    data = load_ratings(inputs["prepare"], inputs["split"], built["above"])
    state = work.folder / "checkpoints" / STATE
    validation = load_validation(inputs["split"])
    model, progress = best_model(choices, data, validation, device, state)
    save(model, built, work.folder)
    log = pl.DataFrame(progress.rows, schema=list(COLUMNS), orient="row")
    log.write_parquet(work.folder / "log.parquet")
    notes = []
    if not progress.since:
        epochs = choices.fit.epochs
        notes.append(f"validation still rose at baseline.fit.epochs={epochs}; raise it")
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, **_facts(log), "notes": notes}


def built_of(choices: FitSlice) -> dict[str, Any]:
    """What the weights of a model belong to, as `BUILT` has it."""
    above = None
    if choices.fit.likes_only:
        above = choices.positive_above
    return {"target": choices.target, "params": choices.params, "above": above}


def best_model(
    choices: FitSlice,
    data: Ratings,
    validation: Validation,
    device: "torch.device",
    state: Path,
    tracked: str = "fit",
) -> tuple["Recommender", Progress]:
    """Train a fresh model on `data`; it has the weights that ranked `validation` best.

    Args:
        state: File that an interrupted training goes on from.
        tracked: What trackers call this training.
    """
    import torch

    torch.manual_seed(seeds.integer(choices.seed, "fit.weights"))
    model = build_module(built_of(choices), data).to(device)
    progress = _train(model, choices, validation, state, tracked)
    model.load_state_dict(progress.weights)
    return model, progress


def _train(
    model: "Recommender", choices: FitSlice, validation: Validation, state: Path, tracked: str
) -> Progress:
    """Train until `patience` epochs brought nothing better; go on from `state` where it exists."""
    from r2rec.baselines.optimise import adam

    spec = choices.fit
    optimizer = adam(model, spec)
    users, candidates, positive_index = validation
    progress = _resumed(state, model, optimizer)
    done = len(progress.rows)
    bar = Bar("fit", spec.epochs, done)
    for epoch in range(done, spec.epochs):
        if progress.since >= spec.patience:
            break
        begin = time.perf_counter()
        loss = _train_epoch(model, optimizer, choices, epoch)
        seconds = time.perf_counter() - begin
        scores = model.eval().scores(users, candidates)
        # The same value in all processes: on GPUs each one's sum differs in the last digit.
        hit_ratio, ndcg = processes.broadcast(quality(scores, positive_index))
        row = (epoch, loss, ndcg, hit_ratio, seconds)
        progress.rows.append(row)
        tracking.log_step(tracked, epoch, dict(zip(COLUMNS, row, strict=True)))
        progress.since += 1
        if ndcg > progress.best:
            progress.since = 0
            progress.best = ndcg
            progress.weights = _copy(model)
        note(loss=loss, ndcg=ndcg, best=progress.best)
        bar.update()
        if processes.is_main():
            _save(state, model, optimizer, progress)
    bar.close()
    return progress


def _train_epoch(
    model: "Recommender", optimizer: "Optimizer | Optimizers", choices: FitSlice, epoch: int
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
    optimizer: "Optimizer | Optimizers",
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


def _save(
    state: Path, model: "Recommender", optimizer: "Optimizer | Optimizers", progress: Progress
) -> None:
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "run": dict(vars(progress)),
    }
    save_state(state, content)


def _resumed(state: Path, model: "Recommender", optimizer: "Optimizer | Optimizers") -> Progress:
    """The progress of an interrupted run, put into model and optimizer; else a fresh one."""
    saved = load_state(state, next(model.parameters()).device)
    if saved is None:
        return Progress(_copy(model))
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return Progress(**saved["run"])


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


def save(model: "Recommender", built: Mapping[str, Any], folder: Path) -> None:
    """Write weights, and what they belong to."""
    from safetensors.torch import save_model

    save_model(model, str(folder / WEIGHTS))
    (folder / BUILT).write_text(json.dumps(built))


def built_at(folder: Path) -> dict[str, Any]:
    """What the weights in a folder belong to."""
    built: dict[str, Any] = json.loads((folder / BUILT).read_text())
    return built


def load_fitted(folder: Path, data: Ratings) -> "Recommender":
    """The model that `save` left, on these ratings, ready to score."""
    import torch
    from safetensors.torch import load_model

    with torch.random.fork_rng(devices=[]):  # the fresh weights leave other random draws alone
        model = build_module(built_at(folder), data)
    load_model(model, str(folder / WEIGHTS))
    return model.eval()


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
    data = load_ratings(prepare, split, built_at(fitted)["above"], ratings)
    model = load_fitted(fitted, data)
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


def load_validation(split: Path) -> Validation:
    """The validation positives of all users, with their candidates."""
    table = pl.read_parquet(split / "validation_candidates.parquet")
    candidates = Candidates.of(table)
    users = candidates.users.astype(np.int64)
    items = candidates.items.astype(np.int64)
    return Validation(users, items, candidates.positive_index)
