"""Scores of options are those of a plain pass over each prompt alone, with little memory."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from r2rec.llm import scoring

TOKENIZER = SimpleNamespace(pad_token_id=0)
VOCABULARY = 40


def llama():
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=VOCABULARY, initializer_range=0.3, **sizes)
    ).eval()


@pytest.fixture(scope="module")
def model():
    return llama()


def plain(model, prompts, options):
    """One prompt and one option at a time, all logits made."""
    table = np.zeros((len(prompts), len(options)))
    for i, prompt in enumerate(prompts):
        for j, option in enumerate(options):
            with torch.no_grad():
                logprobs = model(torch.tensor([prompt + option])).logits[0].log_softmax(-1)
            table[i, j] = sum(
                logprobs[len(prompt) - 1 + k, token].item() for k, token in enumerate(option)
            )
    return table


OPTIONS = [[3], [7], [7, 4], [5, 6, 7], [0]]


@pytest.mark.parametrize("batch_tokens", [1, 50, 97, 10_000])
def test_scores_do_not_depend_on_batching(model, batch_tokens):
    rng = np.random.default_rng(0)
    prompts = [rng.integers(0, VOCABULARY, n).tolist() for n in rng.integers(1, 30, 17)]
    found = scoring.option_logprobs(model, TOKENIZER, prompts, OPTIONS, batch_tokens)
    assert (found.shape, found.dtype) == ((17, 5), np.float32)
    np.testing.assert_allclose(found, plain(model, prompts, OPTIONS), atol=1e-4)


def test_an_adapter_counts(model):
    from peft import LoraConfig, get_peft_model

    tuned = get_peft_model(
        llama(), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    prompts = [[1, 2, 3], [4, 5]]
    found = scoring.option_logprobs(tuned, TOKENIZER, prompts, OPTIONS, 100)
    np.testing.assert_allclose(found, plain(tuned, prompts, OPTIONS), atol=1e-4)
    assert (
        np.abs(found - scoring.option_logprobs(model, TOKENIZER, prompts, OPTIONS, 100)).max()
        > 1e-2
    )


def test_head_sees_last_positions_alone(model):
    seen = []
    handle = model.lm_head.register_forward_hook(
        lambda _, given, __: seen.append(given[0].shape[:-1].numel())
    )
    scoring.option_logprobs(model, TOKENIZER, [[1] * 30] * 700, [[1], [2]], 10**6)
    handle.remove()
    assert sum(seen) == 700
    assert max(seen) == scoring.MAX_ROWS


@given(lengths=st.lists(st.integers(1, 60), max_size=40), limit=st.integers(1, 300))
def test_batches_hold_everyone_once_within_the_limit(lengths, limit):
    made = list(scoring.length_batches(lengths, limit))
    assert sorted(i for batch in made for i in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= limit
