"""The harness of `experiments/trust`, briefly: runs killed with -9, then started again, end as one
left alone.
"""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_runs_end_as_one_left_alone() -> None:
    harness = [
        sys.executable,
        str(ROOT / "experiments" / "trust" / "kill.py"),
        "--kills",
        "3",
        "--each",
        "3",
    ]
    done = subprocess.run(harness, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.strip().rpartition("\n")[2])
    assert told["faults"] == []
    assert told["kills"] == sum(told["by_stage"].values()) >= 3
