"""The clock: it measures this trainer's parts, and says what it cannot measure."""

from types import SimpleNamespace

import torch

from r2rec.llm.runtime import gpu_memory, settle
from r2rec.train.clock import Clock
from tests.small import typed


def trainer(**methods):
    return SimpleNamespace(accelerator=SimpleNamespace(backward=lambda loss: None), **methods)


def test_peak_memory_is_this_stages(monkeypatch):
    peak = [9_000_000_000]  # bytes, of an earlier stage
    gpu = {
        "is_initialized": lambda: True,
        "synchronize": lambda: None,
        "reset_peak_memory_stats": lambda: peak.__setitem__(0, 2_000_000_000),
        "max_memory_allocated": lambda: peak[0],
    }
    for name, method in gpu.items():
        monkeypatch.setattr(torch.cuda, name, method)
    settle(typed("hardware.device=cpu").hardware)
    clock = Clock(trainer())
    assert clock.read()["memory_gb"] == gpu_memory()["memory_gb"] == 2.0


def test_no_memory_column_without_a_gpu():
    assert Clock(trainer()).read().keys() == {"seconds"}


class GRPOTrainer:
    """Of a release in which one part goes by another name."""

    def __init__(self):
        self.accelerator = SimpleNamespace(backward=lambda loss: None)

    def _generate(self):
        return "generated"

    def _calculate_rewards(self):
        return "rewards"


def test_missing_part_is_told_and_the_others_are_timed(capsys):
    renamed = GRPOTrainer()
    clock = Clock(renamed)
    (note,) = capsys.readouterr().out.splitlines()
    assert "no seconds/log_probabilities: TRL 1." in note
    clock.start()
    assert renamed._generate() == "generated"
    renamed.accelerator.backward(None)
    assert clock.read().keys() == {"seconds", "seconds/generation", "seconds/backward"}
    clock.start()
    assert clock.read().keys() == {"seconds"}
