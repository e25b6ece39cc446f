"""Reading a shared prompt once gives the numbers and gradients of reading it for every rollout."""

import pytest
import torch
from trl import GRPOTrainer

from r2rec.train.shared_prompt import share_prompts
from tests.train.tiny_trainers import adapted, first_kl, grpo_trainer, tokenizer

PROMPT, ANSWER = 7, 5
EXPECTED: dict[tuple[int, ...], list[int]] = {}  # what rollouts of a prompt may be close to


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    made = grpo_trainer(tmp_path_factory.mktemp("grpo"), beta=0.0)
    share_prompts(made, EXPECTED)
    return made


def rollouts(owner, seed=0):
    """Rows of a prompt, padded on the left, and an answer, padded on the right."""
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


def read(how, trainer, owner, **options):
    ids, mask, written = rollouts(owner)
    trainer.model.zero_grad()
    logps, entropies, _ = how(trainer.model, ids, mask, ANSWER, compute_entropy=True, **options)
    (logps * written * torch.linspace(1, 2, len(owner))[:, None]).sum().backward()
    gradients = {
        n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None
    }
    return logps.detach() * written, entropies.detach() * written, gradients


def theirs_of(trainer):
    return GRPOTrainer._get_per_token_logps_and_entropies.__get__(trainer)


@pytest.mark.parametrize("owner", [[0, 0, 0, 0], [0, 1, 0, 1, 2, 2], [2, 0, 1, 1]])
@pytest.mark.parametrize("batch_size", [None, 3])
def test_numbers_are_those_of_trl(trainer, owner, batch_size):
    ours = read(trainer._get_per_token_logps_and_entropies, trainer, owner, batch_size=batch_size)
    theirs = read(theirs_of(trainer), trainer, owner, batch_size=batch_size)
    for got, expected in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(got, expected)
        assert (got != 0).any()
    assert ours[2].keys() == theirs[2].keys()
    assert (
        len(ours[2]) == len([n for n, p in trainer.model.named_parameters() if p.requires_grad]) > 0
    )
    for name, expected in theirs[2].items():
        torch.testing.assert_close(ours[2][name], expected, rtol=1e-4, atol=1e-6)


def test_prompt_is_read_once(trainer, monkeypatch):
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


def test_model_that_recomputes_activations_is_read_as_trl_does(trainer, monkeypatch):
    """It forgets its cache in a forward pass with gradients, and so cannot read in two parts.

    The reference is read without gradients, and the same way, or rounding alone makes a KL.
    """
    monkeypatch.setattr(trainer.args, "activation_checkpointing", True)
    seen = []
    forward = trainer.model.forward

    def watched(*args, **words):
        seen.append(len(words["input_ids"]))
        return forward(*args, **words)

    monkeypatch.setattr(trainer.model, "forward", watched)
    ids, mask, _ = rollouts([0, 0])
    trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, ANSWER)
    assert seen == [2]
    with torch.no_grad():  # as the reference is read
        trainer._get_per_token_logps_and_entropies(trainer.model, ids, mask, ANSWER)
    assert seen == [2, 2]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_policy_and_reference_start_equal_as_on_a_gpu(tmp_path, checkpointing):
    """With what a GPU run sets: autocast to bfloat16, and activations that are recomputed.

    The model is deep, so that what is rounded differently adds up: read in two ways, it has a KL
    of 1e-4.
    """
    deep = adapted(
        len(tokenizer()),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=24,
        num_attention_heads=4,
        initializer_range=0.2,
    )
    trainer = grpo_trainer(
        tmp_path, deep, bf16=True, activation_checkpointing=checkpointing, max_steps=1
    )
    assert abs(first_kl(trainer, tokens=150)) < 1e-6


def test_rollouts_depend_on_seed_step_and_row_alone(trainer):
    """Not on what was drawn before, so a resumed step writes what it would have written."""

    def write():
        torch.rand(3)
        prompts = [[5, 6, 7], [5, 6, 7], [8, 9], [8, 9]]
        ids, _ = trainer._generate_single_turn(prompts, None, {}, 2)
        return ids

    trainer.state.global_step = 3
    first, again = write(), write()
    assert first == again
    assert first[0] != first[1]
    trainer.state.global_step = 4
    assert write() != first


def test_expected_rollouts_are_written_in_fewer_passes(trainer, monkeypatch):
    trainer.state.global_step = 5
    prompts = [[5, 6, 7], [5, 6, 7], [8, 9], [8, 9]]
    passes = []
    forward = trainer.model.forward

    def watched(*args, **words):
        passes.append(words["input_ids"].shape)
        return forward(*args, **words)

    monkeypatch.setattr(trainer.model, "forward", watched)
    plain = trainer._generate_single_turn(prompts, None, {}, 2)[0]
    before = len(passes)
    monkeypatch.setitem(EXPECTED, (5, 6, 7), plain[0])
    drafted = trainer._generate_single_turn(prompts, None, {}, 2)[0]
    assert drafted == plain
    assert any(tokens > 1 for _, tokens in passes[before + 2 :])  # after two prompts
