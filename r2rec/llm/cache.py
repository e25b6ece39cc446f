"""Keys and values of a decoder, in blocks with room to grow. Importing this is enough: transformers knows its layers.

The library's own layer copies all it has at every token (0.7 of a small model's time on a CPU, measured), and its
static one is read to its end, empty or not.
"""

from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicLayer

ROOM = 256  # tokens


class GrowingLayer(DynamicLayer):
    """Appends in place, and moves to a larger block when one is full."""

    _layer_type = "full_attention"  # takes the place of the library's own

    keys: Tensor
    values: Tensor
    blocks: tuple[Tensor, ...] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        if (
            key_states.requires_grad
        ):  # training reads a prompt once, and a gradient goes through no block
            return super().update(key_states, value_states, *args, **kwargs)
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, new = self.get_seq_length(), (key_states, value_states)
        end = start + key_states.shape[-2]
        blocks = self.blocks
        if (
            blocks is None
            or blocks[0].shape[-2] < end
            or self.keys.data_ptr() != blocks[0].data_ptr()
        ):
            blocks = tuple(
                states.new_empty(*states.shape[:2], end + ROOM, states.shape[-1]) for states in new
            )
            for block, known in zip(blocks, (self.keys, self.values), strict=True):
                if start:
                    block[:, :, :start] = known
        for block, states in zip(blocks, new, strict=True):
            block[:, :, start:end] = states
        self.blocks = blocks
        self.keys, self.values = (block[:, :, :end] for block in blocks)
        return self.keys, self.values
