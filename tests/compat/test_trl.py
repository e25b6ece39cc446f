"""What r2rec.compat.trl leans on, checked against the installed TRL, accelerate and transformers.

A failure here after an upgrade says which private part has moved; each test says what that breaks.
"""

import inspect
import os
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback
from trl import GRPOTrainer

from r2rec.base.errors import R2RecError
from r2rec.compat import trl as hooks
from r2rec.train import listeners
from r2rec.train.probe import ValidationProbe
from r2rec.train.rl import MEANS, ReferenceCheck
from tests.train.tiny_trainers import grpo_trainer, sft_trainer


class Recorder:
    """What a training tells its listeners."""

    def __init__(self):
        self.events = []
        self.rows = []
        self.logs = []

    def on_step_begin(self, args, state, control, **_):
        self.events.append(f"begin {state.global_step + 1}")

    def on_step_end(self, args, state, control, model, **_):
        self.events.append(f"end {state.global_step}")

    def on_log(self, args, state, control, logs, **_):
        hooks.extend_log(state, {"added": 1.0})
        self.rows.append(state.log_history[-1])
        self.logs.append(dict(logs))

    def on_save(self, args, state, control, **_):
        path = hooks.checkpoint_path(args.output_dir, state.global_step)
        self.events.append(f"save {state.global_step} {(path / 'trainer_state.json').is_file()}")


@pytest.fixture(scope="module")
def grpo(tmp_path_factory):
    """A GRPOTrainer that has trained for two steps, its recorder, and the calls of hooks."""
    trainer = grpo_trainer(
        tmp_path_factory.mktemp("grpo"), per_device_train_batch_size=4, num_train_epochs=1
    )
    calls = {"write": [], "read": [], "timed": []}

    def write(model, usual, input_ids, attention_mask, **options):
        ids = usual(input_ids=input_ids, attention_mask=attention_mask, **options)
        calls["write"].append((model, input_ids, attention_mask, options, ids))
        return ids

    def read(model, input_ids, attention_mask, completion_length, rows):
        calls["read"].append((input_ids.shape, attention_mask.shape, completion_length, rows))

    def timed(part, method):
        def call(*arguments, **options):
            calls["timed"].append(part)
            return method(*arguments, **options)

        return call

    hooks.replace_rollouts(trainer, write)
    hooks.replace_log_probabilities(trainer, read)
    assert hooks.time_methods(trainer, timed) == []
    recorder = Recorder()
    trainer.add_callback(hooks.trainer_callback(recorder))
    trainer.train()
    weights = hooks.whole_weights(trainer)  # now: another trainer changes accelerate's state
    made = {name: list(values) for name, values in calls.items()}
    return SimpleNamespace(trainer=trainer, recorder=recorder, weights=weights, **made)


# GRPOTrainer's private methods


def test_grpo_has_the_private_methods():
    """Else `rl` ends with an error, or its log lacks seconds of a part."""
    for name in (*hooks.GRPO_PARTS, "_generate_single_turn", "_tokenize_prompts"):
        assert callable(getattr(GRPOTrainer, name)), name
    parameters = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
    expected = "self model input_ids attention_mask logits_to_keep batch_size compute_entropy"
    assert list(parameters)[:7] == expected.split()
    for parameter in list(parameters.values())[7:]:
        assert parameter.default in (None, False), parameter  # not given for a text model


def test_missing_private_method_is_an_error_and_not_skipped():
    """Else a renamed method would go unnoticed, and rollouts would be TRL's own."""

    class Renamed:
        pass

    replacing = (
        hooks.replace_rollouts,
        hooks.replace_log_probabilities,
        hooks.replace_prompt_tokens,
    )
    for hook in replacing:
        with pytest.raises(R2RecError, match=r"^TRL 1\.\S+ has no Renamed\._\w+, .*requirements"):
            hook(Renamed(), None)


def test_prompts_are_tokenised_by_the_hook(tmp_path):
    """Else GRPO would go on from another text than SFT and ranking."""
    trainer = grpo_trainer(tmp_path, max_steps=1)
    asked = []
    prompts = []

    def encode(prompt):
        asked.append(prompt[0]["content"])
        return [7, 8, 9]

    def write(model, usual, input_ids, attention_mask, **options):
        prompts.extend(input_ids.tolist())
        return usual(input_ids=input_ids, attention_mask=attention_mask, **options)

    hooks.replace_prompt_tokens(trainer, encode)
    hooks.replace_rollouts(trainer, write)
    trainer.train()
    assert set(asked) <= set("abcd")
    assert prompts == [[7, 8, 9]] * 4


def test_rollouts_are_written_by_the_hook(grpo):
    """Else prompts are not shared, and rollouts depend on what was drawn before."""
    assert len(grpo.write) == grpo.trainer.state.global_step == 2
    model, input_ids, attention_mask, options, ids = grpo.write[0]
    assert model is grpo.trainer.accelerator.unwrap_model(grpo.trainer.model_wrapped)
    assert input_ids.shape == attention_mask.shape
    assert ids.shape[0] == input_ids.shape[0] == 4
    assert (ids[:, : input_ids.shape[1]] == input_ids).all()
    config = options["generation_config"]
    assert {name: getattr(config, name) for name in hooks.GREEDY} == hooks.GREEDY
    assert "generate" not in model.__dict__


@pytest.mark.parametrize("own", [None, "FSDP's"])
def test_models_own_generate_is_back_afterwards(grpo, monkeypatch, own):
    """FSDP keeps one on the instance; without it, generating would not gather the weights."""
    model = grpo.trainer.accelerator.unwrap_model(grpo.trainer.model_wrapped)
    if own:
        monkeypatch.setitem(model.__dict__, "generate", own)
    with hooks._generating(model, None):
        assert model.__dict__["generate"].__name__ == "generate"
    assert model.__dict__.get("generate") == own


def test_vllm_writes_its_own_rollouts():
    calls = []
    trainer = SimpleNamespace(use_vllm=True, _generate_single_turn=lambda *a: calls.append(a))
    hooks.replace_rollouts(trainer, None)
    trainer._generate_single_turn([1], None)
    assert calls == [([1], None)]


def test_log_probabilities_go_through_the_hook(grpo):
    """Else prompts are read anew for each rollout. Policy and reference are read in each step."""
    ids, mask, completion_length, rows = grpo.read[0]
    assert ids == mask
    assert (ids[0], rows) == (4, 4)
    assert completion_length < ids[1]
    assert len(grpo.read) == 4


def test_log_probabilities_of_the_hook_are_used(grpo, monkeypatch):
    ids = torch.randint(5, 90, (2, 7))
    mask = torch.ones_like(ids)
    scores = (torch.ones(2, 3), torch.zeros(2, 3))
    trainer = SimpleNamespace(
        _get_per_token_logps_and_entropies=grpo.trainer._get_per_token_logps_and_entropies
    )
    hooks.replace_log_probabilities(trainer, lambda *_: scores)
    read = trainer._get_per_token_logps_and_entropies
    model = grpo.trainer.model
    assert read(model, ids, mask, 3) == (scores[0], None, None)
    assert read(model, ids, mask, 3, compute_entropy=True) == (*scores, None)
    assert read(model, ids, mask, 3, pixel_values=None, compute_aux_loss=False)[0] is scores[0]
    with pytest.raises(TypeError):  # TRL's own, which sees an image
        read(model, ids, mask, 3, pixel_values=torch.ones(1), num_images=5)


def test_fused_head_gives_log_probabilities_and_entropies(grpo):
    """Else shared prompts cannot be read; the numbers are those of plain logits."""
    model = grpo.trainer.model
    ids = torch.randint(5, 90, (2, 7), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[:, :4] = -100
    with torch.no_grad():
        log_probs, entropies = hooks.fused_log_probabilities(
            model, labels, input_ids=ids, attention_mask=torch.ones_like(ids)
        )
        logits = model(input_ids=ids).logits[:, :-1] / grpo.trainer.temperature
    plain = logits.log_softmax(-1)
    expected = plain.gather(-1, ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(log_probs[:, -3:], expected[:, -3:])
    entropy = -(plain.exp() * plain).sum(-1)
    torch.testing.assert_close(entropies[:, -3:], entropy[:, -3:])


def test_parts_of_a_step_are_timed(grpo):
    """Else the log lacks seconds of a part."""
    per_step = ["generation", "log_probabilities", "rewards", "log_probabilities", "backward"]
    assert sorted(grpo.timed) == sorted(per_step * 2)


def test_only_grpo_has_timed_parts(tmp_path):
    trainer = sft_trainer(tmp_path)
    assert hooks.timed_parts(trainer) == {}
    parts = []
    assert hooks.time_methods(trainer, lambda part, method: parts.append(part) or method) == []
    assert parts == ["backward"]


@pytest.mark.parametrize("column", ["reward", "step_time", "rewards/lengths/mean", *MEANS])
def test_grpo_logs_the_columns_that_are_read(grpo, column):
    """Else facts and notes of `rl` are missing, and reports have no curve."""
    rows = [row for row in grpo.recorder.rows if not hooks.is_summary(row)]
    assert all(column in row for row in rows)


# Events, the log and checkpoints of transformers' Trainer


def test_events_come_in_order_with_their_row_of_the_log(grpo):
    """Else clocked columns would land in another step's row."""
    assert [e for e in grpo.recorder.events if not e.startswith("save")] == [
        "begin 1",
        "end 1",
        "begin 2",
        "end 2",
    ]
    rows = grpo.recorder.rows
    assert [row["step"] for row in rows] == [1, 2, 2]
    assert [hooks.is_summary(row) for row in rows] == [False, False, True]
    for row, logs in zip(rows, grpo.recorder.logs, strict=True):
        assert {**logs, "added": 1.0}.items() <= row.items()
    assert grpo.trainer.state.log_history == rows


def test_checkpoint_is_whole_when_it_is_told_of(tmp_path):
    """Else a checkpoint would be sealed without some of its files, and never used."""
    trainer = sft_trainer(tmp_path, save_steps=3)
    recorder = Recorder()
    trainer.add_callback(hooks.trainer_callback(recorder))
    trainer.train()
    saves = [event for event in recorder.events if event.startswith("save")]
    assert saves == ["save 3 True", "save 6 True", "save 8 True"]
    assert "optimizer.pt" in os.listdir(tmp_path / "checkpoint-8")


def test_listener_can_save_and_stop(tmp_path):
    """Else a signal would end a training without a checkpoint."""

    class Stop:
        def on_step_end(self, args, state, control, **_):
            control.should_save = control.should_training_stop = state.global_step == 2

    trainer = sft_trainer(tmp_path)
    trainer.add_callback(hooks.trainer_callback(Stop()))
    trainer.train()
    assert trainer.state.global_step == 2
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-2"]


def test_unknown_event_is_an_error():
    """Else a listener would wait for an event that never comes."""

    class Waits:
        def on_step_over(self, args, state, control, **_):
            pass

    with pytest.raises(TypeError, match="on_step_over"):
        hooks.trainer_callback(Waits())


@pytest.mark.parametrize(
    "kind",
    [
        listeners.ProgressBar,
        listeners.StepLog,
        listeners.SealedCheckpoints,
        listeners.StopOnSignal,
        ValidationProbe,
        ReferenceCheck,
    ],
)
def test_listeners_wait_for_events_that_exist(kind):
    events = [name for name in dir(kind) if name.startswith("on_")]
    assert events
    for name in events:
        assert hasattr(TrainerCallback, name), name


# Weights and adapters


def test_whole_weights_are_the_trained_ones(grpo):
    for name, parameter in grpo.trainer.model.named_parameters():
        torch.testing.assert_close(grpo.weights[name], parameter.detach(), rtol=0, atol=0)


def test_saved_adapter_is_the_trained_one_without_the_reference(grpo, tmp_path):
    """Else the reference would be written beside the adapter, or in its place."""
    model = grpo.trainer.model
    assert set(model.peft_config) == {"default", "ref"}
    hooks.save_trained_adapter(model, tmp_path, grpo.weights)
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["adapter_config.json", "adapter_model.safetensors"]
    saved = load_file(tmp_path / "adapter_model.safetensors")
    trained = {}
    for name, parameter in model.named_parameters():
        if ".default." in name:
            trained[name.replace(".default.", ".")] = parameter.detach()
    assert saved.keys() == trained.keys()
    for name, parameter in trained.items():
        torch.testing.assert_close(saved[name], parameter, rtol=0, atol=0)


def test_adapter_is_saved_without_the_embeddings(grpo, tmp_path):
    """Else an 8B model's adapter has 2 GB where the vocabulary is not that of its named base."""
    model = grpo.trainer.model
    changed = model.get_base_model().config.vocab_size
    model.peft_config["default"].base_model_name_or_path = str(tmp_path)
    model.get_base_model().config.save_pretrained(tmp_path)
    model.get_base_model().config.vocab_size = changed + 1
    try:
        hooks.save_trained_adapter(model, tmp_path, grpo.weights)
    finally:
        model.get_base_model().config.vocab_size = changed
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert all(".lora_" in name for name in saved)
