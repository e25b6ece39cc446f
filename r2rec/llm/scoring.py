"""Log-probabilities of given answers, from one forward pass over each prompt.

Nothing is generated, and the head sees the last positions alone. Logits of every position, [batch,
length, vocabulary], would take 16 GB for a batch of prompts of an 8B model.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

MAX_ROWS = 256  # sequences at once, however short: the head makes a row of vocabulary size for each


def option_logprobs(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    options: list[list[int]],
    batch_tokens: int,
) -> NDArray[np.float32]:
    """log P(option | prompt) [n, k] of token sequences.

    The first tokens of all options come from one pass over the prompt. An option of several tokens
    takes one more pass, with its own tokens behind the prompt.

    Args:
        prompts: Token ids of n prompts.
        options: Token ids of k options, at least one token each.
        batch_tokens: Tokens in a batch, padding included; a longer prompt goes alone.
    """
    pad = tokenizer.pad_token_id
    shape = (len(prompts), len(options))
    table = np.empty(shape, np.float32)
    first_tokens = [option[0] for option in options]
    for rows, logprobs in _last_logprobs(model, pad, prompts, 1, batch_tokens):
        first = logprobs[:, 0, first_tokens]
        table[rows] = first.cpu().numpy()
    for column, option in enumerate(options):
        rest = option[1:]
        count = len(rest)
        if count == 0:
            continue
        longer = []
        for prompt in prompts:
            longer.append([*prompt, *option[:-1]])
        for rows, logprobs in _last_logprobs(model, pad, longer, count, batch_tokens):
            of_rest = logprobs[:, range(count), rest]
            summed = of_rest.sum(1)
            table[rows, column] += summed.cpu().numpy()
    return table


def length_batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of sequences of similar length, in batches of at most `batch_tokens` padded tokens.

    Longest first, so running out of memory shows in the first batch.
    """
    batch: list[int] = []
    longest_first = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for index in longest_first:
        if batch:
            rows = len(batch)
            longest = lengths[batch[0]]
            if (rows + 1) * longest > batch_tokens or rows == MAX_ROWS:
                yield batch
                batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(
    sequences: list[list[int]],
    pad: int,
    device: Any,
) -> "Tensor":
    """Token ids [n, longest], padded on the right.

    A causal model's earlier positions do not see the padding, so no mask is needed.
    """
    import torch

    longest = max(map(len, sequences))
    rows = []
    for ids in sequences:
        padding = [pad] * (longest - len(ids))
        rows.append(ids + padding)
    return torch.tensor(rows, device=device)


def parts(model: Any) -> tuple[Any, Any]:
    """The decoder without its head, and the head."""
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    return model.get_decoder(), model.get_output_embeddings()


def _last_logprobs(
    model: Any,
    pad: int,
    sequences: list[list[int]],
    count: int,
    batch_tokens: int,
) -> Iterator[tuple[list[int], "Tensor"]]:
    """Per batch: indices [b], and log-probabilities [b, count, vocabulary].

    The k-th of them is of the token that follows the k-th of the last `count` tokens.
    """
    import torch

    model.eval()
    decoder, head = parts(model)
    lengths = [len(ids) for ids in sequences]
    for rows in length_batches(lengths, batch_tokens):
        with torch.inference_mode():
            batch = [sequences[i] for i in rows]
            ends = [lengths[i] for i in rows]
            ids = padded(batch, pad, model.device)
            states = decoder(input_ids=ids, use_cache=False).last_hidden_state
            device = states.device
            column = torch.tensor(ends, device=device)[:, None]
            positions = column + torch.arange(-count, 0, device=device)
            row = torch.arange(len(rows), device=device)[:, None]
            logits = head(states[row, positions])
            yield rows, logits.float().log_softmax(-1)
