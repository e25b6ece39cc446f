"""A grid that is killed, twice, and started again: it finishes, makes nothing twice, and ends as if
undisturbed.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from r2rec.base.store import MANIFEST
from tests.command import SOURCE, Here

GRID = (
    "-m",
    "+experiment=smoke",
    "chain_sampler=closed",
    "+variant=full,no_sft",
    "hydra.sweep.dir=sweep",
    "artefacts=store",
)


def finished(folder: Path) -> dict[str, int]:
    """Artefacts that are whole, and when each was made."""
    made = (folder / "store").glob(f"*/*/{MANIFEST}")
    return {
        str(path.parent): path.stat().st_mtime_ns
        for path in made
        if not path.parent.name.endswith(".part")
    }


def killed(folder: Path, when: Callable[[], bool]) -> None:
    """Start the grid and kill it, with all its children, as soon as that holds."""
    with subprocess.Popen(
        [sys.executable, "-m", "r2rec", *GRID],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        start_new_session=True,
    ) as running:
        until = time.monotonic() + 300
        while not when():
            assert running.poll() is None, running.stderr.read() if running.stderr else ""
            assert time.monotonic() < until
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_grid_goes_on(store: Path, tmp_path: Path, call_here: Here) -> None:
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    for folder in (disturbed, calm):  # making the backbone takes longer than all the rest
        shutil.copytree(store / "backbone", folder / "store" / "backbone")
    made = disturbed / "store"
    killed(disturbed, lambda: any(made.glob("sft/*.part")))
    first = finished(disturbed)
    killed(disturbed, lambda: len(list(made.glob(f"rl/*/{MANIFEST}"))) > 1)
    second = finished(disturbed)
    done, undisturbed = call_here(disturbed, *GRID), call_here(calm, *GRID)
    assert (done.returncode, undisturbed.returncode) == (0, 0), done.stderr + undisturbed.stderr
    last = finished(disturbed)
    assert 0 < len(first) < len(second) < len(last)
    assert first.items() <= second.items() <= last.items()
    assert {Path(path).parts[-2:] for path in last} == {
        Path(path).parts[-2:] for path in finished(calm)
    }
    records = [
        json.loads((folder / "sweep" / "metrics.json").read_text()) for folder in (disturbed, calm)
    ]
    assert records[0] == records[1]
    stages = [
        json.loads(path.read_text())["stages"] for path in (calm / "sweep").glob(f"*/{MANIFEST}")
    ]
    assert len(last) < sum(
        len(of_job) + len(of_job["rank"]["arms"]) - 2 for of_job in stages
    )  # jobs share what they can
