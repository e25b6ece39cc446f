"""A run ends the same way however it is asked to, and a console that goes away does not end it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from r2rec.base import signals
from tests.command import SMALL, SOURCE


@pytest.fixture
def handlers():  # type: ignore[no-untyped-def]
    """The handlers of a run, and those of before again."""
    numbers = [getattr(signal, name) for name in signals.SIGNALS]
    before = {number: signal.getsignal(number) for number in numbers}
    signals.install()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number: int) -> None:
    """Send this process a signal, and give Python time to handle it."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("name", signals.SIGNALS)
@pytest.mark.usefixtures("handlers")
def test_a_signal_interrupts_with_its_status(name: str) -> None:
    number = getattr(signal, name)
    with pytest.raises(signals.Interrupted) as caught:
        send(number)
    assert caught.value.status == 128 + number
    assert str(caught.value) == name


@pytest.mark.usefixtures("handlers")
def test_a_deferred_signal_waits_and_a_second_one_does_not(capfd: pytest.CaptureFixture) -> None:
    waiting = []

    def one_step() -> None:
        with signals.deferred():
            send(signal.SIGTERM)
            waiting.append(signals.pending())

    with pytest.raises(signals.Interrupted) as caught:
        one_step()
    assert waiting == [signal.SIGTERM]
    assert caught.value.status == 143
    assert signals.pending() is None

    def two_signals() -> None:
        with signals.deferred():
            send(signal.SIGTERM)
            send(signal.SIGINT)
            pytest.fail("the second signal was held back")

    with pytest.raises(signals.Interrupted):
        two_signals()
    assert "with a checkpoint" in capfd.readouterr().err


def start(folder: Path, *words: str, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-m", "r2rec", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        **options,
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_that_is_told_to_end_says_so(number: signal.Signals, tmp_path: Path) -> None:
    words = ("+experiment=smoke", "artefacts=store", "model.tiny.steps=5000", "until=backbone")
    with start(tmp_path, *words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        until = time.monotonic() + 120
        while not list(tmp_path.glob("store/backbone/*.part")):
            assert time.monotonic() < until
            time.sleep(0.1)
        time.sleep(3)
        running.send_signal(number)
        assert running.stderr is not None
        text = running.stderr.read().decode()
    assert running.returncode == 128 + number
    assert f"stopped by {number.name}; the same command continues from here" in text
    assert "Traceback" not in text


def test_a_closed_pipe_does_not_lose_a_run(tmp_path: Path) -> None:
    words = (*SMALL, "baseline=popularity", "evaluation.resamples=20", "hydra.run.dir=run")
    with start(tmp_path, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr is not None
        text = running.stderr.read().decode()
    assert running.returncode == 0, text
    assert (tmp_path / "run" / "metrics.json").exists()
    assert "Traceback" not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_to_a_full_disk_does_not_lose_a_run(tmp_path: Path) -> None:
    words = (*SMALL, "until=split", "hydra.run.dir=run")
    with (
        Path("/dev/full").open("w") as full,
        start(tmp_path, *words, stdout=full, stderr=subprocess.PIPE) as running,
    ):
        assert running.stderr is not None
        text = running.stderr.read().decode()
    assert running.returncode == 0, text
    assert "cannot write to standard output (No space left on device)" in text


def test_help_into_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    with start(tmp_path, "--help", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 0


SWALLOWED = """
import os, signal
from r2rec.base import signals
signals.install()

class Collected:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

Collected()
try:
    signals.check()
except signals.Interrupted as error:
    print(error.status)
"""


def test_a_signal_that_python_swallows_is_raised_at_the_next_check() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], cwd=SOURCE, capture_output=True, text=True, check=True
    )
    assert done.stdout == "143\n"


def test_closed_output_does_not_lose_a_run(tmp_path: Path) -> None:
    words = f"{sys.executable} -m r2rec until=split hydra.run.dir=run {' '.join(SMALL)} >&-"
    done = subprocess.run(
        ["sh", "-c", words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "run" / "manifest.json").exists()
