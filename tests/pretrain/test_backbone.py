"""The tiny backbone's training: an interrupted run goes on as it would have."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from r2rec.base import signals
from r2rec.base.checkpoint import load_state
from r2rec.pretrain import backbone as tiny
from r2rec.pretrain import levels
from r2rec.pretrain.batches import token_batches
from tests.pretrain.small import SMALLEST

SPEC = replace(SMALLEST, vocabulary=400, steps=12)


@pytest.fixture
def handled_signals() -> Iterator[None]:
    """The signal handlers of a run, until the test is over."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNALS}
    signals.install()
    yield
    for name, handler in before.items():
        signal.signal(getattr(signal, name), handler)


Trained = tuple[dict[str, torch.Tensor], pl.DataFrame]


@pytest.fixture
def train(tokenizer, monkeypatch) -> Callable[..., Trained]:
    """Train into a folder; `interrupt` is called before the loss of the step with that index."""

    def trained(
        folder: Path, at_step: int | None = None, interrupt: Callable[[], object] = lambda: None
    ) -> Trained:
        torch.manual_seed(0)
        model = tiny.make_model(SPEC, len(tokenizer))
        learned_loss = tiny.learned_loss
        steps = iter(range(100))

        def loss(*given: Any) -> torch.Tensor:
            if next(steps) == at_step:
                interrupt()
            return learned_loss(*given)

        with monkeypatch.context() as patch:
            patch.setattr(tiny, "learned_loss", loss)
            log = tiny.train_backbone(model, tokenizer, SPEC, folder)
        return model.state_dict(), log.drop("seconds")

    return trained


def assert_equal(one: Trained, other: Trained) -> None:
    assert other[1].equals(one[1])
    assert all(torch.equal(one[0][name], other[0][name]) for name in one[0])


def test_killed_run_goes_on(train, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "SNAPSHOT", 5)
    whole = train(tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "killed", at_step=8, interrupt=lambda: 1 / 0)
    rest = train(tmp_path / "killed", at_step=7, interrupt=lambda: 1 / 0)  # from step 5: 7 more
    assert_equal(whole, rest)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_keeps_a_snapshot(train, tmp_path, handled_signals, name):
    number = getattr(signal, name)
    with pytest.raises(signals.Interrupted) as caught:
        train(tmp_path, at_step=3, interrupt=lambda: os.kill(os.getpid(), number))
    assert caught.value.number == number
    assert len(load_state(tmp_path / tiny.STATE)["rows"]) == 4  # the step was finished
    rest = train(tmp_path, at_step=8, interrupt=lambda: 1 / 0)  # from step 4: 8 more
    assert_equal(train(tmp_path / "whole"), rest)


def test_batches_depend_on_content_of_start(tokenizer, tmp_path):
    def tokens(name, content):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(content)
        first = next(token_batches(tokenizer, replace(SPEC, start=str(folder))))
        return first.tokens.tolist()

    assert tokens("here", "{}") == tokens("there", "{}")
    assert tokens("other", "[]") != tokens("same", "{}")


def test_long_example_is_a_batch_of_its_own(tokenizer):
    batches = token_batches(tokenizer, replace(SPEC, batch_tokens=1))
    assert {len(next(batches).tokens) for _ in range(5)} == {1}


def test_levels_come_in_order():
    rng = np.random.default_rng(0)
    seen = []
    for progress in (0, 0.2, 0.99):
        drawn = {levels.level_at(progress, rng) for _ in range(1000)}
        seen.append({levels.LEVELS.index(level) for level in drawn})
    assert seen[0] == {0}
    assert seen[2] == set(range(len(levels.LEVELS)))
    assert max(seen[1]) < len(levels.LEVELS) - 1


def test_shares_belong_to_levels():
    assert len(levels.SHARES) == len(levels.LEVELS)
    assert sum(levels.SHARES) == pytest.approx(1)
    assert [level.counted for level in levels.LEVELS].index(True) == levels.CONCLUSION_DRILL
