"""Reading a shared prompt once gives the numbers and gradients of reading it for every rollout."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

from r2rec.llm import load
from r2rec.train.shared_prompt import SharedPromptGRPO
from tests.small import composed

PROMPT, ANSWER = 7, 5


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    tokenizer = load.tokenizer(composed("model=tiny").model, None)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip
    adapted = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    args = GRPOConfig(
        output_dir=str(tmp_path_factory.mktemp("grpo")), use_cpu=True, bf16=False, num_generations=2, temperature=0.7,
        per_device_train_batch_size=4, report_to=[], gradient_checkpointing=False,
    )  # fmt: skip
    data = Dataset.from_list([{"prompt": "a"}] * 4)
    return SharedPromptGRPO(
        model=adapted, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=args, train_dataset=data,
        processing_class=tokenizer,
    )  # fmt: skip


def rollouts(owner, seed=0):
    """Rows of a prompt, padded at its left, and an answer, padded at its right."""
    draw = torch.Generator().manual_seed(seed)
    prompts = torch.randint(5, 90, (max(owner) + 1, PROMPT), generator=draw)
    shown = torch.ones_like(prompts)
    for n in range(len(prompts)):
        shown[n, : n % 3] = 0
    answers = torch.randint(5, 90, (len(owner), ANSWER), generator=draw)
    written = torch.ones_like(answers)
    for n in range(len(owner)):
        written[n, ANSWER - n % 2 :] = 0
    ids = torch.cat([prompts[owner] * shown[owner], answers * written], 1)
    return ids, torch.cat([shown[owner], written], 1), written


def read(how, trainer, owner, **words):
    ids, mask, written = rollouts(owner)
    trainer.model.zero_grad()
    logps, entropies, _ = how(
        trainer, trainer.model, ids, mask, ANSWER, compute_entropy=True, **words
    )
    (logps * written * torch.linspace(1, 2, len(owner))[:, None]).sum().backward()
    gradients = {
        n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None
    }
    return logps.detach() * written, entropies.detach() * written, gradients


@pytest.mark.parametrize("owner", [[0, 0, 0, 0], [0, 1, 0, 1, 2, 2], [2, 0, 1, 1]])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_the_numbers_are_those_of_trl(trainer, owner, batch_size):
    ours = read(
        SharedPromptGRPO._get_per_token_logps_and_entropies, trainer, owner, batch_size=batch_size
    )
    theirs = read(
        GRPOTrainer._get_per_token_logps_and_entropies, trainer, owner, batch_size=batch_size
    )
    for got, expected in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(got, expected)
        assert (got != 0).any()
    assert ours[2].keys() == theirs[2].keys()
    assert (
        len(ours[2]) == len([n for n, p in trainer.model.named_parameters() if p.requires_grad]) > 0
    )
    for name, expected in theirs[2].items():
        torch.testing.assert_close(ours[2][name], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("own", [None, "FSDP's"])
def test_rollouts_leave_the_models_own_way_to_generate(trainer, monkeypatch, own):
    """FSDP keeps one on the instance, by which it gathers the weights."""
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    if own:
        monkeypatch.setitem(model.__dict__, "generate", own)
    monkeypatch.setattr(
        GRPOTrainer,
        "_generate_single_turn",
        lambda self: seen.append(model.__dict__["generate"].__name__),
    )
    seen: list[str] = []
    trainer._generate_single_turn()
    assert seen == ["shared"]
    assert model.__dict__.get("generate") == own


def test_a_prompt_is_read_once(trainer, monkeypatch):
    seen = []
    forward = trainer.model.forward

    def watched(*args, **words):
        seen.append(tuple(words["input_ids"].shape))
        return forward(*args, **words)

    monkeypatch.setattr(trainer.model, "forward", watched)
    for owner, expected in (
        ([0, 1, 0, 1], [(2, PROMPT - 1), (4, ANSWER + 1)]),
        ([0, 1, 2], [(3, PROMPT + ANSWER)]),
    ):
        seen.clear()
        ids, mask, _ = rollouts(owner)
        with torch.no_grad():
            trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, ANSWER)
        assert seen == expected
