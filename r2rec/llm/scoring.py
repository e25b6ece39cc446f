"""Log-probabilities of given answers, read off one forward pass over each prompt.

Nothing is generated, and the head sees the last positions alone: logits of [batch, length, vocabulary], 16 GB for a
batch of 8B-sized prompts, are never made.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS = 256  # sequences at once, however short: the head makes one row of vocabulary size for each


def option_logprobs(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    options: list[list[int]],
    batch_tokens: int,
) -> NDArray[np.float32]:
    """log P(option | prompt) [n, k] of token sequences.

    The first tokens of all options come from one pass over the prompt; an option of several tokens takes one more, with
    its own tokens behind the prompt.

    Args:
        batch_tokens: Tokens in a batch, padding included; a longer prompt goes alone.
    """
    found = np.empty((len(prompts), len(options)), np.float32)
    for rows, logprobs in _last(model, tokenizer.pad_token_id, prompts, 1, batch_tokens):
        found[rows] = logprobs[:, 0, [option[0] for option in options]].cpu().numpy()
    for column, (_, *rest) in enumerate(options):
        if rest:
            longer = [[*prompt, *options[column][:-1]] for prompt in prompts]
            for rows, logprobs in _last(
                model, tokenizer.pad_token_id, longer, len(rest), batch_tokens
            ):
                found[rows, column] += logprobs[:, range(len(rest)), rest].sum(1).cpu().numpy()
    return found


def length_batches(lengths: list[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices of sequences of similar length, the longest first, so that memory is short at once or never."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and ((len(batch) + 1) * lengths[batch[0]] > batch_tokens or len(batch) == ROWS):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def padded(sequences: list[list[int]], pad: int, device: Any) -> Any:
    """[n, longest], padding on the right: a causal model's earlier positions don't see it, and no mask is needed."""
    import torch

    longest = max(map(len, sequences))
    return torch.tensor([ids + [pad] * (longest - len(ids)) for ids in sequences], device=device)


def parts(model: Any) -> tuple[Any, Any]:
    """The decoder without its head, and the head."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.get_decoder(), base.get_output_embeddings()


def _last(
    model: Any, pad: int, sequences: list[list[int]], count: int, batch_tokens: int
) -> Iterator[tuple]:
    """(indices [b], log-probabilities [b, count, vocabulary] of what follows each of the last `count` tokens)."""
    import torch

    model.eval()
    decoder, head = parts(model)
    lengths = [len(ids) for ids in sequences]
    for rows in length_batches(lengths, batch_tokens):
        with torch.inference_mode():
            ids = padded([sequences[i] for i in rows], pad, model.device)
            hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state
            last = torch.tensor([lengths[i] for i in rows], device=hidden.device)[
                :, None
            ] + torch.arange(-count, 0, device=hidden.device)
            logits = head(
                hidden[torch.arange(len(rows), device=hidden.device)[:, None], last]
            ).float()
            yield rows, logits.log_softmax(-1)
