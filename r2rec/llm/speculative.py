"""Speculative decoding: several guessed tokens of each row are checked in one pass of the model.

For one new token a pass reads all weights and the whole cache, and for thirty it reads them once as
well. So tokens are guessed (`drafts`), read together, and kept up to the first that the model would
not have chosen; its own choice takes the place of that one. The text is the one that the model
writes token by token, from the same random numbers (Leviathan et al., 2023, with guesses that are
certain of themselves).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from r2rec.compat.transformers import attention, chooses_plainly
from r2rec.llm.cache import GROWTH, GrowingLayer, growing_cache
from r2rec.llm.drafts import Draft
from r2rec.llm.hf import Choose
from r2rec.llm.sharing import SHARED, PromptLayer, attend, group_size, read_prompts


class Slots:
    """Where the rows write what they read next: the same places in every layer.

    Attributes:
        index: [rows, tokens]; 0 is the place of the prompt's last token.
        end: How many places of a row are in use.
    """

    index: Tensor
    end: int

    def write(self, block: Tensor | None, states: Tensor) -> Tensor:
        """The block [rows, heads, places, d] with states [rows, heads, tokens, d] at the slots."""
        rows, heads, _, width = states.shape
        if block is None or block.shape[2] < self.end:
            larger = states.new_zeros(rows, heads, self.end + GROWTH, width)
            if block is not None:
                larger[:, :, : block.shape[2]] = block
            block = larger
        row = torch.arange(rows, device=states.device)[:, None]
        block[row, :, self.index] = states.transpose(1, 2)
        return block


class DraftedLayer(PromptLayer):
    """The prompts, and behind them the tokens of each row, written at `slots`.

    Guesses that were wrong are written over by what is read next.
    """

    def __init__(self, prompt: GrowingLayer, slots: Slots) -> None:
        super().__init__(prompt)
        self.slots = slots

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Write the tokens of each row; return keys and values in two parts each."""
        self.key_block = self.slots.write(self.key_block, key_states)
        self.value_block = self.slots.write(self.value_block, value_states)
        end = self.slots.end
        return self.with_prompts(self.key_block[:, :, :end], self.value_block[:, :, :end])

    def keep(self, rows: Tensor, groups: Tensor) -> None:
        """Drop all rows but these, which belong to these groups; each is its own group then."""
        self.prompt_keys = self.prompt_keys[groups]
        self.prompt_values = self.prompt_values[groups]
        if self.key_block is not None and self.value_block is not None:
            self.key_block = self.key_block[rows]
            self.value_block = self.value_block[rows]


@dataclass
class WrittenRow:
    """A row that is written.

    Attributes:
        index: Its place in the batch.
        group: Its group in the cache: rows of a group have the same prompt.
        last: Its last token, of the prompt at first.
    """

    index: int
    group: int
    last: int
    draft: Draft
    text: list[int] = field(default_factory=list)
    is_open: bool = True

    def next_read(self, most: int) -> list[int]:
        """The last token, and a guess at what follows it; `most` tokens make a whole text."""
        if not self.is_open:
            return [self.last]
        return [self.last, *self.draft.ahead(most - len(self.text) - 1)]

    def take(self, read: list[int], chosen: list[int], most: int, ends: Sequence[int]) -> None:
        """Go on with what the model chose after each token that it read."""
        if not self.is_open:
            return
        new = _agreed(read[1:], chosen, ends)
        self.text += new
        self.last = new[-1]
        self.is_open = self.last not in ends and len(self.text) < most
        self.draft.follow(new)


def can_draft(model: Any, ids: Tensor) -> bool:
    """Whether `write` can continue prompts [rows, length] of this model.

    It must keep plain keys and values, and choose by its logits alone.
    """
    cache = growing_cache(model)
    if cache is None or ids.shape[1] < 2 or not chooses_plainly(model):
        return False
    return all(type(layer) is GrowingLayer for layer in cache.layers)


def write(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    drafts: Sequence[Draft],
    choose: Choose,
    numbers: Tensor,
    ends: Sequence[int],
) -> list[list[int]]:
    """What each row goes on with: tokens up to the first of `ends`, that one included.

    Args:
        ids: Prompts [rows, length], padded on the left, as is `mask`.
        numbers: For `choose`, [rows, most new tokens]: one for each token that may be written.
    """
    size = group_size(ids, mask)
    cache = growing_cache(model)
    assert cache is not None
    read_prompts(model, cache, ids[::size, :-1], mask[::size, :-1])
    slots = Slots()
    cache.layers = [DraftedLayer(layer, slots) for layer in cache.layers]
    most = numbers.shape[1]
    before = mask[:, :-1].bool()
    rows = []
    for number, (last, draft) in enumerate(zip(ids[:, -1].tolist(), drafts, strict=True)):
        rows.append(WrittenRow(number, number // size, last, draft))
    texts = [row.text for row in rows]
    with attention(model, SHARED, attend):
        while any(row.is_open for row in rows):
            rows = _narrowed(rows, cache)
            reads = [row.next_read(most) for row in rows]
            tokens = rectangle(reads, ids, pad=0)  # after padding nothing is kept
            begin = torch.tensor([len(row.text) for row in rows], device=ids.device)
            index = torch.tensor([row.index for row in rows], device=ids.device)
            logits = _read(model, cache, slots, tokens, begin, before[index])
            places = slots.index.clamp(max=most - 1)
            drawn = numbers[index].gather(1, places).flatten()
            chosen = choose(logits.flatten(0, 1).float(), drawn).view_as(tokens).tolist()
            for row, read, choice in zip(rows, reads, chosen, strict=True):
                row.take(read, choice, most, ends)
    return texts


def _narrowed(rows: list[WrittenRow], cache: Any) -> list[WrittenRow]:
    """The rows that are not done, alone in the cache, once these are half of the rows or fewer."""
    kept = [row for row in rows if row.is_open]
    if 2 * len(kept) > len(rows):
        return rows
    device = cache.layers[0].prompt_keys.device
    places = torch.tensor([place for place, row in enumerate(rows) if row.is_open], device=device)
    groups = torch.tensor([row.group for row in kept], device=device)
    for layer in cache.layers:
        layer.keep(places, groups)
    for number, row in enumerate(kept):
        row.group = number
    return kept


def rectangle(rows: Sequence[list[int]], like: Tensor, pad: int) -> Tensor:
    """Rows of tokens as one tensor [rows, longest] beside another, filled up on the right."""
    longest = max(map(len, rows))
    filled = [[*row, *[pad] * (longest - len(row))] for row in rows]
    return torch.tensor(filled, device=like.device)


def _read(
    model: Any, cache: Any, slots: Slots, tokens: Tensor, begin: Tensor, before: Tensor
) -> Tensor:
    """Logits [rows, tokens, vocabulary] after each of these tokens.

    Args:
        begin: [rows]: the place of each row's first token, behind the tokens that it has kept.
        before: [rows, p]: which tokens of its prompt a row has, all but the prompt's last.
    """
    count = torch.arange(tokens.shape[1], device=tokens.device)
    slots.index = begin[:, None] + count
    slots.end = int(slots.index.max()) + 1
    place = torch.arange(slots.end, device=tokens.device)
    own = place <= slots.index[:, :, None]
    prompt = before[:, None].expand(-1, tokens.shape[1], -1)
    seen = torch.cat([prompt, own], -1)[:, None]
    positions = before.sum(-1, keepdim=True) + slots.index
    output = model(
        input_ids=tokens,
        attention_mask=seen,
        position_ids=positions,
        past_key_values=cache,
    )
    logits: Tensor = output.logits
    return logits


def _agreed(guess: list[int], choice: list[int], ends: Sequence[int]) -> list[int]:
    """The choices up to the first that differs from the guess, or that ends the text."""
    kept = []
    for token, guessed in zip(choice, [*guess, None], strict=False):
        kept.append(token)
        if token != guessed or token in ends:
            break
    return kept
