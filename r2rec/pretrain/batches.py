"""Generated prompts as batches of token ids."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from r2rec.base import seeds
from r2rec.config import TinySpec
from r2rec.llm import load
from r2rec.pretrain.levels import Example, level_at
from r2rec.pretrain.tokenizer import title_pieces
from r2rec.pretrain.weighed import piece_drill
from r2rec.pretrain.worlds import world_examples

if TYPE_CHECKING:
    from torch import Tensor

WORLDS_PER_POOL = 8
PIECE_DRILLS = 0.3  # for each other example, where chains are evidence

Encoded = tuple[list[int], list[bool]]  # token ids of a conversation, and which are learned


class TokenBatch(NamedTuple):
    """One optimiser step."""

    pool: int  # the first step of the pool it was cut from
    tokens: "Tensor"  # [n, length], padding (0) on the right
    learned: "Tensor"  # [n, length] whether the loss is over a token


def token_batches(tokenizer: Any, spec: TinySpec, step: int = 0) -> Iterator[TokenBatch]:
    """Batches of about `spec.batch_tokens` tokens, padding included, without end.

    Batches are cut from pools sorted by length. A pool depends on its first step alone, so training
    goes on from a pool as if it had never stopped.

    Args:
        step: The first step of a pool.
    """
    # Weights to start from enter by their content, wherever they lie.
    start = spec.start or ""
    checksums = load.fingerprint(spec.start).values()
    if checksums:
        start = "-".join(checksums)
    pieces = title_pieces(tokenizer)
    while True:
        first_step = step
        rng = seeds.generator(0, f"backbone.{start}{first_step}")
        progress = 1.0
        if not spec.start:
            progress = first_step / spec.steps
        pool = _encoded_pool(tokenizer, spec, progress, rng, pieces)
        groups = _cut(pool, spec.batch_tokens)
        for index in rng.permutation(len(groups)):
            yield _padded_batch(first_step, groups[index])
            step += 1


def _encoded_pool(
    tokenizer: Any,
    spec: TinySpec,
    progress: float,
    rng: np.random.Generator,
    pieces: Sequence[str],
) -> list[Encoded]:
    """The examples of a few worlds, shortest first."""
    examples = []
    for _ in range(WORLDS_PER_POOL):
        level = level_at(progress, rng, spec.chains)
        examples += world_examples(rng, level, spec.prompts_per_world)
    if spec.chains == "evidence":
        n_drills = round(PIECE_DRILLS * len(examples))
        examples += [piece_drill(pieces, rng) for _ in range(n_drills)]
    pool = [encode_example(tokenizer, example) for example in examples]
    pool.sort(key=lambda encoded: len(encoded[0]))
    return pool


def _cut(pool: list[Encoded], batch_tokens: int) -> list[list[Encoded]]:
    """Runs of the sorted pool that fit into `batch_tokens`; a longer example stands alone."""
    groups: list[list[Encoded]] = [[]]
    for encoded in pool:
        group = groups[-1]
        padded_tokens = (len(group) + 1) * len(encoded[0])
        if group and padded_tokens > batch_tokens:
            group = []
            groups.append(group)
        group.append(encoded)
    return groups


def _padded_batch(pool: int, group: list[Encoded]) -> TokenBatch:
    import torch

    longest = len(group[-1][0])
    tokens = torch.zeros(len(group), longest, dtype=torch.long)
    learned = torch.zeros(len(group), longest, dtype=torch.bool)
    for row, (ids, is_learned) in enumerate(group):
        tokens[row, : len(ids)] = torch.tensor(ids)
        learned[row, : len(ids)] = torch.tensor(is_learned)
    return TokenBatch(pool, tokens, learned)


def encode_example(tokenizer: Any, example: Example) -> Encoded:
    """Token ids of a whole conversation, and which of them the loss is over."""
    head = tokenizer.encode(f"<|user|>{example.prompt}<|assistant|>{example.given}")
    text = f"{example.completion[len(example.given) :]}<|end|>"
    tail = tokenizer(text, return_offsets_mapping=True)
    spans = [match.span() for match in re.finditer(example.learned or "(?s).+", text)]
    learned = [False] * len(head)
    for start, end in tail["offset_mapping"]:
        learned.append(any(start < stop and begin < end for begin, stop in spans))
    return head + tail["input_ids"], learned
