"""GRPO: it starts from its reference, or ends before it has cost anything."""

import pytest

from r2rec.base.errors import R2RecError
from tests.small import go


@pytest.mark.slow
def test_dropout_of_an_adapter_is_not_taken_for_another_reference(store):
    done = go(store, "model.lora.dropout=0.5", "probe.users=0", "until=rl")
    assert done.made() == {"sft", "rl"}
    assert abs(done.table("rl", "log")["kl"].drop_nulls()[0]) < 1e-6


@pytest.mark.slow
def test_another_reference_is_noticed_at_the_first_step(store, monkeypatch):
    monkeypatch.setattr("r2rec.train.rl.KL_AT_START", -1.0)
    steps = []
    monkeypatch.setattr(
        "r2rec.train.common.tracking.log_step", lambda *told: steps.append(told[:2])
    )
    with pytest.raises(
        R2RecError,
        match=r"^rl: the KL of the first step is -?0\.0000: the reference is not.* rl\.beta=0",
    ):
        go(store, "rl.learning_rate=2e-3", "probe.users=0", "until=rl")
    assert [step for stage, step in steps if stage == "rl"] == [1]
