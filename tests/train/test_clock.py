"""The clock: what is measured is this trainer's."""

from types import SimpleNamespace

import torch

from r2rec.llm.runtime import gpu_memory, settle
from r2rec.train.clock import Clock
from tests.small import composed


def test_the_most_memory_is_this_stages(monkeypatch):
    peak = [9_000_000_000]  # bytes, of an earlier stage
    gpu = {
        "is_initialized": lambda: True,
        "synchronize": lambda: None,
        "reset_peak_memory_stats": lambda: peak.__setitem__(0, 2_000_000_000),
        "max_memory_allocated": lambda: peak[0],
    }
    for name, known in gpu.items():
        monkeypatch.setattr(torch.cuda, name, known)
    settle(composed("hardware.device=cpu").hardware)
    clock = Clock(SimpleNamespace(accelerator=SimpleNamespace(backward=lambda loss: None)))
    assert clock.taken()["memory_gb"] == gpu_memory()["memory_gb"] == 2.0


def test_without_a_gpu_nothing_is_said_of_its_memory():
    clock = Clock(SimpleNamespace(accelerator=SimpleNamespace(backward=lambda loss: None)))
    assert clock.taken().keys() == {"seconds"}
