"""The default run in one process and in two; and in two that are killed, then resumed by one.

    python experiments/trust/processes.py [override ...]

The third run is killed in SFT and in GRPO. Prints seconds, the processes left after each kill, the
largest differences between adapters, and how many rankings equal those of the first run.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
TWO_PROCESSES = "hardware=ddp"
FREQUENT_CHECKPOINTS = ("sft.save_steps=10", "rl.save_steps=1")
TRAINING = ("sft", "rl")
POLL_SECONDS = 0.1
GRACE_SECONDS = 1  # for processes to end after a kill


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="overrides for all runs, for a quick trial")
    overrides = parser.parse_args().overrides
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(folder / "one", *overrides)
        run(folder / "two", TWO_PROCESSES, *overrides)
        for stage in TRAINING:
            kill(folder / "resumed", stage, TWO_PROCESSES, *FREQUENT_CHECKPOINTS, *overrides)
        run(folder / "resumed", *FREQUENT_CHECKPOINTS, *overrides)
        for other in ("two", "resumed"):
            compare_adapters(folder / "one", folder / other)
            compare_rankings(folder / "one", folder / other)


def start(folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own; store and run folder are in `folder`."""
    command = [
        sys.executable,
        "-m",
        "r2rec",
        f"artefacts={folder}/store",
        f"hydra.run.dir={folder}/run",
        *overrides,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def run(folder: Path, *overrides: str) -> None:
    """Let a run finish, and print its seconds."""
    begin = time.perf_counter()
    if start(folder, *overrides).wait():
        sys.exit(f"error: the run {folder.name} failed")
    print(f"{folder.name}: {time.perf_counter() - begin:.0f} s", flush=True)


def kill(folder: Path, stage: str, *overrides: str) -> None:
    """Kill a run, with all its processes, soon after the first checkpoint of a stage.

    Prints how many processes are left, and which artefacts are complete.
    """
    running = start(folder, *overrides)
    checkpoint = wait_for_checkpoint(folder, stage, running)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(GRACE_SECONDS)
    listed = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True)
    n_left = len(listed.stdout.split())
    complete = sorted(path.parents[1].name for path in folder.glob("store/*/*/manifest.json"))
    print(
        f"killed after {checkpoint.name} of {stage}: {n_left} processes left, "
        f"whole: {', '.join(complete)}",
        flush=True,
    )


def wait_for_checkpoint(folder: Path, stage: str, running: subprocess.Popen[bytes]) -> Path:
    """The first checkpoint of a stage, as soon as it exists."""
    while True:
        checkpoints = sorted(folder.glob(f"store/{stage}/*.part/checkpoints/checkpoint-*"))
        if checkpoints:
            return checkpoints[0]
        if running.poll() is not None:
            sys.exit(f"error: the run {folder.name} ended before a checkpoint of {stage}")
        time.sleep(POLL_SECONDS)


def compare_adapters(one: Path, other: Path) -> None:
    """Print the largest difference between the adapters of two runs."""
    for stage in TRAINING:
        file = f"store/{stage}/*/adapter_model.safetensors"
        weights = load_file(next(one.glob(file)))
        other_weights = load_file(next(other.glob(file)))
        difference = max((weights[key] - other_weights[key]).abs().max() for key in weights)
        largest = max(tensor.abs().max() for tensor in weights.values())
        print(
            f"{other.name}: weights of {stage} differ by at most {difference:.1e} "
            f"(up to {largest:.2f})"
        )


def compare_rankings(one: Path, other: Path) -> None:
    """Print how many rankings are the same in two runs."""
    rankings = read_rankings(one)
    same = (rankings["ranking"] == read_rankings(other)["ranking"]).sum()
    print(f"{other.name}: {same} of {rankings.height} rankings are the same")


def read_rankings(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "run" / "rankings.parquet").sort("method", "user")


if __name__ == "__main__":
    main()
