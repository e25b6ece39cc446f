"""What cannot be started, or has not been run by anybody yet, is refused in one line."""

import pytest

from r2rec.execution import hardware_rules as rules
from tests.small import typed


@pytest.fixture(autouse=True)
def everything_is_installed(monkeypatch):
    monkeypatch.setattr(rules, "find_spec", lambda name: object())


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero2", "zero3"])
@pytest.mark.parametrize("rollouts", ["hf", "vllm", "server"])
def test_vllm_beside_weights_in_parts_waits_until_it_was_run(strategy, rollouts):
    words = [f"hardware={strategy}", f"hardware.rollouts={rollouts}"]
    if rollouts == "server":
        words.append("hardware.vllm_server=http://host:8000")
    problems = list(rules.hardware_rules(typed(*words).hardware))
    if rollouts != "hf" and strategy in ("fsdp", "zero3"):
        (problem,) = problems
        assert problem.startswith(f"hardware.rollouts={rollouts} with hardware.strategy={strategy}")
        assert "use hardware=ddp, or rollouts=hf" in problem
    else:
        assert problems == []
