"""Rows that share their prompt write what each writes alone."""

import copy
from contextlib import suppress
from types import MethodType

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from r2rec.llm.cache import GrowingLayer
from r2rec.llm.sharing import SHARED, SharedLayer, sharing

SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "eos_token_id": 1,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval()


def prompts(sizes, length=6):
    """As many rows of each prompt as `sizes` says; all but the first have padding at their left."""
    ids = torch.randint(2, 50, (len(sizes), length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for n in range(len(sizes)):
        mask[n, : n % 3] = 0
    owner = torch.tensor([n for n, size in enumerate(sizes) for _ in range(size)])
    return (ids * mask)[owner], mask[owner]


def apart(_, scores):
    """Rows of the same prompt take other tokens: the k-th row of the batch its k-th best."""
    rows = torch.arange(len(scores))
    best = scores.argsort(-1, descending=True)[rows, rows % 5]
    return torch.full_like(scores, -torch.inf).index_put_((rows, best), torch.zeros(()))


def written(model, ids, mask, **cache):
    with torch.no_grad():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=40,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
            logits_processor=[apart],
            **cache,
        )
    return out.sequences, torch.stack(out.logits)


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [4, 4], [2, 2, 2], [5], [3, 2]])
def test_sharing_writes_the_same(model, sizes):
    ids, mask = prompts(sizes)
    tokens, logits = written(model, ids, mask)
    assert tokens.shape[1] > ids.shape[1] + 20
    with torch.no_grad(), sharing(model, ids, mask) as cache:
        got = written(model, ids, mask, **cache)
    assert torch.equal(got[0], tokens)
    torch.testing.assert_close(got[1], logits, rtol=1e-4, atol=1e-4)


def test_prompts_read_in_autocast_serve_a_model_without_it(model, monkeypatch):
    """accelerate wraps the forward of an adapter's model, whose `generate` calls the one inside."""
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(r=2, target_modules="all-linear"))
    ids, mask = prompts([4, 4])
    tokens, logits = written(model, ids, mask)
    forward = torch.autocast("cpu", torch.bfloat16)(type(adapted).forward)
    monkeypatch.setattr(adapted, "forward", MethodType(forward, adapted))
    with torch.no_grad(), sharing(adapted, ids, mask) as cache:
        assert cache["past_key_values"].layers[0].prompt_values.dtype == torch.bfloat16
        got = written(adapted, ids, mask, **cache)
    assert torch.equal(got[0][:, : ids.shape[1] + 1], tokens[:, : ids.shape[1] + 1])
    torch.testing.assert_close(got[1][0], logits[0], rtol=0.05, atol=0.05)


def test_prompt_is_read_and_kept_once(model, monkeypatch):
    seen, forward = [], model.forward

    def watched(**words):
        seen.append(tuple(words["input_ids"].shape))
        return forward(**words)

    monkeypatch.setattr(model, "forward", watched)
    ids, mask = prompts([4, 4])
    with torch.no_grad(), sharing(model, ids, mask) as cache:
        written(model, ids, mask, **cache)
    assert seen[:2] == [(1, 5), (1, 4)]  # one by one, without padding
    assert set(seen[2:]) == {(8, 1)}
    layer = cache["past_key_values"].layers[0]
    assert layer.prompt_keys.shape[0] == 2
    assert layer.get_seq_length() == 5 + len(seen) - 2


def test_model_is_left_as_it_was(model):
    usual = model.config._attn_implementation
    with torch.no_grad(), suppress(KeyboardInterrupt), sharing(model, *prompts([2, 2])) as cache:
        assert model.config._attn_implementation == SHARED
        assert [type(layer) for layer in cache["past_key_values"].layers] == [SharedLayer] * 2
        raise KeyboardInterrupt
    assert model.config._attn_implementation == usual


def test_model_that_keeps_something_else_goes_its_usual_way():
    model = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))
    with sharing(model, *prompts([2, 2])) as cache:
        assert cache == {}
        assert model.config._attn_implementation != SHARED


def test_model_without_a_cache_goes_its_usual_way():
    model = LlamaForCausalLM(LlamaConfig(**SIZES))
    model.generation_config.use_cache = False
    with sharing(model, *prompts([2, 2])) as cache:
        assert cache == {}


@pytest.mark.parametrize("sizes", [[1, 1, 1], [3, 2]])
def test_rows_that_cannot_share_get_an_empty_cache(model, sizes):
    usual = model.config._attn_implementation
    with sharing(model, *prompts(sizes)) as cache:
        layers = cache["past_key_values"].layers
        assert [type(layer) for layer in layers] == [GrowingLayer] * 2
        assert cache["past_key_values"].get_seq_length() == 0
        assert model.config._attn_implementation == usual
