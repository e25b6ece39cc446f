"""Seconds an epoch of every classical model, and SASRec and LightGCN beside their plain versions of the same sizes.

    python experiments/bench/baselines.py FOLDER [--epochs 3] [--threads 2]      # FOLDER: MovieLens-1M's files

Ours and the plain version take turns. Ours includes drawing its batches; the plain one gets them ready made.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import plain_models as plain
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from r2rec import config, pipeline
from r2rec.__main__ import CONF
from r2rec.baselines.fit import build_module
from r2rec.baselines.ratings import Ratings, load_ratings

MODELS = ("graphsage", "ngcf", "lightgcn", "caser", "gru4rec", "sasrec")
SIZES = {  # where ours is compared: those of the published code
    "sasrec": ({"dim": 50, "length": 200, "blocks": 2, "heads": 1, "dropout": 0.2}, 128),
    "lightgcn": ({"dim": 64, "layers": 3}, 2048),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as name:
        data, shown = prepared(given.folder, Path(name))
    print(
        f"{len(data.item):,} train ratings, {data.n_users:,} users, {data.n_items:,} items; {given.threads} threads"
    )
    for name in MODELS:
        cfg = composed(f"baseline={name}").baseline
        params: Any = OmegaConf.to_container(cfg.params)
        model, epoch = ours(data, cfg, params, cfg.fit.batch_size)
        seconds = [timed(epoch) for _ in range(given.epochs)]
        users = np.arange(len(shown))
        scoring = min(timed(lambda m=model, u=users: m.eval().scores(u, shown)) for _ in range(3))
        drawn = f"{cfg.fit.loss} with {cfg.fit.negatives or 'all'} negatives"
        print(f"{name:10} {statistics.median(seconds):6.2f} s an epoch, batches of {cfg.fit.batch_size}, {drawn}; "
              f"{scoring:.3f} s to score {len(shown):,} x 20; {heaviest(epoch)}", flush=True)  # fmt: skip
    for name, (params, size) in SIZES.items():
        _, epoch = ours(data, composed(f"baseline={name}").baseline, params, size)
        reference = theirs(data, name, params, size)
        pairs = [(timed(epoch), timed(reference)) for _ in range(given.epochs)]
        ratio = statistics.median(b / a for a, b in pairs)
        a, b = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(
            f"{name:10} {a:6.2f} s an epoch at {params}, batches of {size}; plain {b:.2f} s: {ratio:.2f}x faster"
        )


def prepared(folder: Path, aside: Path) -> tuple[Ratings, np.ndarray]:
    """Train ratings, and 20 items for each of 1,000 users, or of all where there are fewer."""
    cfg = composed("dataset=ml_1m", f"dataset.root={folder}", f"artefacts={aside}", "until=split")
    pipeline.run(cfg, aside / "run", say=lambda line: None)
    made = {path.parent.name: path for path in aside.glob("*/*") if path.is_dir()}
    data = load_ratings(made["prepare"], made["split"])
    return data, np.random.default_rng(0).integers(0, data.n_items, (min(1000, data.n_users), 20))


def composed(*overrides: str) -> Any:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def ours(
    data: Ratings, cfg: Any, params: dict[str, Any], size: int
) -> tuple[Any, Callable[[], None]]:
    model = build_module({"target": cfg._target_, "params": params}, data)
    draw, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    step = stepped(model, lambda batch: model(batch, cfg.fit.loss, cfg.fit.negatives, draw))
    return model, lambda: step(model.batches(size, rng))


def theirs(data: Ratings, name: str, params: dict[str, Any], size: int) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    if name == "sasrec":
        model: torch.nn.Module = plain.PlainSASRec(data, **params)
        batches: list = plain.sasrec_epoch(data, params["length"], size, rng)
    else:
        model, batches = (
            plain.PlainLightGCN(data, **params),
            list(plain.lightgcn_epoch(data, size, rng)),
        )
    step = stepped(model, lambda batch: model(*batch))
    return lambda: step(batches)


def stepped(model: torch.nn.Module, loss: Callable[[Any], Any]) -> Callable[[Iterable], None]:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch(batches: Iterable) -> None:
        model.train()
        for batch in batches:
            loss(batch).backward()
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def heaviest(call: Callable[[], None], n: int = 3) -> str:
    """The operations that most of a call's time is spent in, with their shares."""
    with torch.profiler.profile() as seen:
        call()
    by = sorted(seen.key_averages(), key=lambda op: -op.self_cpu_time_total)
    whole = sum(op.self_cpu_time_total for op in by)
    return ", ".join(
        f"{op.key.removeprefix('aten::')} {op.self_cpu_time_total / whole:.0%}" for op in by[:n]
    )


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
