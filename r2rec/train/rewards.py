"""Rewards of the reinforcement stage (section 3.3): 1 x reasoning step + 2 x ranking correctness.

Pure functions in the trainer's shape: a batch of completions and one column entry per completion in, one
reward in [0, 1] per completion out. Rankings are read by the parser that the metrics use.
"""

import math
from collections.abc import Sequence

from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps, unfinished


def step_reward(completions: Sequence[str], *, low: int, high: int) -> list[float]:
    """1 for low..high steps in the thought, falling linearly to 0 at 0 and at 2 x high steps.

    The paper gives the purpose, not the formula: method.md, "Training". A thought that never ends earns 0:
    its steps lead to no answer, and counting them would pay for writing on until the limit.
    """
    if not 0 <= low <= high or high < 1:
        raise ValueError(
            f"step reward needs 0 <= low <= high and high >= 1, got low={low}, high={high}"
        )
    return [_step_shape(_n_steps(text), low, high) for text in completions]


def ranks(
    completions: Sequence[str],
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[int | None]:
    """Rank (1 = best) of each positive label in its completion's answer; None if missing or invalid."""
    answers = (
        parse_ranking(text, n, reasoned).labels
        for text, n in zip(completions, n_candidates, strict=True)
    )
    return [
        labels.index(label) + 1 if label in labels else None
        for labels, label in zip(answers, positive, strict=True)
    ]


def linear_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """(K - rank) / (K - 1) for K candidates, 1 for a found positive if K = 1; 0 if missing or invalid."""
    found = ranks(completions, positive, n_candidates, reasoned)
    return [
        (k - r) / (k - 1) if r and k > 1 else float(r == 1)
        for r, k in zip(found, n_candidates, strict=True)
    ]


def reciprocal_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """1 / rank; 0 if missing or invalid."""
    return [
        1 / rank if rank else 0.0 for rank in ranks(completions, positive, n_candidates, reasoned)
    ]


def ndcg_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """1 / log2(rank + 1), the NDCG of one positive; 0 if missing or invalid."""
    return [
        1 / math.log2(rank + 1) if rank else 0.0
        for rank in ranks(completions, positive, n_candidates, reasoned)
    ]


def complete(
    completions: Sequence[str], *, n_candidates: Sequence[int], reasoned: bool = True
) -> list[float]:
    """1 where the answer names every candidate, each once; 0 for any other."""
    answers = (
        parse_ranking(text, n, reasoned).labels
        for text, n in zip(completions, n_candidates, strict=True)
    )
    return [float(len(labels) == n) for labels, n in zip(answers, n_candidates, strict=True)]


def _n_steps(completion: str) -> int:
    thought, _ = split_thought(completion, reasoned=True)
    return 0 if thought is None or unfinished(completion) else len(thought_steps(thought))


def _step_shape(n: int, low: int, high: int) -> float:
    if n < low:
        return n / low
    return min(1.0, max(0.0, (2 * high - n) / high))
