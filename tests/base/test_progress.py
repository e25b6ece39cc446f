"""How far a stage has come: a plain line a minute where there is no terminal."""

import io
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base import progress
from r2rec.base.checkpoint import between_saves


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines_of(monkeypatch: pytest.MonkeyPatch, seconds: float, steps: int) -> list[str]:
    """What is said of 8 steps of work of which `steps` are done, 0.05 s apart."""
    monkeypatch.setattr(progress, "BEAT", seconds)
    said: list[str] = []
    with progress.announced("sft (stage 3 of 9)", said.append):
        bar = progress.Bar("sft", 8)
        for step in range(steps):
            time.sleep(0.05)
            progress.note(loss=1 / (step + 1), valid=0.5)
            bar.update()
        bar.close()
    return said


def test_without_a_terminal_a_line_says_where_a_stage_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    said = lines_of(monkeypatch, seconds=0.1, steps=8)
    assert len(said) >= 2
    assert said[-1].startswith("  sft (stage 3 of 9), 0 s so far: ")
    assert any(" of 8, loss 0." in line and "valid 0.500, about 0 s left" in line for line in said)
    assert lines_of(monkeypatch, seconds=60, steps=2) == []


def test_a_terminal_has_bars_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert lines_of(monkeypatch, seconds=0.01, steps=8) == []
    assert "loss=" in terminal.getvalue()


def test_an_error_leaves_no_bar_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    def fail() -> None:
        with progress.announced("fit", print):
            progress.Bar("fit", 3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert progress._at_work == []


@given(st.floats(0, 1e6))
def test_a_duration_is_told_in_two_units_at_most(seconds: float) -> None:
    words = progress.duration(seconds).split()
    assert words[1::2] in (["s"], ["min"], ["h", "min"])
    units = {"s": 1, "min": 60, "h": 3600}
    told = sum(int(n) * units[unit] for n, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(told - seconds) <= 30


@given(st.integers(1, 500), st.integers(1, 500))
def test_a_short_training_keeps_checkpoints_too(configured: int, steps: int) -> None:
    between = between_saves(configured, steps)
    assert 1 <= between <= configured
    assert steps < 4 or steps // between >= 2
