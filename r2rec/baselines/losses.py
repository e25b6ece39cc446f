"""What a recommender is trained to do with a positive and some negatives.

Scores come as `positive` [n] and `negative` [n, k]; each loss is a mean over n, in nats.
"""

from math import log

import torch
from torch import Tensor
from torch.nn import functional as F


def bpr(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Bayesian personalised ranking (Rendle et al., 2009): each negative below the positive."""
    return -F.logsigmoid(positive[:, None] - negative).mean()


def bce(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Binary cross-entropy with k negatives, the loss of SASRec and Caser as published."""
    return -(F.logsigmoid(positive) + F.logsigmoid(-negative).sum(1)).mean()


def softmax(positive: Tensor, negative: Tensor, n_items: int) -> Tensor:
    """Cross-entropy over all items, from k uniformly drawn ones in place of the others."""
    k = negative.shape[1]
    others = negative.logsumexp(1) + log(max(1, n_items - 1) / k)
    return (torch.logaddexp(positive, others) - positive).mean()


LOSSES = {"bpr": bpr, "bce": bce, "softmax": softmax}
