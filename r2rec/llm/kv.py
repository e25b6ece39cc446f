"""Keys and values that grow in place, and that rows with the same prompt share.

transformers' own cache copies all that it holds to add a token, and holds a prompt once for every row that begins with
it. In GRPO the rows of a group do, and the prompt is longer than the answer: here it is read once, kept once, and each
new token of the whole group looks at it in one product (as in Hydragen, Juravsky et al., 2024). Same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

SHARED = "shared_prompt"  # the name that `attend` goes by in a model's config


class Growing(DynamicLayer):
    """A layer with room behind its last token: `keys` and `values` are views of what is filled."""

    keys: Tensor
    values: Tensor
    rooms: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Keys and values [rows, heads, tokens, d] with the new ones at their end."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held, rooms = (self.keys, self.values), self.rooms or (self.keys, self.values)
        added = [_added(*parts) for parts in zip(held, rooms, (key_states, value_states), strict=True)]
        (self.keys, key_room), (self.values, value_room) = added
        self.rooms = key_room, value_room
        return self.keys, self.values


def _added(held: Tensor, room: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """(What is held then, the room it is in): half as much again as is needed wherever more must be found."""
    n = held.shape[-2] if held.numel() else 0
    end = n + new.shape[-2]
    if not n or room.data_ptr() != held.data_ptr() or room.shape[:-2] != new.shape[:-2] or room.shape[-2] < end:
        room = new.new_empty(*new.shape[:-2], end + end // 2, new.shape[-1])
        if n:
            room[..., :n, :] = held
    room[..., n:end, :] = new
    return room[..., :end, :], room


class Parts(NamedTuple):
    """Keys, or values, as `attend` takes them."""

    prompt: Tensor  # [groups, heads, p, d]
    own: Tensor  # [rows, heads, s, d]: what each row has after its prompt


class Shared(Growing):
    """What the prompts of groups left, and behind it what each row adds."""

    def __init__(self, prompt: Growing) -> None:
        super().__init__()
        self.prompt: tuple[Tensor, Tensor] = prompt.keys, prompt.values

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Any, Any]:
        own = super().update(key_states, value_states)
        return Parts(self.prompt[0], own[0]), Parts(self.prompt[1], own[1])

    def get_seq_length(self) -> int:
        return self.prompt[0].shape[-2] + super().get_seq_length()


def attend(
    module: Any, query: Tensor, key: Parts, value: Parts, attention_mask: Tensor | None, scaling: float, **more: Any
) -> tuple[Tensor, None]:
    """Attention [rows, 1, heads, d] of one new token in every row, [rows, heads, 1, d]: one softmax over both parts."""
    rows, heads, tokens, d = query.shape
    groups, kv, p, _ = key.prompt.shape
    if tokens != 1 or rows % groups or heads % kv:
        raise ValueError(f"{rows} rows of {tokens} tokens can't share {groups} prompts")
    if more.get("softcap") or more.get("s_aux") is not None:
        raise ValueError("shared prompts know plain attention alone, without a cap on scores and without sinks")

    def grouped(x: Tensor) -> Tensor:  # [rows, kv, heads / kv, n] -> [groups, kv, rows / groups x heads / kv, n]
        return x.view(groups, rows // groups, kv, heads // kv, -1).transpose(1, 2).flatten(2, 3)

    def apart(x: Tensor) -> Tensor:  # and back
        return x.view(groups, kv, rows // groups, heads // kv, -1).transpose(1, 2).flatten(0, 1)

    asked = (query * scaling).view(rows, kv, heads // kv, d)
    scores = torch.cat([apart(grouped(asked) @ key.prompt.mT), asked @ key.own.mT], -1)
    if attention_mask is not None:
        scores += torch.where(attention_mask, 0.0, -torch.inf).to(scores.dtype)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    seen = apart(grouped(weights[..., :p]) @ value.prompt) + weights[..., p:] @ value.own
    return seen.reshape(rows, 1, heads, d), None


AttentionInterface.register(SHARED, attend)
AttentionMaskInterface.register(SHARED, sdpa_mask)


def growing(model: Any) -> dict[str, Any]:
    """What `generate` needs to grow in place: nothing where the model keeps more than plain keys and values."""
    layers = DynamicCache(config=model.config).layers
    if not layers or any(type(layer) is not DynamicLayer for layer in layers):
        return {}
    cache = DynamicCache(config=model.config)
    cache.layers = [Growing() for _ in layers]
    return {"past_key_values": cache}


@contextmanager
def sharing(model: Any, ids: Tensor, mask: Tensor) -> Iterator[dict[str, Any]]:
    """What `generate` needs for rows of which as many as follow each other have the same prompt, [rows, p + 1].

    The prompts are read here, all but their last token; where no row shares its prompt, or groups differ in size, or
    the model keeps more than plain keys and values, it is what `growing` gives.
    """
    _, sizes = torch.cat([ids, mask], 1).unique_consecutive(dim=0, return_counts=True)
    size, plain = int(sizes[0]), growing(model)
    if not plain or ids.shape[1] < 2 or size == 1 or bool((sizes != size).any()):
        yield plain
        return
    first, cache = slice(None, None, size), plain["past_key_values"]
    prompt, shown = ids[first, :-1], mask[first, :-1]
    places = (shown.cumsum(-1) - 1).clamp(min=0)  # as `generate` counts them: without the padding at the left
    model(input_ids=prompt, attention_mask=shown, position_ids=places, past_key_values=cache, logits_to_keep=1)
    cache.layers = [Shared(layer) for layer in cache.layers]
    config = model.config.get_text_config(decoder=True)
    usual = config._attn_implementation
    config._attn_implementation = SHARED
    try:
        yield plain
    finally:
        config._attn_implementation = usual
