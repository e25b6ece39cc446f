"""Blocks of keys and values hold what the library's own layers do, whatever is done to them."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, LlamaConfig
from transformers.cache_utils import DynamicLayer

from r2rec.llm.cache import ROOM, GrowingLayer

steps = st.lists(
    st.one_of(st.integers(1, 2 * ROOM), st.sampled_from(["reset", "reorder", "crop"])), max_size=12
)


@given(steps)
def test_it_is_the_librarys_layer(taken):
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
            for got, expected in zip(
                ours.update(keys, values), theirs.update(keys, values), strict=True
            ):
                torch.testing.assert_close(got, expected, rtol=0, atol=0)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_generation_uses_it_and_training_goes_through_it():
    cache = DynamicCache(config=LlamaConfig(num_hidden_layers=2))
    assert [type(layer) for layer in cache.layers] == [GrowingLayer] * 2
    keys = torch.randn(1, 1, 3, 4, requires_grad=True)
    got, _ = cache.layers[0].update(keys, keys)
    got.sum().backward()
    assert (keys.grad == 1).all()
