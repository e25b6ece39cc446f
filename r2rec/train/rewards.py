"""Rewards of reinforcement learning (section 3.3.2): 1 x reasoning steps + 2 x ranking correctness.

A reward is a pure function `(completions, **columns, **params) -> rewards`: n completions (texts)
go in, n numbers in [0, 1] come out. It names the columns it wants: `positive` (n labels of the
held-out items), `n_candidates` (n), `cases` (n, what the prompts tell), `prompts`, `reasoned` (one
bool: whether a thought was asked for). Rankings are read by the parser that the metrics use.
"""

import math
from collections.abc import Sequence

from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps, unfinished
from r2rec.prompts.cases import RankingCase
from r2rec.thoughts.truth import claims_of


def step_reward(completions: Sequence[str], *, low: int, high: int) -> list[float]:
    """1 for low to high steps in the thought, falling linearly to 0 at 0 and at 2 x high steps.

    The paper gives the purpose of this reward (A.2) and no formula; the shape is our decision. A
    thought that never ends earns 0: it leads to no answer, and counting its steps would pay for
    writing on until the limit.

    Raises:
        ValueError: `low` and `high` are no range of steps.
    """
    if not 0 <= low <= high or high < 1:
        raise ValueError(
            f"step reward needs 0 <= low <= high and high >= 1, got low={low}, high={high}"
        )
    return [_step_shape(_count_steps(text), low, high) for text in completions]


def ranks(
    completions: Sequence[str],
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[int | None]:
    """Rank of each positive label in its completion's answer; None if missing or invalid.

    The best rank is 1.

    Args:
        positive: [n] label of the held-out item.
        n_candidates: [n] number of candidates in the prompt.
        reasoned: Whether the prompt asked for a thought before the answer.
    """
    result: list[int | None] = []
    for text, label, n in zip(completions, positive, n_candidates, strict=True):
        labels = parse_ranking(text, n, reasoned).labels
        if label in labels:
            result.append(labels.index(label) + 1)
        else:
            result.append(None)
    return result


def linear_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """(K - rank) / (K - 1) for K candidates; 0 if missing or invalid.

    With one candidate it is 1 where the answer names it.
    """
    rewards = []
    by_row = ranks(completions, positive, n_candidates, reasoned)
    for rank, k in zip(by_row, n_candidates, strict=True):
        if rank is None:
            rewards.append(0.0)
        elif k == 1:
            rewards.append(1.0)
        else:
            rewards.append((k - rank) / (k - 1))
    return rewards


def reciprocal_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """1 / rank; 0 if missing or invalid."""
    rewards = []
    for rank in ranks(completions, positive, n_candidates, reasoned):
        if rank is None:
            rewards.append(0.0)
        else:
            rewards.append(1 / rank)
    return rewards


def ndcg_reward(
    completions: Sequence[str],
    *,
    positive: Sequence[str],
    n_candidates: Sequence[int],
    reasoned: bool = True,
) -> list[float]:
    """1 / log2(rank + 1), the NDCG of one positive; 0 if missing or invalid."""
    rewards = []
    for rank in ranks(completions, positive, n_candidates, reasoned):
        if rank is None:
            rewards.append(0.0)
        else:
            rewards.append(1 / math.log2(rank + 1))
    return rewards


def complete(
    completions: Sequence[str], *, n_candidates: Sequence[int], reasoned: bool = True
) -> list[float]:
    """1 where the answer names every candidate exactly once, else 0."""
    rewards = []
    for text, n in zip(completions, n_candidates, strict=True):
        labels = parse_ranking(text, n, reasoned).labels  # without duplicates, or empty
        rewards.append(float(len(labels) == n))
    return rewards


def truth_reward(completions: Sequence[str], *, cases: Sequence[RankingCase]) -> list[float]:
    """The share of what a thought claims that is true of its prompt. Not in the paper.

    A thought that never ends, or that claims nothing, earns 0. A claim that is made twice counts
    twice.
    """
    rewards = []
    for text, case in zip(completions, cases, strict=True):
        thought, _ = split_thought(text, reasoned=True)
        if thought is None or unfinished(text):
            rewards.append(0.0)
        else:
            rewards.append(claims_of(case, thought).share_true())
    return rewards


def _count_steps(completion: str) -> int:
    """Steps of a finished thought; 0 without one."""
    thought, _ = split_thought(completion, reasoned=True)
    if thought is None or unfinished(completion):
        return 0
    return len(thought_steps(thought))


def _step_shape(n: int, low: int, high: int) -> float:
    """The reward of n steps: up to 1 at `low`, flat, then down to 0 at 2 x `high`."""
    if n < low:
        return n / low
    return min(1.0, max(0.0, (2 * high - n) / high))
