"""Steps of the fitted baselines at the size of Amazon Books: what an epoch would take.

    python experiments/bench/steps.py [--ratings 3000000 30000000] [--steps 10] [--models sasrec]

For each size, reviews are generated (`shop.py`), prepared and split. Then each model trains for a
few steps with the settings of its YAML file; seconds of CPU and peak memory are of this process.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shop
import torch
from baselines import configured
from composing import artefacts, composed
from scale import quoted

from r2rec.base.memory import peak_memory_mb, reset_peak_memory
from r2rec.baselines.fit import build_module
from r2rec.baselines.optimise import adam
from r2rec.baselines.ratings import Ratings, load_ratings

MODELS = ("sasrec", "gru4rec", "lightgcn")


class Epoch(NamedTuple):
    """What an epoch would take."""

    step_seconds: float  # of CPU, the median
    steps: int
    peak_mb: float

    def seconds(self) -> float:
        return self.step_seconds * self.steps


def generated(ratings: int, folder: Path) -> Ratings:
    """The train ratings of generated reviews."""
    shop.write(folder, ratings)
    cfg = composed(
        "dataset=amazon", f"dataset.category={shop.CATEGORY}", f"dataset.root={quoted(folder)}"
    )
    inputs = artefacts(cfg, folder / "store", folder / "run", until="split")
    return load_ratings(inputs["prepare"], inputs["split"])


def epoch(name: str, data: Ratings, steps: int) -> Epoch:
    """Train for some steps; the first isn't counted."""
    reset_peak_memory()
    baseline = configured(name)
    fit = baseline.fit
    model = build_module({"target": baseline._target_, "params": baseline.params}, data)
    optimizer = adam(model, fit)
    draw = torch.Generator().manual_seed(0)
    seconds = []
    model.train()
    batches: Iterator[Any] = model.batches(fit.batch_size, np.random.default_rng(0))
    for batch in islice(batches, steps + 1):
        begin = time.process_time()
        torch.autograd.backward(model(batch, fit.loss, fit.negatives, draw))
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.process_time() - begin)
    n_steps = -(-model.examples // fit.batch_size)
    return Epoch(statistics.median(seconds[1:] or seconds), n_steps, peak_memory_mb())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ratings", type=int, nargs="+", default=[3_000_000], metavar="N")
    parser.add_argument("--steps", type=int, default=10, metavar="N")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS, metavar="NAME")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    args = parser.parse_args()
    first: dict[str, float] = {}
    for ratings in args.ratings:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            data = generated(ratings, Path(folder))
        print(f"{len(data.item):,} train ratings, {data.n_users:,} users, {data.n_items:,} items")
        for name in args.models:
            took = epoch(name, data, args.steps)
            per_rating = took.seconds() / len(data.item)
            least = first.setdefault(name, per_rating)
            print(
                f"{name:10} {took.step_seconds:8.3f} s a step, {took.steps:,} steps, "
                f"{took.seconds():,.0f} s an epoch, {took.peak_mb:,.0f} MB, "
                f"{per_rating / least:.2f} x linear",
                flush=True,
            )


if __name__ == "__main__":
    main()
