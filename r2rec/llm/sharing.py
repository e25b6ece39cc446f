"""Rows that begin with the same prompt share its keys and values.

transformers' caches hold a prompt once for every row that begins with it. In GRPO the rows of a group do, and the
prompt is longer than the answer: here it is read once, kept once, and each new token of the whole group looks at it in
one product (as in Hydragen, Juravsky et al., 2024). Same numbers.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from r2rec.llm.cache import GrowingLayer

SHARED = "shared_prompt"  # the name that `attend` goes by in a model's config


class Parts(NamedTuple):
    """Keys, or values, as `attend` takes them."""

    prompt: Tensor  # [groups, heads, p, d]
    own: Tensor  # [rows, heads, s, d]: what each row has after its prompt


class Shared(GrowingLayer):
    """What the prompts of groups left, and behind it what each row adds."""

    _layer_type = None  # type: ignore[assignment]  # transformers makes none of its own accord

    def __init__(self, prompt: GrowingLayer) -> None:
        super().__init__()
        self.prompt, self.own = (prompt.keys, prompt.values), GrowingLayer()
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Any, Any]:
        own = self.own.update(key_states, value_states)
        # accelerate's autocast read the prompts, but `generate` calls the model that it wraps
        self.prompt = (self.prompt[0].to(own[0].dtype), self.prompt[1].to(own[1].dtype))
        return Parts(self.prompt[0], own[0]), Parts(self.prompt[1], own[1])

    def get_seq_length(self) -> int:
        return self.prompt[0].shape[-2] + self.own.get_seq_length()


def attend(
    module: Any,
    query: Tensor,
    key: Parts,
    value: Parts,
    attention_mask: Tensor | None,
    scaling: float,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention [rows, 1, heads, d] of one new token in every row, [rows, heads, 1, d]: one softmax over both parts."""
    rows, heads, tokens, d = query.shape
    groups, kv, p, _ = key.prompt.shape
    if tokens != 1 or rows % groups or heads % kv:
        raise ValueError(f"{rows} rows of {tokens} tokens can't share {groups} prompts")
    if more.get("softcap") or more.get("s_aux") is not None:
        raise ValueError(
            "shared prompts know plain attention alone, without a cap on scores and without sinks"
        )

    def grouped(
        x: Tensor,
    ) -> Tensor:  # [rows, kv, heads / kv, n] -> [groups, kv, rows / groups x heads / kv, n]
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


@contextmanager
def sharing(model: Any, ids: Tensor, mask: Tensor) -> Iterator[dict[str, Any]]:
    """What `generate` needs for rows of which as many as follow each other have the same prompt, [rows, p + 1].

    The prompts are read here, all but their last token. Nothing where no row shares its prompt, where groups differ in
    size, or where the model keeps more than plain keys and values: `generate` goes its usual way.
    """
    _, sizes = torch.cat([ids, mask], 1).unique_consecutive(dim=0, return_counts=True)
    cache, size = DynamicCache(config=model.config), int(sizes[0])
    plain = all(type(layer) is GrowingLayer for layer in cache.layers)
    if (
        not plain
        or not cache.layers
        or ids.shape[1] < 2
        or size == 1
        or bool((sizes != size).any())
    ):
        yield {}
        return
    first = slice(None, None, size)
    prompt, shown = ids[first, :-1], mask[first, :-1]
    places = (shown.cumsum(-1) - 1).clamp(
        min=0
    )  # as `generate` counts them: without the padding at the left
    model(
        input_ids=prompt,
        attention_mask=shown,
        position_ids=places,
        past_key_values=cache,
        logits_to_keep=1,
    )
    cache.layers = [Shared(layer) for layer in cache.layers]
    config = model.config.get_text_config(decoder=True)
    usual = config._attn_implementation
    config._attn_implementation = SHARED
    try:
        yield {"past_key_values": cache}
    finally:
        config._attn_implementation = usual
