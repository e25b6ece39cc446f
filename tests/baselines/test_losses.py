"""Losses against their formulas, written out."""

import math

import pytest
import torch

from r2rec.baselines.losses import bce, bpr, softmax


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_pairwise_losses_are_their_formulas():
    positive = torch.tensor([1.0, -0.5])
    negative = torch.tensor([[0.3, 2.0], [-1.0, 0.0]])
    pairs = [(1.0, 0.3), (1.0, 2.0), (-0.5, -1.0), (-0.5, 0.0)]
    of_pairs = sum(math.log(sigmoid(p - n)) for p, n in pairs)
    assert bpr(positive, negative, 9).item() == pytest.approx(-of_pairs / 4)
    of_positives = sum(math.log(sigmoid(p)) for p in (1.0, -0.5))
    of_negatives = sum(math.log(sigmoid(-n)) for _, n in pairs)
    expected = -(of_positives + of_negatives) / 2
    assert bce(positive, negative, 9).item() == pytest.approx(expected)


def test_softmax_over_every_other_item_is_cross_entropy():
    scores = torch.randn(4, 7)
    expected = torch.nn.functional.cross_entropy(scores, torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(softmax(scores[:, 0], scores[:, 1:], 7), expected)
