"""Losses of the classical baselines, on the scores of a positive item and of drawn negatives.

Scores come as `positive` [n] and `negative` [n, k]; each loss is a mean over n, in nats.
"""

from collections.abc import Callable
from math import log

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED_SCORE = -1e4  # of a drawn negative that is the positive itself


def bpr(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., 2009): each negative below the positive."""
    return -F.logsigmoid(positive[:, None] - negative).mean()


def bce(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Binary cross-entropy with k negatives: the loss of SASRec and Caser as published."""
    return -(F.logsigmoid(positive) + F.logsigmoid(-negative).sum(1)).mean()


def softmax(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Cross-entropy over all items, estimated from k uniformly drawn negatives."""
    k = negative.shape[1]
    correction = log(max(1, n_items - 1) / k)  # each negative stands for (n_items - 1) / k items
    others = negative.logsumexp(1) + correction
    return (torch.logaddexp(positive, others) - positive).mean()


LOSSES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "bpr": bpr,
    "bce": bce,
    "softmax": softmax,
}
