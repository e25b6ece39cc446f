"""What r2rec.compat.trl leans on beside GRPO: arguments, batches, and what outlives a trainer."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from trl import GRPOConfig, GRPOTrainer, SFTConfig

from r2rec.compat import trl as hooks
from r2rec.config import Hardware
from r2rec.train.common import common_arguments
from tests.train.tiny_trainers import sft_trainer


@pytest.mark.parametrize("config", [SFTConfig, GRPOConfig])
def test_trainers_take_the_common_arguments(config, tmp_path):
    """Else no trainer starts."""
    given = common_arguments(Hardware(name="cpu", device="cpu"), tmp_path, 3)
    assert set(given) <= {spec.name for spec in fields(config)}
    args = config(**given, warmup_steps=0.1)
    assert args.get_warmup_steps(100) == 10  # a share of the steps
    assert args.seed == args.data_seed == 3
    assert not args.activation_checkpointing
    recomputing = common_arguments(Hardware(name="cpu", device="cpu"), tmp_path, 3, True)
    assert config(**recomputing).activation_checkpointing


@pytest.mark.parametrize(("counted", "used"), [(0, 0), (1, 1), (8, 1)])
def test_one_gpu_is_used(tmp_path, counted, used):
    """Else TRL refuses to train on a machine with several GPUs."""
    args = SFTConfig(**common_arguments(Hardware(name="cpu", device="cpu"), tmp_path, 0))
    assert args.n_gpu == 0
    args._n_gpu = counted
    hooks.use_one_gpu(args)
    assert args.n_gpu == used


def test_collator_pads_on_the_right():
    """Else SFT, which takes the mask away, would read padding."""
    rows = [
        {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]},
        {"input_ids": [8, 9], "labels": [-100, 9]},
    ]
    batch = hooks.completion_collator(3)(rows)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 3]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [-100, 9, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_models_that_must_read_all_in_one_call_are_noticed(tmp_path):
    """Else a model that forgets its cache would be read in two parts, and learn nothing of one."""
    trainer = sft_trainer(tmp_path)
    assert not hooks.calls_once(trainer)
    trainer.model_wrapped = DistributedStandIn(trainer.model)
    assert hooks.calls_once(trainer)
    assert hooks.calls_once(sft_trainer(tmp_path, activation_checkpointing=True))


class DistributedStandIn(torch.nn.parallel.DistributedDataParallel):
    """Wraps a model as DDP does, without other processes."""

    def __init__(self, module):
        torch.nn.Module.__init__(self)
        self.module = module


def test_trainer_is_forgotten():
    Accelerator(cpu=True)
    assert AcceleratorState._shared_state
    hooks.forget_trainer()
    assert AcceleratorState._shared_state == {}


def test_single_process_hides_the_others(monkeypatch, tmp_path):
    """Else `rft` would wait for processes that do not train with it."""
    launched = {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
    }
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(PartialState, "_shared_state", {"known": "of two"})
    with hooks.single_process():
        trainer = sft_trainer(tmp_path)
        trainer.train()
        assert trainer.accelerator.num_processes == 1
        assert PartialState._shared_state != {"known": "of two"}
    assert PartialState._shared_state == {"known": "of two"}
    assert {name: os.environ.get(name) for name in launched} == launched


def test_hooks_import_no_package_that_uses_them():
    imports = re.findall(r"^\s*(?:from|import) (r2rec\S+)", Path(hooks.__file__).read_text(), re.M)
    assert imports == ["r2rec.base.errors"]


def test_hooks_change_no_class():
    """A hook acts on the trainer that it is given, and importing the hooks does nothing."""
    for name in (*hooks.GRPO_PARTS, "_generate_single_turn", "_tokenize_prompts"):
        assert getattr(GRPOTrainer, name).__module__.startswith("trl."), name
    assert Accelerator.backward.__module__.startswith("accelerate.")
