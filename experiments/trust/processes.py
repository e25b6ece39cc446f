"""The default run in one process, in two, and in two that are killed in SFT and in GRPO and goes on in one.

    python experiments/trust/processes.py

Prints seconds, what is left of the killed, how far adapters lie apart and how many rankings are the same as one's.
"""

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
TWO = "hardware=ddp"
SAVED = ("sft.save_steps=10", "rl.save_steps=1")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(place / "one")
        run(place / "two", TWO)
        for stage in ("sft", "rl"):
            kill(place / "resumed", stage, TWO, *SAVED)
        run(place / "resumed", *SAVED)
        for other in ("two", "resumed"):
            compare(place / "one", place / other)


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "r2rec",
        f"artefacts={folder}/store",
        f"hydra.run.dir={folder}/run",
        *words,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)


def run(folder: Path, *words: str) -> None:
    begin = time.perf_counter()
    if start(folder, *words).wait():
        sys.exit(f"error: the run {folder.name} failed")
    print(f"{folder.name}: {time.perf_counter() - begin:.0f} s", flush=True)


def kill(folder: Path, stage: str, *words: str) -> None:
    """Kill all that was started, at once, soon after the stage's first checkpoint; say which processes are left."""
    running = start(folder, *words)
    while not (saved := sorted(folder.glob(f"store/{stage}/*.part/checkpoints/checkpoint-*"))):
        if running.poll() is not None:
            sys.exit(f"error: the run {folder.name} ended before a checkpoint of {stage}")
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    time.sleep(1)
    left = subprocess.run(
        ["pgrep", "-f", str(folder)], capture_output=True, text=True
    ).stdout.split()
    made = [path.parents[1].name for path in folder.glob("store/*/*/manifest.json")]
    print(
        f"killed after {saved[0].name} of {stage}: {len(left)} processes left, whole: {', '.join(sorted(made))}"
    )


def compare(one: Path, other: Path) -> None:
    for stage in ("sft", "rl"):
        a, b = (
            load_file(next(f.glob(f"store/{stage}/*/adapter_model.safetensors")))
            for f in (one, other)
        )
        apart, largest = (
            max((a[k] - b[k]).abs().max() for k in a),
            max(v.abs().max() for v in a.values()),
        )
        print(
            f"{other.name}: weights of {stage} differ by at most {apart:.1e} (up to {largest:.2f})"
        )
    tables = [
        pl.read_parquet(f / "run" / "rankings.parquet").sort("method", "user") for f in (one, other)
    ]
    same = (tables[0]["ranking"] == tables[1]["ranking"]).sum()
    print(f"{other.name}: {same} of {tables[0].height} rankings are the same")


if __name__ == "__main__":
    main()
