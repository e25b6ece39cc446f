"""The smallest run that has every stage, in processes that can be killed: forked, so that none imports anything anew.

Nothing here may use Polars or torch's threads before the forks are done: threads don't survive one.
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
for name, value in {
    "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
}.items():  # fmt: skip
    os.environ.setdefault(name, value)

STAGES = ("prepare", "split", "chain", "backbone", "think", "sft", "rl", "rank", "report")
OFTEN = ("sft.epochs=2", "sft.save_steps=1", "rl.samples=3", "rl.save_steps=1", "probe.users=0")
HEAVY = (
    "torch", "transformers", "trl", "peft", "datasets", "polars", "matplotlib.pyplot", "r2rec.train.sft",
    "r2rec.train.rl", "r2rec.llm.hf", "r2rec.evaluate.rank", "r2rec.report.report", "r2rec.thoughts.think",
)  # fmt: skip


class Run(NamedTuple):
    """A process at work: `folder` gets config, manifest and results, `log` what it prints."""

    pid: int
    store: Path
    folder: Path
    log: Path


def ready() -> None:
    """Import what a run needs, once."""
    for name in HEAVY:
        import_module(name)


def start(
    store: Path,
    folder: Path,
    *overrides: str,
    log: Path | None = None,
    before: Callable[[], None] = lambda: None,
) -> Run:
    """Begin `+experiment=smoke` in a process group of its own; `before` is called in it first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = log or folder.with_suffix(".log")
    pid = os.fork()
    if pid == 0:
        os.setsid()
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1), os.dup2(out, 2)
        os._exit(_job(store, folder, overrides, before))
    return Run(pid, store, folder, log)


def _job(store: Path, folder: Path, overrides: tuple[str, ...], before: Callable[[], None]) -> int:
    """The exit status that `python -m r2rec` would have; 1 goes with a traceback."""
    from r2rec.base.errors import R2RecError

    try:
        before()
        from r2rec.pipeline import run
        from r2rec.pretrain import backbone as tiny
        from tests.small import composed

        tiny.SNAPSHOT = 1
        run(
            composed(f"artefacts={store}", *OFTEN, *overrides),
            folder,
            lambda line: print(line, flush=True),
        )
        return 0
    except R2RecError as error:
        print(f"error: {error}", flush=True)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1


def wait(run: Run) -> int:
    """Its exit status, -9 where it was killed."""
    _, status = os.waitpid(run.pid, 0)
    return os.waitstatus_to_exitcode(status)


def kill(run: Run) -> int:
    """End it with -9, with all its children; its status, 0 where it had ended before."""
    os.killpg(run.pid, signal.SIGKILL)
    return wait(run)


def until(run: Run, holds: Callable[[], bool]) -> bool:
    """Wait until that holds; False where the run ends first."""
    while not holds():
        if os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.001)
    return True


def at_work(run: Run, stage: str) -> bool:
    """Whether a stage is being made."""
    if stage == "report":
        return (run.folder / "rankings.parquet").exists()
    return any(run.store.glob(f"{stage}/*.part"))


def results(run: Run) -> tuple[str, dict[str, str], list[str]]:
    """metrics.json, the checksum of every artefact's and ranking's bytes, and what was left half done."""
    files = [
        p for p in run.store.rglob("*") if p.is_file() and p.suffix in (".parquet", ".safetensors")
    ]
    named = {
        str(p.relative_to(run.store)): p for p in files if p.name != "log.parquet"
    }  # a log has seconds
    named["rankings.parquet"] = run.folder / "rankings.parquet"
    sums = {name: hashlib.sha256(p.read_bytes()).hexdigest() for name, p in sorted(named.items())}
    left = [p.name for p in run.store.rglob("*.part")]
    return (run.folder / "metrics.json").read_text(), sums, left


def seconds(run: Run) -> dict[str, float]:
    """How long each stage took."""
    stages = json.loads((run.folder / "manifest.json").read_text())["stages"]
    return {name: stages[name]["seconds"] for name in STAGES}
