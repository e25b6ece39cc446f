"""Speculative decoding: several guessed tokens of each row are checked in one pass of the model.

For one new token a pass reads all weights and the whole cache, and for thirty it reads them once as
well. So tokens are guessed (`drafts`), read together, and kept up to the first that the model would
not have chosen; its own choice takes the place of that one. The text is the one that the model
writes token by token, from the same random numbers (Leviathan et al., 2023, with guesses that are
certain of themselves).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from r2rec.compat.transformers import attention, chooses_plainly
from r2rec.llm.cache import GROWTH, GrowingLayer, growing_cache
from r2rec.llm.drafts import Draft
from r2rec.llm.hf import Choose
from r2rec.llm.sharing import SHARED, SplitStates, attend, group_size, read_prompts


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


class DraftedLayer(GrowingLayer):
    """The prompts of groups of rows, and the tokens of each row, written at `slots`.

    Guesses that were wrong are written over by what is read next.
    """

    is_croppable = False

    def __init__(self, prompt: GrowingLayer, slots: Slots) -> None:
        super().__init__()
        self.prompt_keys = prompt.keys
        self.prompt_values = prompt.values
        self.slots = slots
        self.is_initialized = True

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
        # accelerate's autocast read the prompts, but a trainer's model writes inside of it
        self.prompt_keys = self.prompt_keys.to(key_states.dtype)
        self.prompt_values = self.prompt_values.to(value_states.dtype)
        end = self.slots.end
        keys = SplitStates(self.prompt_keys, self.key_block[:, :, :end])
        values = SplitStates(self.prompt_values, self.value_block[:, :, :end])
        return keys, values

    def get_seq_length(self) -> int:
        """Tokens of the prompts, which all rows have."""
        return int(self.prompt_keys.shape[-2])

    def keep(self, rows: Tensor, groups: Tensor) -> None:
        """Drop all rows but these, which belong to these groups; each is its own group then."""
        self.prompt_keys = self.prompt_keys[groups]
        self.prompt_values = self.prompt_values[groups]
        if self.key_block is not None and self.value_block is not None:
            self.key_block = self.key_block[rows]
            self.value_block = self.value_block[rows]


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
    last = ids[:, -1].tolist()
    texts: list[list[int]] = [[] for _ in drafts]
    rows = list(range(len(drafts)))
    group = [row // size for row in rows]

    def is_open(row: int) -> bool:
        text = texts[row]
        return not text or (text[-1] not in ends and len(text) < most)

    with attention(model, SHARED, attend):
        while any(map(is_open, rows)):
            kept = [place for place, row in enumerate(rows) if is_open(row)]
            if 2 * len(kept) <= len(rows):  # the others would be read for nothing
                _keep(cache, kept, [group[place] for place in kept])
                rows = [rows[place] for place in kept]
                group = list(range(len(rows)))
            guesses = []
            inputs = []
            for row in rows:
                room = most - len(texts[row]) - 1
                guess = drafts[row].ahead(room) if is_open(row) else []
                guesses.append(guess)
                inputs.append([texts[row][-1] if texts[row] else last[row], *guess])
            begin = torch.tensor([len(texts[row]) for row in rows], device=ids.device)
            tokens = rectangle(inputs, ids, pad=0)  # after padding nothing is kept
            logits = _read(model, cache, slots, tokens, begin, before[rows])
            places = slots.index.clamp(max=most - 1)
            drawn = numbers[rows].gather(1, places).flatten()
            chosen = choose(logits.flatten(0, 1).float(), drawn).view_as(tokens).tolist()
            for row, guess, choice in zip(rows, guesses, chosen, strict=True):
                if is_open(row):
                    new = _agreed(guess, choice, ends)
                    texts[row] += new
                    drafts[row].follow(new)
    return texts


def _keep(cache: Any, rows: list[int], groups: list[int]) -> None:
    device = cache.layers[0].prompt_keys.device
    for layer in cache.layers:
        layer.keep(torch.tensor(rows, device=device), torch.tensor(groups, device=device))


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
