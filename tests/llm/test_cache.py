"""Growing layers hold what the library's own layers do, whatever is done to them."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from r2rec.llm.cache import GROWTH, GrowingLayer, growing_cache

SIZES = {
    "vocab_size": 50,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "eos_token_id": None,
}
steps = st.lists(
    st.one_of(st.integers(1, 2 * GROWTH), st.sampled_from(["reset", "reorder", "crop"])),
    max_size=12,
)


@given(steps)
def test_growing_layer_equals_the_librarys(taken):
    ours, theirs = GrowingLayer(), DynamicLayer()
    for step in taken:
        if step == "reset":
            ours.reset(), theirs.reset()
        elif step == "reorder":
            order = torch.tensor([1, 1])
            ours.reorder_cache(order), theirs.reorder_cache(order)
        elif step == "crop":
            ours.crop(-1), theirs.crop(-1)
        else:
            keys, values = torch.randn(2, 2, 3, step, 4)
            got = ours.update(keys, values)
            expected = theirs.update(keys, values)
            torch.testing.assert_close(got[0], expected[0], rtol=0, atol=0)
            torch.testing.assert_close(got[1], expected[1], rtol=0, atol=0)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_gradient_goes_through_a_growing_layer():
    keys = torch.randn(1, 1, 3, 4, requires_grad=True)
    got, _ = GrowingLayer().update(keys, keys)
    got.sum().backward()
    assert (keys.grad == 1).all()


def test_generation_with_a_growing_cache_writes_the_same():
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZES, initializer_range=0.5)).eval()
    ids = torch.randint(2, 50, (2, 6))
    settings = {"max_new_tokens": 30, "do_sample": False, "attention_mask": torch.ones_like(ids)}
    expected = model.generate(ids, **settings)
    cache = growing_cache(model)
    assert [type(layer) for layer in cache.layers] == [GrowingLayer] * 2
    assert torch.equal(model.generate(ids, past_key_values=cache, **settings), expected)
    assert cache.layers[0].key_block.shape[-2] > cache.get_seq_length() == 35


def test_only_plain_layers_are_replaced():
    mixed = MistralConfig(**SIZES, sliding_window=4)
    mixed.layer_types = ["full_attention", "sliding_attention"]
    cache = growing_cache(MistralForCausalLM(mixed))
    assert [type(layer) for layer in cache.layers] == [GrowingLayer, DynamicSlidingWindowLayer]
    sliding = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))
    assert growing_cache(sliding) is None


def test_nothing_is_patched_by_an_import():
    """The library's own caches keep the library's own layers."""
    from transformers import DynamicCache

    import r2rec.llm.hf
    import r2rec.llm.paged
    import r2rec.llm.runtime
    import r2rec.llm.sharing  # noqa: F401

    cache = DynamicCache(config=LlamaConfig(**SIZES))
    assert [type(layer) for layer in cache.layers] == [DynamicLayer] * 2
