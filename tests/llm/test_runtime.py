"""A run of one process sees one GPU; the processes of a larger run see all of them."""

import os

import pytest

from r2rec.execution.launch import _environment
from r2rec.llm import runtime
from tests.small import typed


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """`pin_one_gpu` writes into it: whatever that is, it is gone after the test."""
    kept = {name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK",)}
    kept.pop(runtime.VISIBLE, None)
    kept.pop(runtime.ALL_GPUS, None)
    monkeypatch.setattr(os, "environ", kept)


@pytest.mark.parametrize(
    ("before", "seen"),
    [(None, "0"), ("2,3", "2"), ("GPU-ab,GPU-cd", "GPU-ab"), ("3", "3"), ("", ""), ("-1", "-1")],
)
def test_one_process_takes_the_first_gpu_and_launched_ones_get_all(before, seen, tmp_path):
    if before is not None:
        os.environ[runtime.VISIBLE] = before
    hardware = typed("hardware=gpu").hardware
    runtime.pin_one_gpu(hardware)
    runtime.pin_one_gpu(hardware)  # the next job of a sweep
    assert os.environ[runtime.VISIBLE] == seen
    launched = _environment(tmp_path)
    assert launched.get(runtime.VISIBLE) == before
    assert runtime.ALL_GPUS not in launched


def test_processes_that_a_launcher_has_started_are_left_alone():
    runtime.pin_one_gpu(typed("hardware=ddp").hardware)
    assert runtime.VISIBLE not in os.environ
    os.environ["LOCAL_RANK"] = "1"
    runtime.pin_one_gpu(typed("hardware=gpu").hardware)
    assert runtime.VISIBLE not in os.environ


def test_it_is_done_before_torch_looks_for_gpus(monkeypatch):
    looked = []
    monkeypatch.setattr(
        "torch.cuda.is_available", lambda: looked.append(os.environ[runtime.VISIBLE]) or False
    )
    assert runtime.device(typed("hardware=cpu", "hardware.device=auto").hardware) == "cpu"
    assert looked == ["0"]
