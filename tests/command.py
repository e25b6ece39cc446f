"""The command line: `call` in a process of its own, `call_here` in this one, which is quicker."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra.core.hydra_config import HydraConfig

import r2rec
from r2rec.__main__ import main
from r2rec.base import signals
from r2rec.base.provenance import COMPOSITION

SOURCE = Path(r2rec.__file__).parent.parent
SMALL = ["dataset.params.users=40", "dataset.params.items=60", "dataset.params.ratings_per_user=20"]


def call(
    folder: Path, *words: str, python: tuple[str, ...] = (), **env: str | None
) -> subprocess.CompletedProcess[str]:
    """`python -m r2rec WORDS` in a folder; an environment variable of None is unset."""
    variables = os.environ | {"PYTHONPATH": str(SOURCE)} | env
    return subprocess.run(
        [sys.executable, *python, "-m", "r2rec", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in variables.items() if value is not None},
        stdin=subprocess.DEVNULL,
    )


class Ended(NamedTuple):
    """How a call in this process ended."""

    returncode: int
    stdout: str
    stderr: str


class Here:
    """Call it as `call`; what a call changes in this process is undone after the test."""

    def __init__(self, patch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[str]) -> None:
        self.patch = patch
        self.captured = captured
        patch.setattr(signals, "install", lambda: None)
        for name in (COMPOSITION, "HYDRA_FULL_ERROR"):  # set by a call
            patch.setenv(name, "")
            patch.delenv(name)

    def __call__(self, folder: Path, *words: str, **env: str | None) -> Ended:
        HydraConfig.instance().cfg = None  # of a call before
        self.patch.chdir(folder)
        self.patch.setattr(sys, "argv", ["r2rec", *words])
        for name, value in env.items():
            if value is None:
                self.patch.delenv(name, raising=False)
            else:
                self.patch.setenv(name, value)
        status = 0
        try:
            main()
        except SystemExit as error:
            status = int(error.code or 0)
        finally:
            HydraConfig.instance().cfg = None
        return Ended(status, *self.captured.readouterr())
