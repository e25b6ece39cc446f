"""Keys and values that grow in place, or are shared, give what transformers' own cache gives."""

from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig
from transformers.cache_utils import DynamicLayer

from r2rec.llm import kv


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.5}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, pad_token_id=0, eos_token_id=1)).eval()


def prompts(sizes, length=6):
    """As many rows of each prompt as `sizes` says; all but the first have some padding at their left."""
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
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=40, do_sample=False, output_logits=True,
                             return_dict_in_generate=True, logits_processor=[apart], **cache)  # fmt: skip
    return out.sequences, torch.stack(out.logits)


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [4, 4], [2, 2, 2], [5], [3, 2]])
@pytest.mark.parametrize("how", ["growing", "sharing"])
def test_the_same_is_written(model, sizes, how):
    ids, mask = prompts(sizes)
    tokens, logits = written(model, ids, mask)
    assert tokens.shape[1] > ids.shape[1] + 20
    if how == "growing":
        got = written(model, ids, mask, **kv.growing(model))
    else:
        with torch.no_grad(), kv.sharing(model, ids, mask) as cache:
            got = written(model, ids, mask, **cache)
    assert torch.equal(got[0], tokens)
    torch.testing.assert_close(got[1], logits, rtol=1e-4, atol=1e-4)


def test_a_prompt_is_read_and_kept_once(model, monkeypatch):
    seen, forward = [], model.forward

    def watched(**words):
        seen.append(tuple(words["input_ids"].shape))
        return forward(**words)

    monkeypatch.setattr(model, "forward", watched)
    ids, mask = prompts([4, 4])
    with torch.no_grad(), kv.sharing(model, ids, mask) as cache:
        written(model, ids, mask, **cache)
    assert seen[0] == (2, 5)
    assert set(seen[1:]) == {(8, 1)}
    layer = cache["past_key_values"].layers[0]
    assert layer.prompt[0].shape[0] == 2
    assert layer.get_seq_length() == 5 + len(seen) - 1


def test_the_model_is_left_as_it_was(model):
    usual = model.config._attn_implementation
    with torch.no_grad(), suppress(KeyboardInterrupt), kv.sharing(model, *prompts([2, 2])):
        assert model.config._attn_implementation == kv.SHARED
        raise KeyboardInterrupt
    assert model.config._attn_implementation == usual


def test_a_model_that_keeps_something_else_has_its_own_cache():
    config = MistralConfig(vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, sliding_window=4,
                           num_attention_heads=1, num_key_value_heads=1)  # fmt: skip
    assert kv.growing(type("model", (), {"config": config})) == {}


CHANGES = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 9)),
    st.tuples(st.just("crop"), st.integers(1, 3)),
    st.tuples(st.just("select"), st.lists(st.integers(0, 1), min_size=2, max_size=2)),
)


@given(st.lists(CHANGES, max_size=12))
def test_a_layer_that_grows_is_the_layer_it_stands_for(changes):
    draw = torch.Generator().manual_seed(0)
    ours, theirs = kv.Growing(), DynamicLayer()
    for what, by in [("add", 4), *changes]:
        if what == "add":
            new = [torch.randn(2, 3, by, d, generator=draw) for d in (4, 5)]  # values may be of another width
            got, wanted = ours.update(*new), theirs.update(*new)
            assert all(torch.equal(a, b) for a, b in zip(got, wanted, strict=True))
        elif what == "crop" and theirs.get_seq_length() > by:
            ours.crop(-by), theirs.crop(-by)
        elif what == "select":
            ours.batch_select_indices(torch.tensor(by)), theirs.batch_select_indices(torch.tensor(by))
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)


def test_what_is_held_is_not_copied_for_every_token():
    layer, places = kv.Growing(), set()
    for _ in range(1000):
        layer.update(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 2))
        places.add(layer.rooms[0].shape[-2])
    assert len(places) < 20
