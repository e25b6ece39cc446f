"""The smallest run that has every stage, in forked processes that can be killed.

A forked process has the imports of its parent, so a run starts quickly. Nothing here may start the
threads of Polars or torch before the last fork: threads do not survive a fork.
"""

import hashlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
}
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

STAGES = ("prepare", "split", "chain", "backbone", "think", "sft", "rl", "rank", "report")
FREQUENT_CHECKPOINTS = (
    "sft.epochs=2",
    "sft.save_steps=1",
    "rl.samples=3",
    "rl.save_steps=1",
    "probe.users=0",
)
SLOW_IMPORTS = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "polars",
    "matplotlib.pyplot",
    "r2rec.train.sft",
    "r2rec.train.rl",
    "r2rec.llm.hf",
    "r2rec.evaluate.rank",
    "r2rec.report.report",
    "r2rec.thoughts.think",
)
POLL_SECONDS = 0.001


class Run(NamedTuple):
    """A running process."""

    pid: int
    store: Path
    folder: Path  # gets configuration, manifest and results
    log: Path  # gets what the process prints


class Results(NamedTuple):
    """What a finished run left."""

    metrics: str  # the text of metrics.json
    checksums: dict[str, str]  # SHA-256 of tables, adapters and rankings, by path
    unfinished: list[str]  # names of artefact folders that are half done


def import_all() -> None:
    """Import what a run needs, once."""
    for module in SLOW_IMPORTS:
        import_module(module)


def start(
    store: Path,
    folder: Path,
    *overrides: str,
    log: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> Run:
    """Start `+experiment=smoke` in a process group of its own.

    Args:
        folder: The run folder.
        log: Default: beside the run folder.
        before: Called first in the new process.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = log or folder.with_suffix(".log")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os._exit(_job(store, folder, overrides, before))
    return Run(pid, store, folder, log)


def _job(store: Path, folder: Path, overrides: tuple[str, ...], before: Callable[[], None]) -> int:
    """Run in this process; return the exit status that `python -m r2rec` would have.

    Status 1 comes with a traceback.
    """
    from r2rec.base.errors import R2RecError

    try:
        before()
        from r2rec.execution.entry import run_config
        from r2rec.pretrain import backbone
        from tests.small import composed

        backbone.SNAPSHOT = 1
        cfg = composed(f"artefacts={store}", *FREQUENT_CHECKPOINTS, *overrides)
        run_config(cfg, folder, say=_print_at_once)
        return 0
    except R2RecError as error:
        _print_at_once(f"error: {error}")
        return 2
    except BaseException:
        traceback.print_exc()
        return 1


def _print_at_once(line: str) -> None:
    print(line, flush=True)


def wait(run: Run) -> int:
    """The exit status of a run; -9 if it was killed."""
    _, status = os.waitpid(run.pid, 0)
    return os.waitstatus_to_exitcode(status)


def kill(run: Run) -> int:
    """Kill a run and its children with -9; return its status, 0 if it had ended before."""
    os.killpg(run.pid, signal.SIGKILL)
    return wait(run)


def wait_until(run: Run, condition: Callable[[], bool]) -> bool:
    """Wait for a condition; return False if the run ends first."""
    while not condition():
        if os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(POLL_SECONDS)
    return True


def is_in_stage(run: Run, stage: str) -> bool:
    """Whether a run is making the artefact of a stage."""
    if stage == "report":
        return (run.folder / "rankings.parquet").exists()
    return any(run.store.glob(f"{stage}/*.part"))


def results(run: Run) -> Results:
    """What a finished run left; logs are left out, because they hold seconds."""
    paths = {"rankings.parquet": run.folder / "rankings.parquet"}
    for path in run.store.rglob("*"):
        is_result = path.suffix in (".parquet", ".safetensors") and path.name != "log.parquet"
        if path.is_file() and is_result:
            paths[str(path.relative_to(run.store))] = path
    checksums = {}
    for name, path in sorted(paths.items()):
        checksums[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    unfinished = [path.name for path in run.store.rglob("*.part")]
    return Results((run.folder / "metrics.json").read_text(), checksums, unfinished)


def differences(run: Run, status: int, expected: Results) -> list[str]:
    """In what a finished run differs from an undisturbed one; [] if in nothing.

    Args:
        status: Its exit status.
        expected: The results of the undisturbed run.
    """
    if status:
        return [f"status {status}: {run.log.read_text()[-2000:]}"]
    actual = results(run)
    names = actual.checksums.keys() | expected.checksums.keys()
    changed = []
    for name in sorted(names):
        if actual.checksums.get(name) != expected.checksums.get(name):
            changed.append(name)
    faults = []
    if changed:
        faults.append(f"differ: {changed}")
    if actual.metrics != expected.metrics:
        faults.append("metrics differ")
    if actual.unfinished:
        faults.append(f"left: {actual.unfinished}")
    return faults


def stage_seconds(run: Run) -> dict[str, float]:
    """How long each stage took."""
    stages = json.loads((run.folder / "manifest.json").read_text())["stages"]
    return {name: stages[name]["seconds"] for name in STAGES}
