"""A cache of keys and values that appends in place.

transformers' own layer copies everything it holds at every token: 0.7 of a small model's time on a
CPU, measured. Its static layer is read to its end, whether that is filled or not.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor

from r2rec.compat.transformers import default_cache

if TYPE_CHECKING:

    class DynamicLayer:
        """Outline for type checkers of the class below."""

        keys: Tensor
        values: Tensor
        is_initialized: bool

        def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None: ...
        def update(
            self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
        ) -> tuple[Any, Any]: ...
        def get_seq_length(self) -> int: ...

else:
    from transformers.cache_utils import DynamicLayer

GROWTH = 256  # tokens of free room in a new block


class GrowingLayer(DynamicLayer):
    """One layer's keys and values [batch, heads, tokens, d], in blocks with room to grow.

    New tokens are written into the block; a full block is replaced by a larger one.
    """

    key_block: Tensor | None = None
    value_block: Tensor | None = None

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Append the new tokens; return all keys and values."""
        if key_states.requires_grad:  # no gradient flows through a block that is written in place
            return super().update(key_states, value_states, *args, **kwargs)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        key_block = self.key_block
        value_block = self.value_block
        if key_block is None or value_block is None or not self._has_room(key_block, end):
            key_block = _larger_block(self.keys, key_states, start)
            value_block = _larger_block(self.values, value_states, start)
            self.key_block = key_block
            self.value_block = value_block
        key_block[:, :, start:end] = key_states
        value_block[:, :, start:end] = value_states
        self.keys = key_block[:, :, :end]
        self.values = value_block[:, :, :end]
        return self.keys, self.values

    def _has_room(self, key_block: Tensor, end: int) -> bool:
        """Whether the block reaches to `end` and still is what `keys` shows (`reset` drops it)."""
        current = key_block.data_ptr() == self.keys.data_ptr()
        return current and key_block.shape[-2] >= end


def _larger_block(held: Tensor, new: Tensor, length: int) -> Tensor:
    """A block for `length` held tokens, which are copied into it, the new ones, and some more."""
    batch, heads, tokens, width = new.shape
    size = length + tokens + GROWTH
    block = new.new_empty(batch, heads, size, width)
    if length:
        block[:, :, :length] = held
    return block


def growing_cache(model: Any) -> Any | None:
    """The cache that `model.generate` would make, its plain layers replaced by growing ones.

    None where `generate` uses no such cache, or one without any plain layer.
    """
    cache = default_cache(model)
    if cache is None:
        return None
    layers = []
    for layer in cache.layers:
        layers.append(GrowingLayer() if type(layer) is DynamicLayer else layer)
    if not any(type(layer) is GrowingLayer for layer in layers):
        return None
    cache.layers = layers
    return cache
