"""Raw files to chains at the size of Amazon Books: `make bench-scale`.

For each size, reviews are generated (`shop.py`) and `python -m r2rec ... until=chain` runs on them
in a process of its own, with 1,000 evaluated users. Seconds and peak memory of the stages come from
the run's manifest. Takes minutes and gigabytes, so it is not part of CI.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import shop
from run import ROOT
from timing import machine

SIZES = (3_000_000, 30_000_000)  # ratings
MAX_SAMPLER_MB = 4 * 1024
MAX_PEAK_MB = 12 * 1024
MAX_GROWTH = 1.3  # time of the largest size over linear growth from the smallest


class Run(NamedTuple):
    """What a run took."""

    ratings: int
    stages: dict[str, dict[str, Any]]  # from the run's manifest
    seconds: float  # of the whole process, with its start and the checksums of the raw files
    cpu_seconds: float
    peak_mb: float  # the largest of all stages

    def stage_seconds(self) -> float:
        return sum(stage["seconds"] for stage in self.stages.values())


def measured(ratings: int, folder: Path, users: int, sampler: str = "closed") -> Run:
    """Generate reviews, run on them, read the manifest.

    Args:
        folder: An empty folder.
        users: Evaluated users.
        sampler: A member of `chain_sampler`.
    """
    begin = time.perf_counter()
    shop.write(folder, ratings)
    seconds = time.perf_counter() - begin
    gigabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
    print(
        f"{ratings:,} ratings generated in {seconds:.0f} s, {gigabytes:.2f} GB packed", flush=True
    )
    command = [
        sys.executable,
        "-m",
        "r2rec",
        "dataset=amazon",
        f"dataset.category={shop.CATEGORY}",
        f"dataset.root={quoted(folder)}",
        f"evaluation.users={users}",
        f"chain_sampler={sampler}",
        "until=chain",
        f"artefacts={quoted(folder / 'artefacts')}",
        f"hydra.run.dir={quoted(folder / 'run')}",
    ]
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT) as child:
        _, status, usage = os.wait4(child.pid, 0)  # the resource usage of this child alone
    if status:
        sys.exit(f"error: {' '.join(command)} failed")
    seconds = time.perf_counter() - begin
    stages = json.loads((folder / "run" / "manifest.json").read_text())["stages"]
    # The system's count of peak memory is reset at the start of each stage.
    peak_mb = max(stage["peak_memory_mb"] for stage in stages.values())
    return Run(ratings, stages, seconds, usage.ru_utime + usage.ru_stime, peak_mb)


def quoted(path: Path) -> str:
    """A path as the value of a Hydra override; it may hold spaces or `=`."""
    return json.dumps(str(path))


def show(run: Run) -> None:
    """Print seconds, memory and counts of each stage, then of the process."""
    for name, stage in run.stages.items():
        counts = [f"{value:,} {key}" for key, value in stage.items() if type(value) is int]
        print(
            f"  {name:<10} {stage['seconds']:8.1f} s  {stage['peak_memory_mb']:8,.0f} MB"
            f"  {', '.join(counts)}"
        )
    print(
        f"  {'process':<10} {run.seconds:8.1f} s  {run.peak_mb:8,.0f} MB"
        f"  {run.cpu_seconds:.1f} s of CPU",
        flush=True,
    )


def verdict(first: Run, last: Run) -> list[str]:
    """Lines about the bounds: what was measured, what is allowed, and whether it is missed.

    Args:
        first: The run of the smallest size.
        last: The run of the largest size.
    """
    sampler_mb = last.stages["chain"]["peak_memory_mb"]
    lines = [
        _bound("peak of the sampler", sampler_mb, MAX_SAMPLER_MB, "MB"),
        _bound("peak over all", last.peak_mb, MAX_PEAK_MB, "MB"),
    ]
    if first.ratings < last.ratings:
        linear = last.ratings / first.ratings
        growth = last.stage_seconds() / first.stage_seconds() / linear
        cpu_growth = last.cpu_seconds / first.cpu_seconds / linear
        lines.append(_bound("stages' time over linear", growth, MAX_GROWTH, "x"))
        lines.append(f"process's CPU time over linear: {cpu_growth:.2f} x")
    return lines


def _bound(what: str, value: float, most: float, unit: str) -> str:
    missed = ": MISSED" if value > most else ""
    return f"{what}: {value:,.4g} {unit}, at most {most:,g} {unit} asked for{missed}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ratings",
        type=int,
        nargs="+",
        default=SIZES,
        metavar="N",
        help="sizes, the smallest first",
    )
    parser.add_argument(
        "--users", type=int, default=1000, metavar="N", help="evaluated users; default 1000"
    )
    parser.add_argument(
        "--sampler", default="closed", metavar="NAME", help="a member of chain_sampler"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        help="where temporary files go: 6 GB for 30 million ratings",
    )
    args = parser.parse_args()
    threads = os.environ.get("POLARS_MAX_THREADS", "one per core")
    print(f"machine: {machine()}; Polars threads: {threads}", flush=True)
    runs = []
    for ratings in args.ratings:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            runs.append(measured(ratings, Path(name), args.users, args.sampler))
        show(runs[-1])
    for line in verdict(runs[0], runs[-1]):
        print(line)


if __name__ == "__main__":
    main()
