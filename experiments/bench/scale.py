"""Raw files to chains at the size of Amazon Books: `make bench-scale`. Minutes and gigabytes, so no part of CI.

Reviews are generated (`shop.py`) in each size, then `python -m r2rec ... until=chain` runs on them in a process of its
own for 1,000 evaluated users. Seconds and peak memory of the stages are those of the run's manifest.
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
from run import ROOT, machine

SIZES = (3_000_000, 30_000_000)  # ratings
SAMPLER_MB, ALL_MB, LINEAR = (
    4 * 1024,
    12 * 1024,
    1.3,
)  # most memory of the sampler and over all, most time over linear


class Run(NamedTuple):
    """What a run on so many ratings took."""

    ratings: int
    stages: dict[str, dict[str, Any]]  # of the run's manifest
    seconds: float  # the whole process, with its start and the checksums of the raw files
    cpu_seconds: float
    peak_mb: float  # of all stages

    def stage_seconds(self) -> float:
        return sum(stage["seconds"] for stage in self.stages.values())


def measured(ratings: int, folder: Path, users: int) -> Run:
    """Generate, run, read the manifest. `folder` exists and is empty."""
    begin = time.perf_counter()
    shop.write(folder, ratings)
    packed = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
    print(
        f"{ratings:,} ratings generated in {time.perf_counter() - begin:.0f} s, {packed:.2f} GB packed",
        flush=True,
    )
    command = [
        sys.executable, "-m", "r2rec", "dataset=amazon", f"dataset.category={shop.CATEGORY}",
        f"dataset.root={json.dumps(str(folder))}", f"evaluation.users={users}", "until=chain",
        f"artefacts={json.dumps(str(folder / 'artefacts'))}", f"hydra.run.dir={json.dumps(str(folder / 'run'))}",
    ]  # fmt: skip
    begin = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT) as child:
        _, status, used = os.wait4(child.pid, 0)  # what this one used, alone
    if status:
        sys.exit(f"error: {' '.join(command)} failed")
    seconds = time.perf_counter() - begin
    stages = json.loads((folder / "run" / "manifest.json").read_text())["stages"]
    peak = max(
        stage["peak_memory_mb"] for stage in stages.values()
    )  # the system's count begins anew at every stage
    return Run(ratings, stages, seconds, used.ru_utime + used.ru_stime, peak)


def show(run: Run) -> None:
    for name, stage in run.stages.items():
        counts = ", ".join(f"{v:,} {k}" for k, v in stage.items() if type(v) is int)
        print(
            f"  {name:<10} {stage['seconds']:8.1f} s  {stage['peak_memory_mb']:8,.0f} MB  {counts}"
        )
    print(
        f"  {'process':<10} {run.seconds:8.1f} s  {run.peak_mb:8,.0f} MB  {run.cpu_seconds:.1f} s of CPU",
        flush=True,
    )


def verdict(first: Run, last: Run) -> list[str]:
    """What is asked of the largest run, and whether it holds."""
    lines = [
        _held("peak of the sampler", last.stages["chain"]["peak_memory_mb"], SAMPLER_MB, "MB"),
        _held("peak over all", last.peak_mb, ALL_MB, "MB"),
    ]
    if first.ratings < last.ratings:
        more = last.ratings / first.ratings
        growth = last.stage_seconds() / first.stage_seconds() / more
        lines.append(_held("stages' time over linear", growth, LINEAR, "x"))
        lines.append(
            f"process's CPU time over linear: {last.cpu_seconds / first.cpu_seconds / more:.2f} x"
        )
    return lines


def _held(what: str, found: float, most: float, unit: str) -> str:
    return f"{what}: {found:,.4g} {unit}, at most {most:,g} {unit} asked for{'' if found <= most else ': MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--ratings", type=int, nargs="+", default=SIZES, metavar="N", help="sizes, the least first"
    )
    parser.add_argument(
        "--users", type=int, default=1000, metavar="N", help="evaluated users; default 1000"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the files go until the end: 6 GB for 30 million ratings"
    )
    args = parser.parse_args()
    print(
        f"machine: {machine()}; Polars threads: {os.environ.get('POLARS_MAX_THREADS', 'one per core')}",
        flush=True,
    )
    runs = []
    for ratings in args.ratings:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            runs.append(measured(ratings, Path(name), args.users))
        show(runs[-1])
    print(*verdict(runs[0], runs[-1]), sep="\n")


if __name__ == "__main__":
    main()
