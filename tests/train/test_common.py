"""What all trainers share: no trainer outlives its stage, a strategy has its own checkpoints."""

import json
from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled, set_hf_deepspeed_config

from r2rec.base.checkpoint import seal
from r2rec.base.errors import R2RecError
from r2rec.config import Lora, Model
from r2rec.train.common import (
    CHECKPOINTS,
    checkpoint_folder,
    lora,
    run_trainer,
    save_adapter,
    trainer_released,
)
from tests.small import go, typed


class ZeRO3:
    """As much of DeepSpeed's settings as transformers looks at."""

    def is_zero3(self):
        return True


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_trainer_is_released(ends):
    kept = ZeRO3()

    @trainer_released()
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
def test_weights_are_loaded_after_the_trainers_settings(store, monkeypatch, stage, changed):
    """ZeRO-3 takes part in loading, and its settings come with the trainer's."""
    monkeypatch.setattr(
        f"r2rec.train.{stage}._arguments", lambda choices, *_: set_hf_deepspeed_config(kept)
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
def test_sharded_checkpoints_have_a_folder_of_their_own(words, where, tmp_path):
    assert checkpoint_folder(typed(*words).hardware, tmp_path) == tmp_path / where


@pytest.mark.parametrize(
    ("there", "goes_on_from", "notes"),
    [
        ([], None, 0),
        (["zero3-2/checkpoint-4", "zero3-4/checkpoint-8"], None, 1),
        (["zero3-2/checkpoint-4", "checkpoint-2"], "checkpoint-2", 0),
    ],
)
def test_checkpoints_of_another_strategy_are_not_used(there, goes_on_from, notes, tmp_path, capsys):
    own, resumed = tmp_path / CHECKPOINTS, []
    for name in there:
        (own / name).mkdir(parents=True)
        (own / name / "trainer_state.json").write_text("{}")
        seal(own / name)
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=str(own)),
        state=SimpleNamespace(log_history=[{"step": 1, "loss": 0.5}]),
        accelerator=SimpleNamespace(backward=None),
        remove_callback=lambda kind: None,
        add_callback=lambda kind: None,
        train=lambda resume_from_checkpoint: resumed.append(resume_from_checkpoint),
    )
    log = run_trainer(trainer, "sft", tmp_path)
    assert log.rows() == [(1, 0.5)]
    assert resumed == [goes_on_from and str(own / goes_on_from)]
    assert capsys.readouterr().out.count("training starts anew") == notes


def test_saved_adapter_has_the_same_bytes_each_time(tmp_path):
    """PEFT keeps the adapted modules in a set, in an order that the process draws."""
    written = []
    for order in (["q_proj", "v_proj"], ["v_proj", "q_proj"]):

        def save_pretrained(folder, order=order, **_):
            settings = {"target_modules": order, "base_model_name_or_path": "somewhere/weights"}
            (folder / "adapter_config.json").write_text(json.dumps(settings))
            (folder / "README.md").write_text("PEFT's")

        model = SimpleNamespace(save_pretrained=save_pretrained)
        tokenizer = SimpleNamespace(save_pretrained=lambda folder: None)
        base = Model(name="qwen3_4b", path="Qwen/Qwen3-4B")
        save_adapter(model, tokenizer, tmp_path, base)
        assert not (tmp_path / "README.md").exists()
        written.append((tmp_path / "adapter_config.json").read_bytes())
    assert written[0] == written[1]
    assert json.loads(written[0])["base_model_name_or_path"] == "Qwen/Qwen3-4B"


@pytest.mark.parametrize(
    ("targets", "modules"), [("all-linear", "all-linear"), ("q_proj,v_proj", {"q_proj", "v_proj"})]
)
def test_lora_targets(targets, modules):
    config = lora(Lora(r=3, alpha=5, dropout=0.25, targets=targets))
    assert config.target_modules == modules
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 5, 0.25)
