"""Threads: as many as there are free cores, unless the user says how many."""

import subprocess
import sys

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base import cores
from r2rec.llm import runtime
from tests.small import typed

LOADS = st.lists(st.floats(0, 100), min_size=1, max_size=64)


@pytest.fixture(autouse=True)
def no_quota(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    return tmp_path


@pytest.fixture
def threads_kept():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def loaded(monkeypatch, loads, allowed=None):
    monkeypatch.setattr(psutil, "cpu_percent", lambda interval, percpu: loads)
    numbers = range(len(loads)) if allowed is None else allowed
    monkeypatch.setattr(cores, "_allowed", lambda: list(numbers))


@given(loads=LOADS)
def test_there_is_one_core_at_least_and_never_more_than_allowed(loads):
    with pytest.MonkeyPatch.context() as monkeypatch:
        loaded(monkeypatch, loads)
        free = cores.free_cores()
        assert 1 <= free <= len(loads)
        assert abs(free - (len(loads) - sum(loads) / 100)) <= 0.5 or free == 1


@pytest.mark.parametrize(
    ("loads", "allowed", "free"),
    [
        ([0.0, 0.0], None, 2),
        ([100.0, 3.0], None, 1),
        ([100.0, 100.0], None, 1),
        ([100.0, 0.0, 0.0, 100.0], [1, 2], 2),  # others may be as busy as they like
        ([0.0, 0.0], [0, 1, 5], 3),  # a core that the load does not know
    ],
)
def test_cores_at_work_for_others_are_left_to_them(monkeypatch, loads, allowed, free):
    loaded(monkeypatch, loads, allowed)
    assert cores.free_cores() == free


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({}, 8),
    ],
)
def test_a_container_gets_no_more_than_its_quota(monkeypatch, no_quota, files, free):
    loaded(monkeypatch, [0.0] * 8)
    for name, text in files.items():
        (no_quota / name).parent.mkdir(exist_ok=True)
        (no_quota / name).write_text(text)
    assert cores.free_cores() == free


@pytest.mark.parametrize(
    ("word", "environment", "threads"),
    [
        ("hardware.threads=null", {}, 3),
        ("hardware.threads=2", {}, 2),
        ("hardware.threads=null", {"OMP_NUM_THREADS": "1"}, 1),
        ("hardware.threads=2", {"OMP_NUM_THREADS": "1"}, 2),
    ],
)
def test_threads_are_what_was_said_or_what_is_free(
    monkeypatch, threads_kept, word, environment, threads
):
    for name in runtime.THREADS_SET:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    torch.set_num_threads(1)  # what torch makes of OMP_NUM_THREADS when it is imported
    loaded(monkeypatch, [0.0] * 3)
    runtime.settle(typed(word).hardware)
    assert cores.threads_used() == {"threads": threads}


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(monkeypatch, before, after):
    monkeypatch.delenv(cores.WAIT_POLICY, raising=False)
    if before is not None:
        monkeypatch.setenv(cores.WAIT_POLICY, before)
    cores.wait_asleep()
    assert cores.os.environ[cores.WAIT_POLICY] == after


def test_the_policy_is_set_before_a_run_imports_torch(tmp_path):
    script = """
import os, sys
from r2rec.base import cores
from r2rec.execution import entry
def stop(cfg):
    assert "torch" not in sys.modules
    print(os.environ[cores.WAIT_POLICY])
    sys.exit()
entry.checked_config = stop
import r2rec
r2rec.run(["artefacts=store"])
"""
    environment = dict(cores.os.environ)
    environment.pop(cores.WAIT_POLICY, None)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "PASSIVE", done.stderr
