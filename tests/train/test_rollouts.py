"""GRPO's settings for who writes the rollouts: TRL takes them, and what cannot work is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.config.slices import RlSlice
from r2rec.execution import hardware_rules
from r2rec.execution.rules import checked_config
from r2rec.train.common import per_device
from r2rec.train.rl import _arguments
from tests.small import choices, composed, typed, workspace


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), {"use_vllm": False}),
        (
            ("hardware.rollouts=vllm", "model.max_length=3000"),
            {
                "use_vllm": True,
                "vllm_mode": "colocate",
                "vllm_enable_sleep_mode": True,
                "vllm_max_model_length": 3000,
            },
        ),
        (
            ("hardware.rollouts=server", "hardware.vllm_server=http://node:8000"),
            {"use_vllm": True, "vllm_mode": "server", "vllm_server_base_url": "http://node:8000"},
        ),
    ],
)
def test_trl_takes_the_rollout_settings(words, expected, tmp_path):
    hardware = vars(typed(*words).hardware)
    given = _arguments(choices(RlSlice, *words), workspace(tmp_path, **hardware), None)
    assert {name: getattr(given, name) for name in expected} == expected


@given(st.integers(1, 8), st.integers(1, 16), st.integers(1, 64))
def test_batch_is_the_same_over_any_number_of_processes(processes, each, most):
    at_once, times = per_device(each * processes, most, processes)
    assert at_once * times * processes == each * processes
    assert at_once <= most


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["hardware.rollouts=magic"], "choose from hf, vllm, server"),
        (["hardware.rollouts=vllm"], "pip install 'r2rec"),
        (["hardware.vllm_memory=1.5"], "above 0, and below 1"),
    ],
)
def test_impossible_rollouts_are_refused(words, why, monkeypatch):
    monkeypatch.setattr(hardware_rules, "find_spec", lambda name: None)
    with pytest.raises(R2RecError, match=why):
        checked_config(composed(*words))


def test_rollout_server_needs_an_address(monkeypatch):
    monkeypatch.setattr(hardware_rules, "find_spec", lambda name: object())
    with pytest.raises(R2RecError, match=r"hardware\.vllm_server=http://HOST:8000"):
        checked_config(composed("hardware.rollouts=server"))
