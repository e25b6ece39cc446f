"""What SFT and GRPO share: nothing of a trainer outlives its stage, and a checkpoint is its own strategy's."""

from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, set_hf_deepspeed_config

from r2rec.base.checkpoint import seal
from r2rec.base.errors import R2RecError
from r2rec.train.common import CHECKPOINTS, checkpoints, forgotten, run_trainer
from tests.small import composed, go


class ZeRO3:
    """As much of DeepSpeed's settings as transformers looks at."""

    def is_zero3(self):
        return True


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_later_stage_knows_nothing_of_a_trainer(ends):
    kept = ZeRO3()

    @forgotten()
    def stage():
        Accelerator(cpu=True)
        set_hf_deepspeed_config(kept)
        assert is_deepspeed_zero3_enabled()
        if ends == "badly":
            raise R2RecError("no")
        return 3

    if ends == "badly":
        with pytest.raises(R2RecError, match="no"):
            stage()
    else:
        assert stage() == 3
    assert not is_deepspeed_zero3_enabled()
    assert AcceleratorState._shared_state == {}


@pytest.mark.parametrize(
    ("stage", "changed"), [("sft", "sft.learning_rate=3e-3"), ("rl", "rl.learning_rate=3e-3")]
)
def test_weights_are_loaded_when_the_trainers_settings_are_made(store, monkeypatch, stage, changed):
    """ZeRO-3 takes part in loading, and its settings come with the trainer's."""
    monkeypatch.setattr(
        f"r2rec.train.{stage}._arguments", lambda cfg, folder: set_hf_deepspeed_config(kept)
    )
    kept = ZeRO3()

    def weights(*_, **__):
        raise R2RecError("in parts" if is_deepspeed_zero3_enabled() else "whole")

    monkeypatch.setattr("r2rec.llm.load.weights", weights)
    with pytest.raises(R2RecError, match="in parts"):
        go(store, changed, f"until={stage}")
    assert not is_deepspeed_zero3_enabled()


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["hardware=cpu"], "checkpoints"),
        (["hardware=ddp"], "checkpoints"),
        (["hardware=fsdp"], "checkpoints/fsdp-2"),
        (["hardware=zero3", "hardware.processes=4"], "checkpoints/zero3-4"),
        (["hardware=zero2", "hardware.processes=1"], "checkpoints"),
    ],
)
def test_checkpoints_in_parts_lie_apart(words, where, tmp_path):
    assert checkpoints(composed(*words).hardware, tmp_path) == tmp_path / where


@pytest.mark.parametrize(
    ("there", "goes_on_from", "notes"),
    [
        ([], None, 0),
        (["zero3-2/checkpoint-4", "zero3-4/checkpoint-8"], None, 1),
        (["zero3-2/checkpoint-4", "checkpoint-2"], "checkpoint-2", 0),
    ],
)
def test_checkpoints_of_another_strategy_are_told_of_and_left(
    there, goes_on_from, notes, tmp_path, capsys
):
    own, resumed = tmp_path / CHECKPOINTS, []
    for name in there:
        (own / name).mkdir(parents=True)
        (own / name / "trainer_state.json").write_text("{}")
        seal(own / name)
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=str(own)), state=SimpleNamespace(log_history=[{"step": 1, "loss": 0.5}]),
        accelerator=SimpleNamespace(backward=None), remove_callback=lambda kind: None, add_callback=lambda kind: None,
        train=lambda resume_from_checkpoint: resumed.append(resume_from_checkpoint),
    )  # fmt: skip
    run_trainer(trainer, "sft", tmp_path)
    assert resumed == [goes_on_from and str(own / goes_on_from)]
    assert capsys.readouterr().out.count("training starts anew") == notes
