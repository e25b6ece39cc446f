"""A signal ends a training after its step, and the next run goes on from there."""

import os
import signal
from pathlib import Path

import pytest
import torch

from r2rec.base import signals
from r2rec.train.common import CHECKPOINTS, newest_complete, run_trainer, train
from tests.train.tiny_trainers import grpo_trainer, sft_trainer

STEPS = 8


@pytest.fixture(autouse=True)
def handlers():
    old = {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNALS}
    signals.install()
    yield
    for name, handler in old.items():
        signal.signal(getattr(signal, name), handler)


class SignalAt:
    """Sends this process a signal while a step is at work."""

    def __init__(self, step, number=signal.SIGTERM):
        self.step = step
        self.number = number

    def on_step_begin(self, args, state, control, **_):
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), self.number)


def weights(trainer):
    return {n: p.detach().clone() for n, p in trainer.model.named_parameters() if p.requires_grad}


def columns(log):
    return log.select("step", "loss", "learning_rate")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [3, STEPS])
def test_signal_keeps_a_checkpoint_and_the_next_run_resumes(tmp_path, step, number):
    """Checkpoints are 100 steps apart here, more than the training has."""
    whole = sft_trainer(tmp_path / "whole" / CHECKPOINTS)
    log = run_trainer(whole, "sft", tmp_path / "whole")
    stopped = tmp_path / "stopped"
    first = sft_trainer(stopped / CHECKPOINTS)
    with pytest.raises(signals.Interrupted) as caught:
        run_trainer(first, "sft", stopped, [SignalAt(step, number)])
    assert caught.value.status == 128 + number
    assert first.state.global_step == step
    assert newest_complete(stopped / CHECKPOINTS) == str(
        stopped / CHECKPOINTS / f"checkpoint-{step}"
    )
    assert not (stopped / "log.parquet").exists()
    second = sft_trainer(stopped / CHECKPOINTS)
    rest = run_trainer(second, "sft", stopped)
    assert second.state.global_step == STEPS
    assert columns(rest).equals(columns(log))
    expected = weights(whole)
    for name, value in weights(second).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_second_signal_ends_the_run_at_once(tmp_path):
    class Twice:
        def on_step_begin(self, args, state, control, **_):
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(signals.Interrupted):
        run_trainer(sft_trainer(tmp_path / CHECKPOINTS), "sft", tmp_path, [Twice()])
    assert newest_complete(tmp_path / CHECKPOINTS) is None


def test_signal_in_grpo_keeps_a_checkpoint(tmp_path):
    given = {"per_device_train_batch_size": 2, "save_steps": 100}
    first = grpo_trainer(tmp_path / CHECKPOINTS, **given)
    with pytest.raises(signals.Interrupted):
        run_trainer(first, "rl", tmp_path, [SignalAt(2)])
    assert Path(newest_complete(tmp_path / CHECKPOINTS)).name == "checkpoint-2"
    second = grpo_trainer(tmp_path / CHECKPOINTS, **given)
    history = train(second, "rl", tmp_path)
    assert [row["step"] for row in history if "reward" in row] == [1, 2, 3, 4]
    assert history[:2] == first.state.log_history[:2]
