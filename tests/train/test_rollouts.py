"""GRPO's settings for who writes the rollouts: TRL takes them as they are, and what cannot work is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.pipeline import NAMES
from r2rec.run.rules import check
from r2rec.train.common import per_device
from r2rec.train.rl import _arguments
from tests.small import composed


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
def test_trl_takes_the_settings(words, expected, tmp_path):
    given = _arguments(composed(*words), tmp_path)
    assert {name: getattr(given, name) for name in expected} == expected


@given(st.integers(1, 8), st.integers(1, 16), st.integers(1, 64))
def test_a_batch_is_the_same_over_any_number_of_processes(processes, each, most):
    at_once, times = per_device(each * processes, most, processes)
    assert at_once * times * processes == each * processes
    assert at_once <= most


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["hardware.rollouts=magic"], "choose from hf, vllm, server"),
        (["hardware.rollouts=vllm"], "pip install 'r2rec"),
        (["hardware.vllm_memory=1.5"], "share of 1"),
    ],
)
def test_rollouts_that_cannot_be_written_are_refused(words, why, monkeypatch):
    monkeypatch.setattr("r2rec.run.launch.find_spec", lambda name: None)
    with pytest.raises(R2RecError, match=why):
        check(composed(*words), NAMES)


def test_a_server_needs_an_address(monkeypatch):
    monkeypatch.setattr("r2rec.run.launch.find_spec", lambda name: object())
    with pytest.raises(R2RecError, match=r"hardware\.vllm_server=http://HOST:8000"):
        check(composed("hardware.rollouts=server"), NAMES)
