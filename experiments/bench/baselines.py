"""Seconds per epoch of every classical model; SASRec and LightGCN also against plain versions.

    python experiments/bench/baselines.py FOLDER [--epochs 3] [--threads 2]

FOLDER holds the files of MovieLens-1M. Ours and the plain version take turns, at the same sizes.
Our time includes drawing the batches; the plain version gets ready-made ones.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import plain_models as plain
import torch
from composing import artefacts, composed
from numpy.typing import NDArray
from timing import Row
from timing import timed as in_turns

from r2rec.baselines.fit import build_module
from r2rec.baselines.ratings import Ratings, load_ratings
from r2rec.config import Baseline
from r2rec.execution.rules import checked_config

Epoch = Callable[[], None]

MODELS = ("graphsage", "ngcf", "lightgcn", "caser", "gru4rec", "sasrec")
PUBLISHED_SIZES = {  # params and batch size of the published code
    "sasrec": ({"dim": 50, "length": 200, "blocks": 2, "heads": 1, "dropout": 0.2}, 128),
    "lightgcn": ({"dim": 64, "layers": 3}, 2048),
}
COMPARED = {  # batches of an epoch that `rows` times, and how much faster ours is to be
    "sasrec": (10, 2.0),
    "lightgcn": (10, 4.0),
}
SCORED_USERS = 1000
CANDIDATES = 20
SCORINGS = 3  # the fastest counts
HEAVIEST = 3  # operations that are named


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        data = train_ratings(args.folder, Path(name))
    print(
        f"{len(data.item):,} train ratings, {data.n_users:,} users, {data.n_items:,} items; "
        f"{args.threads} threads"
    )
    for name in MODELS:
        time_model(name, data, args.epochs)
    for name, (params, batch_size) in PUBLISHED_SIZES.items():
        compare_with_plain(name, data, params, batch_size, args.epochs)


def time_model(name: str, data: Ratings, epochs: int) -> None:
    """Print seconds per epoch, seconds to score, and the heaviest operations."""
    baseline = configured(name)
    fit = baseline.fit
    model, epoch = our_epoch(data, baseline, baseline.params, fit.batch_size)
    seconds = [timed(epoch) for _ in range(epochs)]
    candidates = random_candidates(data)
    users = np.arange(len(candidates))

    def score() -> None:
        model.eval().scores(users, candidates)

    scoring = min(timed(score) for _ in range(SCORINGS))
    negatives = fit.negatives or "all"
    print(
        f"{name:10} {statistics.median(seconds):6.2f} s an epoch, batches of {fit.batch_size}, "
        f"{fit.loss} with {negatives} negatives; {scoring:.3f} s to score "
        f"{len(candidates):,} x {CANDIDATES}; {heaviest_operations(epoch)}",
        flush=True,
    )


def compare_with_plain(
    name: str, data: Ratings, params: dict[str, Any], batch_size: int, epochs: int
) -> None:
    """Print seconds per epoch of our model and of the plain one, both with these sizes."""
    _, ours = our_epoch(data, configured(name), params, batch_size)
    reference = plain_epoch(data, name, params, batch_size)
    our_seconds = []
    plain_seconds = []
    ratios = []
    for _ in range(epochs):
        our_seconds.append(timed(ours))
        plain_seconds.append(timed(reference))
        ratios.append(plain_seconds[-1] / our_seconds[-1])
    print(
        f"{name:10} {statistics.median(our_seconds):6.2f} s an epoch at {params}, "
        f"batches of {batch_size}; plain {statistics.median(plain_seconds):.2f} s: "
        f"{statistics.median(ratios):.2f}x faster"
    )


def rows(prepared: Path, parts: Path, repeats: int) -> Iterator[Row]:
    """For the table of `run.py`: the first batches of an epoch, ours and those of plain versions.

    Args:
        prepared: Folder of the artefact of stage `prepare`.
        parts: Folder of the artefact of stage `split`.
    """
    data = load_ratings(prepared, parts)
    for name, (params, batch_size) in PUBLISHED_SIZES.items():
        n_batches, min_ratio = COMPARED[name]
        _, ours = our_epoch(data, configured(name), params, batch_size, n_batches)
        reference = plain_epoch(data, name, params, batch_size, n_batches)
        times, plain_times = in_turns(repeats, ours, reference)
        what = f"{name}, batches of {batch_size:,}"
        yield Row(what, n_batches, times, "plain PyTorch", plain_times, min_ratio=min_ratio)


def train_ratings(raw: Path, folder: Path) -> Ratings:
    """The train ratings of MovieLens-1M's files in `raw`."""
    cfg = composed("dataset=ml_1m", f"dataset.root={raw}")
    inputs = artefacts(cfg, folder / "store", folder / "run", until="split")
    return load_ratings(inputs["prepare"], inputs["split"])


def random_candidates(data: Ratings) -> NDArray[np.int64]:
    """20 random items for each of 1,000 users, or of all users if there are fewer."""
    n_users = min(SCORED_USERS, data.n_users)
    return np.random.default_rng(0).integers(0, data.n_items, (n_users, CANDIDATES))


def configured(name: str) -> Baseline:
    """The baseline as its YAML file has it."""
    return checked_config(composed(f"baseline={name}")).baseline


def our_epoch(
    data: Ratings,
    baseline: Baseline,
    params: dict[str, Any],
    batch_size: int,
    n_batches: int | None = None,
) -> tuple[Any, Epoch]:
    """Our model, and a function that trains it for an epoch, or for its first batches."""
    model = build_module({"target": baseline._target_, "params": params}, data)
    negative_generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    fit = baseline.fit

    def loss(batch: Any) -> torch.Tensor:
        return model(batch, fit.loss, fit.negatives, negative_generator)

    train = trainer(model, loss)
    return model, lambda: train(islice(model.batches(batch_size, rng), n_batches))


def plain_epoch(
    data: Ratings,
    name: str,
    params: dict[str, Any],
    batch_size: int,
    n_batches: int | None = None,
) -> Epoch:
    """A function that trains the plain model for an epoch, always on the same batches."""
    rng = np.random.default_rng(0)
    model: torch.nn.Module
    if name == "sasrec":
        model = plain.PlainSASRec(data, **params)
        batches = plain.sasrec_epoch(data, params["length"], batch_size, rng)
    else:
        model = plain.PlainLightGCN(data, **params)
        batches = list(plain.lightgcn_epoch(data, batch_size, rng))
    train = trainer(model, lambda batch: model(*batch))
    return lambda: train(islice(batches, n_batches))


def trainer(
    model: torch.nn.Module, loss: Callable[[Any], torch.Tensor]
) -> Callable[[Iterable[Any]], None]:
    """A function that trains `model` on batches."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train(batches: Iterable[Any]) -> None:
        model.train()
        for batch in batches:
            loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()

    return train


def heaviest_operations(call: Callable[[], None]) -> str:
    """The operations with the largest shares of a call's time, such as "addmm 20%"."""
    with torch.profiler.profile() as profile:
        call()
    operations = sorted(profile.key_averages(), key=lambda op: -op.self_cpu_time_total)
    total = sum(op.self_cpu_time_total for op in operations)
    shares = []
    for operation in operations[:HEAVIEST]:
        name = operation.key.removeprefix("aten::")
        shares.append(f"{name} {operation.self_cpu_time_total / total:.0%}")
    return ", ".join(shares)


def timed(call: Callable[[], None]) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
