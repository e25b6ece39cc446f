"""Stage `fit`: one training loop for every classical model, stopped where validation positives stop rising.

A model is a torch module `(data, **params)` with `examples` (how many there are), `batches` (one epoch of them),
`forward` (the loss of a batch) and `scores`.
Every epoch draws from a seed of its own, so a killed run goes on exactly as it would have.
These models are small: each process has a whole one, in float32, however `hardware` shares out a language model.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from r2rec.base import processes, seeds, tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.base.errors import R2RecError
from r2rec.baselines.ratings import Ratings, load_ratings

COLUMNS = ("epoch", "loss", "ndcg", "hr@1", "seconds")
WEIGHTS, BUILT, STATE = "model.safetensors", "model.json", "state.pt"


def fit(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write the best weights, what they belong to, and log.parquet: epoch, loss, validation ndcg and hr@1, seconds."""
    import torch
    from safetensors.torch import save_model
    from tqdm import tqdm

    from r2rec.llm.runtime import settle

    spec, device = cfg.baseline.fit, settle(cfg.hardware)
    built = {
        "target": cfg.baseline._target_,
        "params": OmegaConf.to_container(cfg.baseline.params, resolve=True),
        "above": cfg.evaluation.positive_above if spec.likes_only else None,
    }
    data = load_ratings(inputs["prepare"], inputs["split"], built["above"])
    torch.manual_seed(seeds.integer(cfg.seed, "fit.weights"))
    model = build_module(built, data).to(device)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay
    )
    users, shown, place = _validation(inputs["split"])
    run: dict[str, Any] = {"rows": [], "best": -1.0, "since": 0, "weights": _copy(model)}
    state = folder / "checkpoints" / STATE
    run = _resumed(state, model, optimizer, device) or run
    bar = tqdm(total=spec.epochs, initial=len(run["rows"]), desc="fit", leave=False, disable=None)
    for epoch in range(len(run["rows"]), spec.epochs):
        begin = time.perf_counter()
        losses = _epoch(model, optimizer, spec, cfg.seed, epoch)
        if not losses:
            raise R2RecError(
                f"baseline={cfg.baseline.name} finds nothing to learn: no user has two train ratings"
            )
        seconds = time.perf_counter() - begin
        hit, ndcg = processes.broadcast(quality(model.eval().scores(users, shown), place))
        run["rows"].append((epoch, torch.stack(losses).mean().item(), ndcg, hit, seconds))
        tracking.log_step("fit", epoch, dict(zip(COLUMNS, run["rows"][-1], strict=True)))
        better = ndcg > run["best"]
        run["since"] = 0 if better else run["since"] + 1
        if better:
            run |= {"best": ndcg, "weights": _copy(model)}
        bar.update()
        bar.set_postfix(ndcg=f"{ndcg:.3f}", best=f"{run['best']:.3f}", refresh=False)
        if processes.is_main():
            save_state(
                state,
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "run": run},
            )
        if run["since"] >= spec.patience:
            break
    bar.close()
    model.load_state_dict(run["weights"])
    save_model(model, str(folder / WEIGHTS))
    (folder / BUILT).write_text(json.dumps(built))
    facts = _written(run, folder)
    rose = (
        []
        if run["since"]
        else [f"validation still rose at baseline.fit.epochs={spec.epochs}; give more"]
    )
    return {"parameters": sum(p.numel() for p in model.parameters()), **facts, "notes": rose}


def _epoch(model: Any, optimizer: Any, spec: DictConfig, seed: int, epoch: int) -> list[Any]:
    """Train on all batches once; their losses. Small data come in smaller batches, or an epoch would move nothing."""
    import torch

    rng, own = seeds.generator(seed, f"fit.{epoch}"), seeds.integer(seed, f"fit.{epoch}")
    torch.manual_seed(own)
    draw = torch.Generator().manual_seed(own)  # of negatives
    losses, device = [], next(model.parameters()).device
    size = max(1, min(spec.batch_size, -(-model.examples // spec.least_steps)))
    model.train()
    for batch in model.batches(size, rng):
        on_device = tuple(part.to(device) for part in processes.own_part(batch))
        loss = model(on_device, spec.loss, spec.negatives, draw)
        loss.backward()
        processes.average(p.grad for p in model.parameters() if p.grad is not None)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach())
    return losses


def _resumed(state: Path, model: Any, optimizer: Any, device: Any) -> dict[str, Any] | None:
    """Go on from what a killed run kept, if it did; what it had found."""
    if (saved := load_state(state, device)) is None:
        return None
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["run"]


def _written(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Leave log.parquet; what it comes to."""
    log = pl.DataFrame(run["rows"], schema=list(COLUMNS), orient="row")
    log.write_parquet(folder / "log.parquet")
    best = log.sort("ndcg", descending=True, maintain_order=True).row(0, named=True)
    return {
        "epochs": log.height,
        "best_epoch": best["epoch"],
        "validation_ndcg": best["ndcg"],
        "validation_hr@1": best["hr@1"],
        "seconds_per_epoch": log["seconds"].median(),
    }


def build_module(built: dict[str, Any], data: Ratings):  # type: ignore[no-untyped-def]
    """The module that `target` and `params` name, with fresh weights."""
    return get_method(built["target"])(data, **built["params"])


def scores_by_fitted_model(
    fitted: Path, prepare: Path, split: Path, users: NDArray, shown: NDArray
) -> NDArray[np.float32]:
    """Scores [n, k] of candidates [n, k] by the weights that `fit` left."""
    from safetensors.torch import load_model

    built = json.loads((fitted / BUILT).read_text())
    model = build_module(built, load_ratings(prepare, split, built["above"]))
    load_model(model, str(fitted / WEIGHTS))
    return model.eval().scores(users.astype(np.int64), shown.astype(np.int64))


def quality(scores: NDArray, place: NDArray) -> tuple[float, float]:
    """HR@1 and NDCG over all candidates; equal scores take the middle of their ranks."""
    own = np.take_along_axis(scores, place[:, None], 1)
    rank = (scores > own).sum(1) + ((scores == own).sum(1) + 1) / 2
    return float((rank == 1).mean()), float((1 / np.log2(rank + 1)).mean())


def _validation(split: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Users [n], candidates [n, k], and the place of the positive [n]."""
    table = pl.read_parquet(split / "validation_candidates.parquet")
    shown = np.array(table["items"].to_list(), np.int64)
    place = (shown == table["positive"].to_numpy()[:, None]).argmax(1)
    return table["user"].to_numpy().astype(np.int64), shown, place


def _copy(model: Any) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
