"""Rows that begin with the same prompt share its keys and values.

transformers' caches hold a prompt once for every row that begins with it. In GRPO all rollouts of
a group begin with the same prompt, which is longer than their answers. Here the prompt is read once
and kept once, and each new token of the whole group attends to it in one product (as in Hydragen,
Juravsky et al., 2024). The numbers are the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from r2rec.compat.transformers import attention
from r2rec.llm.cache import GrowingLayer, growing_cache

SHARED = "shared_prompt"  # the name of `attend` in a model's config


class SplitStates(NamedTuple):
    """Keys, or values, as `attend` takes them."""

    prompt: Tensor  # [groups, heads, p, d]
    own: Tensor  # [rows, heads, s, d]: what each row has after its prompt


class PromptLayer(GrowingLayer):
    """The prompts of groups of rows; a subclass keeps what each row adds."""

    is_croppable = False

    def __init__(self, prompt: GrowingLayer) -> None:
        super().__init__()
        self.prompt_keys = prompt.keys
        self.prompt_values = prompt.values
        self.is_initialized = True

    def with_prompts(self, keys: Tensor, values: Tensor) -> tuple[SplitStates, SplitStates]:
        """The rows' own keys and values, with those of the prompts beside them."""
        # accelerate's autocast read the prompts, but `generate` calls the model inside of it
        self.prompt_keys = self.prompt_keys.to(keys.dtype)
        self.prompt_values = self.prompt_values.to(values.dtype)
        return SplitStates(self.prompt_keys, keys), SplitStates(self.prompt_values, values)

    def get_seq_length(self) -> int:
        """Tokens of the prompts."""
        return int(self.prompt_keys.shape[-2])


class SharedLayer(PromptLayer):
    """The prompts, and behind them the tokens that all rows add at the same places."""

    def __init__(self, prompt: GrowingLayer) -> None:
        super().__init__(prompt)
        self.own = GrowingLayer()

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Append a token to each row; return keys and values in two parts each."""
        return self.with_prompts(*self.own.update(key_states, value_states))

    def get_seq_length(self) -> int:
        """Tokens of a row, its prompt included."""
        return super().get_seq_length() + self.own.get_seq_length()


def attend(
    module: Any,
    query: Tensor,
    key: SplitStates,
    value: SplitStates,
    attention_mask: Tensor | None,
    scaling: float,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attention [rows, t, heads, d] of new tokens to the prompt and the own tokens of their row.

    One softmax goes over both parts.

    Args:
        query: [rows, heads, t, d].
        attention_mask: [rows, 1, t, p + s], True where a token is seen.

    Raises:
        ValueError: Sizes that do not divide, or attention with a cap on scores or with sinks.
    """
    rows, heads, tokens, width = query.shape
    groups, kv_heads, prompt_length, _ = key.prompt.shape
    if rows % groups or heads % kv_heads:
        raise ValueError(f"{rows} rows with {heads} heads cannot share {groups} prompts")
    if options.get("softcap") or options.get("s_aux") is not None:
        raise ValueError("shared prompts support neither capped scores nor attention sinks")
    size = rows // groups
    per_kv = heads // kv_heads * tokens  # queries of a row that meet the same keys

    def by_group(x: Tensor) -> Tensor:
        """[rows, kv, per_kv, n] -> [groups, kv, size * per_kv, n]."""
        split = x.view(groups, size, kv_heads, per_kv, -1)
        return split.transpose(1, 2).flatten(2, 3)

    def by_row(x: Tensor) -> Tensor:
        """[groups, kv, size * per_kv, n] -> [rows, kv, per_kv, n]."""
        split = x.view(groups, kv_heads, size, per_kv, -1)
        return split.transpose(1, 2).flatten(0, 1)

    queries = (query * scaling).reshape(rows, kv_heads, per_kv, width)
    prompt_scores = by_row(by_group(queries) @ key.prompt.mT)
    own_scores = queries @ key.own.mT
    scores = torch.cat([prompt_scores, own_scores], -1)
    if attention_mask is not None:
        hiding = torch.where(attention_mask, 0.0, -torch.inf)
        by_head = scores.view(rows, kv_heads, -1, tokens, scores.shape[-1])
        by_head += hiding[:, :, None].to(scores.dtype)
    weights = scores.softmax(-1, dtype=torch.float32)
    weights = weights.to(query.dtype)
    prompt_weights = by_group(weights[..., :prompt_length])
    own_weights = weights[..., prompt_length:]
    seen = by_row(prompt_weights @ value.prompt) + own_weights @ value.own
    return seen.reshape(rows, heads, tokens, width).transpose(1, 2), None


@contextmanager
def sharing(model: Any, ids: Tensor, mask: Tensor) -> Iterator[dict[str, Any]]:
    """Arguments of `generate` for rows [rows, length], in groups that have the same prompt.

    Each prompt is read here once, all but its last token. Where no rows share a prompt, where
    groups differ in size, or where the model keeps more than plain keys and values, `generate`
    reads all rows as usual.
    """
    cache = growing_cache(model)
    if cache is None:
        yield {}
        return
    arguments = {"past_key_values": cache}
    size = group_size(ids, mask)
    plain = all(type(layer) is GrowingLayer for layer in cache.layers)
    if size == 1 or ids.shape[1] < 2 or not plain:
        yield arguments
        return
    first_ids = ids[::size]
    first_mask = mask[::size]
    read_prompts(model, cache, first_ids[:, :-1], first_mask[:, :-1])
    cache.layers = [SharedLayer(layer) for layer in cache.layers]
    with attention(model, SHARED, attend):
        yield arguments


def group_size(ids: Tensor, mask: Tensor) -> int:
    """How many rows in a row have the same prompt; 1 where groups differ in size."""
    rows = torch.cat([ids, mask], 1)
    _, counts = torch.unique_consecutive(rows, dim=0, return_counts=True)
    size = int(counts[0])
    if bool((counts != size).any()):
        return 1
    return size


def read_prompts(
    model: Any,
    cache: Any,
    ids: Tensor,
    mask: Tensor,
) -> None:
    """Fill the growing layers of an empty cache with prompts [groups, p], padded on the left.

    A CPU reads them one by one: that keeps it as busy, needs no mask, and what a layer computes
    stays near the processor. 64 prompts of 1,000 tokens took 1.9 s in place of 4.9 s.
    """
    if ids.device.type != "cpu" or len(ids) == 1:
        _read(model, cache, ids, mask)
        return
    parts = []
    for row, seen in zip(ids, mask.bool(), strict=True):
        part = growing_cache(model)
        assert part is not None
        own = row[seen][None]
        _read(model, part, own, torch.ones_like(own))
        parts.append(part)
    for number, layer in enumerate(cache.layers):
        keys = [part.layers[number].keys[0] for part in parts]
        values = [part.layers[number].values[0] for part in parts]
        layer.update(_padded_left(keys), _padded_left(values))


def _read(model: Any, cache: Any, ids: Tensor, mask: Tensor) -> None:
    # positions as `generate` counts them: padding does not count
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        logits_to_keep=1,
    )


def _padded_left(rows: list[Tensor]) -> Tensor:
    """Rows [heads, n, d] of different n as one tensor [rows, heads, longest n, d]."""
    heads, _, width = rows[0].shape
    longest = max(row.shape[1] for row in rows)
    padded = rows[0].new_zeros(len(rows), heads, longest, width)
    for place, row in zip(padded, rows, strict=True):
        place[:, longest - row.shape[1] :] = row
    return padded
