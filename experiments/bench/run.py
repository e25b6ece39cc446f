"""Time the parts that matter, each beside a reference measured in the same run: `make bench`.

Absolute seconds are this machine's; ratios travel better. A bound that is missed is said, and is no failure.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import plain
import polars as pl
import world
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from r2rec import config
from r2rec.__main__ import CONF
from r2rec.base import seeds
from r2rec.chains import graph as graphs
from r2rec.chains import neighbours, samplers
from r2rec.chains.chain import load_graph
from r2rec.data.prepare import locate, prepare
from r2rec.data.split import split
from r2rec.evaluate.metrics import per_user, rank_by_score, summarise
from r2rec.prompts.answer import parse_ranking, render_completion
from r2rec.prompts.render import render_prompt
from r2rec.tasks import training as tasks
from r2rec.thoughts import template
from r2rec.thoughts.audit import audit
from r2rec.train import rewards

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("polars", "numpy", "scipy", "pandas", "hydra-core")
CHAINS, SAMPLE = 5, 100  # chains per user; users that the slow plain version serves
BARE = """import hydra


@hydra.main(version_base="1.3", config_path=None)
def main(cfg):
    pass


if __name__ == "__main__":
    main()
"""


class Setting(NamedTuple):
    """What the cases share."""

    cfg: DictConfig
    folder: Path  # temporary, this run's own
    repeats: int


class Row(NamedTuple):
    """A line of the table. `times` and `reference` are seconds of the same calls, taken in turn."""

    what: str
    count: int  # things done in one call
    times: list[float]
    against: str = ""
    reference: list[float] | None = None
    limit: float | None = None  # seconds allowed
    factor: float | None = None  # allowed reference / time: at least

    def ratio(self) -> float | None:
        """Reference over time, pair by pair, and of these the median: above 1 is faster than the reference."""
        if self.reference is None:
            return None
        return statistics.median(r / t for r, t in zip(self.reference, self.times, strict=True))

    def bounds(self) -> list[tuple[str, bool]]:
        """What is asked of this row, and whether it holds."""
        bounds = []
        if self.limit is not None:
            bounds.append((f"< {self.limit:g} s", statistics.median(self.times) < self.limit))
        if (ratio := self.ratio()) is not None and self.factor is not None:
            asked = (
                f">= {self.factor:g}x faster"
                if self.factor >= 1
                else f"<= {1 / self.factor:g}x slower"
            )
            bounds.append((asked, ratio >= self.factor))
        return bounds


def timed(repeats: int, *calls: Callable[[], Any]) -> list[list[float]]:
    """Seconds of each call, `repeats` times in turn (A B A B), after one of each that isn't counted."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, seconds in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
    return times


# The cases.


def data(this: Setting) -> Iterator[Row]:
    """Raw files to the seven tables of `prepare` and `split`, parquet written."""
    aside = this.folder / "plain"
    aside.mkdir(exist_ok=True)
    root = Path(this.cfg.dataset.root)
    ours, theirs = timed(
        this.repeats, lambda: _tables(this), lambda: plain.prepare_and_split(root, aside, 0)
    )
    yield Row("prepare + split", 1, ours, "pandas, loops over users", theirs, limit=2, factor=10)


def chains(this: Setting) -> Iterator[Row]:
    """Chains of all users; the graph is made before."""
    graph = load_graph(*_tables(this))
    users = np.flatnonzero(np.diff(graph.start))
    asked, sets = graphs.queries(graph, users), plain.Sets(graph)
    some = users[:: -(-len(users) // SAMPLE)].tolist()
    scale, n = len(users) / len(some), len(users) * CHAINS
    counted = f"counting in dicts, {len(some)} users x {scale:.1f}"

    def closed() -> samplers.Chains:
        return samplers.closed(graph, asked, CHAINS, np.random.default_rng(0))

    def enumerated() -> samplers.Chains:
        with patch.object(neighbours, "PAYS", 2):  # no proposal pays, so V(u) is enumerated
            return closed()

    def counting() -> list[plain.Chain]:
        return plain.closed_by_counting(sets, some, CHAINS, random.Random(0))

    ours, listed, theirs = timed(this.repeats, closed, enumerated, counting)
    theirs = [seconds * scale for seconds in theirs]
    yield Row("closed chains", n, ours, counted, theirs, limit=1, factor=50)
    yield Row("closed, enumeration only", n, listed, counted, theirs)
    every = users.tolist()
    again = timed(
        this.repeats,
        closed,
        lambda: plain.closed_by_proposal(sets, every, CHAINS, random.Random(0)),
    )
    yield Row("closed chains", n, again[0], "the same proposals in a loop", again[1])
    [ours] = timed(
        this.repeats, lambda: samplers.open_ended(graph, asked, CHAINS, np.random.default_rng(0))
    )
    yield Row("open chains", n, ours)


def prompts(this: Setting) -> Iterator[Row]:
    """Text: from cases to prompts, traces and rewards."""
    cfg, source = this.cfg, tasks.load_source(*_tables(this))
    made = tasks.ranking_tasks(
        source, tasks.targets(source, cfg).head(1000), cfg, seeds.generator(0, "bench")
    )
    cases, truth = [t.case for t in made], [t.truth for t in made]
    written = template.write_thoughts(cases, truth, 0)
    completions = (10 * [render_completion(*w) for w in written])[:10_000]
    n, some = len(cases), list(zip(cases, written, truth, strict=True))[:200]
    columns = {
        "positive": (10 * truth)[:10_000],
        "n_candidates": len(completions) * [len(cases[0].candidates)],
    }
    calls: dict[str, tuple[int, Callable[[], Any]]] = {
        "ranking prompts rendered": (
            n,
            lambda: [render_prompt(c, cfg.prompt, cfg.dataset.words) for c in cases],
        ),
        "template traces": (n, lambda: template.write_thoughts(cases, truth, 0)),
        "traces audited": (len(some), lambda: [audit(c, *w, t) for c, w, t in some]),
        "answers parsed": (len(completions), lambda: [parse_ranking(c, 20) for c in completions]),
        "rewards, step": (
            len(completions),
            lambda: rewards.step_reward(completions, low=4, high=12),
        ),
        "rewards, linear": (
            len(completions),
            lambda: rewards.linear_reward(completions, **columns),
        ),
    }
    for what, (count, call) in calls.items():
        yield Row(what, count, *timed(this.repeats, call))


def metrics(this: Setting) -> Iterator[Row]:
    """Rankings of 10,000 users to a record of metrics.json, 1,000 bootstrap resamples."""
    n, k, rng = 10_000, 20, np.random.default_rng(0)
    shown = rng.permuted(np.tile(np.arange(500, dtype=np.uint32), (n, 1)), axis=1)[:, :k]
    ranked = rank_by_score(rng.random((n, k)), shown, rng)
    table = pl.DataFrame(
        {"method": ["bench"] * n, "user": np.arange(n, dtype=np.uint32), "positive": shown[:, 0]}
    )
    table = table.with_columns(
        candidates=pl.Series(shown.tolist()), ranking=pl.Series(ranked.tolist()), valid=True
    )
    names = {
        "method": "bench",
        "variant": "",
        "dataset": "none",
        "train_dataset": "none",
        "seed": 0,
    }
    yield Row(
        "metrics with intervals",
        n,
        *timed(this.repeats, lambda: summarise(per_user(table), **names)),
    )


def help(this: Setting) -> Iterator[Row]:
    """The whole process; the reference is the smallest Hydra application."""
    bare = this.folder / "bare.py"
    bare.write_text(BARE)
    ours, theirs = timed(
        2 * this.repeats, lambda: _python("-m", "r2rec", "--help"), lambda: _python(bare, "--help")
    )
    yield Row("python -m r2rec --help", 1, ours, "bare Hydra app", theirs, factor=0.5)


def reuse(this: Setting) -> Iterator[Row]:
    """A whole run that finds every artefact made; the run that makes them is the warm-up."""
    store, out = this.folder / "artefacts", this.folder / "out"
    call = ("-m", "r2rec", "+experiment=smoke", f"artefacts={store}", f"hydra.run.dir={out}")
    yield Row("+experiment=smoke, all reused", 1, *timed(this.repeats, lambda: _python(*call)))


CASES: dict[str, Callable[[Setting], Iterator[Row]]] = {
    case.__name__: case for case in (data, chains, prompts, metrics, help, reuse)
}


def _tables(this: Setting) -> tuple[Path, Path]:
    """Folders that the stages `prepare` and `split` have just filled."""
    prepared, parts = this.folder / "prepare", this.folder / "split"
    prepared.mkdir(exist_ok=True)
    parts.mkdir(exist_ok=True)
    prepare(this.cfg, locate(this.cfg.dataset, this.folder), prepared)
    split(this.cfg, {"prepare": prepared}, parts)
    return prepared, parts


def _python(*words: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"error: python {' '.join(map(str, words))} failed: {done.stderr.strip()[-500:]}")


# The frame around them.


def machine() -> str:
    load = (
        f", load {os.getloadavg()[0]:.1f} before the first case"
        if hasattr(os, "getloadavg")
        else ""
    )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores ({platform.machine()}){load}; Python {platform.python_version()}, {packages}"


def ratings(given: Path | None, users: int | None, folder: Path) -> tuple[Path, str]:
    """The folder with ratings.dat, and what it holds in words: real ratings if found, else generated ones."""
    base = given or Path(os.environ.get("R2REC_DATA") or ROOT.parent / "shared" / "data")
    for place in (base, base / "ml-1m-part"):
        if users is None and (place / "ratings.dat").is_file():
            return (
                place,
                "MovieLens-1M, users 1-2999"
                if place.name == "ml-1m-part"
                else f"ratings of {place}",
            )
    if given:
        sys.exit(
            f"error: no ratings.dat in {given} or its ml-1m-part: name a folder with MovieLens-1M's files"
        )
    made = folder / "raw"
    made.mkdir()
    world.write(made, users or world.USERS)
    return (
        made,
        f"GENERATED ratings of {users or world.USERS:,} users{'' if users else ': no real data found'}",
    )


def configured(root: Path) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(
            "config", overrides=["dataset=ml_1m", f"dataset.root={json.dumps(str(root))}"]
        )


def record(case: str, row: Row) -> dict[str, Any]:
    return {
        "case": case, "what": row.what, "count": row.count, "min_s": min(row.times),
        "median_s": statistics.median(row.times), "repeats": len(row.times), "reference": row.against or None,
        "reference_s": statistics.median(row.reference) if row.reference else None, "ratio": row.ratio(),
        "bounds": dict(row.bounds()),
    }  # fmt: skip


def line(case: str, row: Row) -> list[str]:
    """The cells of a row."""
    middle, ratio, many = statistics.median(row.times), row.ratio(), row.count > 1
    cells = [
        case,
        row.what,
        f"{row.count:,}" if many else "",
        _seconds(min(row.times)),
        _seconds(middle),
    ]
    cells.append(f"{middle / row.count * 1e6:,.1f}" if many else "")
    cells.append(_seconds(statistics.median(row.reference)) if row.reference else "")
    cells += [_ratio(ratio) if ratio else "", row.against]
    return [*cells, ", ".join(text if holds else f"{text} MISSED" for text, holds in row.bounds())]


HEAD = [
    "case",
    "what",
    "count",
    "min",
    "median",
    "us each",
    "reference",
    "ratio",
    "the reference is",
    "asked for",
]
WIDTHS = [8, 30, 7, 9, 9, 8, 9, 13, 38, 0]
LEFT = {0, 1, 8, 9}


def show(cells: list[str]) -> None:
    padded = (
        c.ljust(w) if n in LEFT else c.rjust(w)
        for n, (c, w) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    print("  ".join(padded).rstrip(), flush=True)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"


def _ratio(ratio: float) -> str:
    return f"{ratio:.3g}x faster" if ratio >= 1 else f"{1 / ratio:.3g}x slower"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "data", type=Path, nargs="?", help="folder with ratings.dat; default: $R2REC_DATA"
    )
    parser.add_argument(
        "--only", metavar="NAME", action="append", choices=CASES, help=f"one of {', '.join(CASES)}"
    )
    parser.add_argument(
        "--users", type=int, metavar="N", help="generate ratings of N users, whatever data is there"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="timed calls of each case; default 5"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, origin = ratings(args.data, args.users, Path(name))
        facts = {"machine": machine(), "data": origin}
        print(*(f"{key}: {value}" for key, value in facts.items()), "", sep="\n")
        this, records = Setting(configured(root), Path(name), args.repeats), []
        show(HEAD)
        for case in args.only or CASES:
            for row in CASES[case](this):
                show(line(case, row))
                records.append(record(case, row))
    if args.json:
        args.json.write_text(json.dumps(facts | {"rows": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
