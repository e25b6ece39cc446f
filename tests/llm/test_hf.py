"""The engine `hf`: the nucleus is transformers' own, found with less work."""

import pytest
import torch
from scipy.stats import chisquare
from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

from r2rec.llm import hf


@pytest.mark.parametrize("temperature", [0.1, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_nucleus_is_what_transformers_keeps(temperature, top_p, spread):
    scores = torch.randn(16, 700, generator=torch.Generator().manual_seed(0)) * spread
    want = TemperatureLogitsWarper(temperature)(None, scores)
    if top_p < 1:
        want = TopPLogitsWarper(top_p)(None, want)
    kept, tokens = hf.nucleus(scores, temperature, top_p)
    got = torch.full_like(scores, -torch.inf).scatter_(-1, tokens, kept)
    close = torch.isclose(got, want) | (got == want)
    assert (~close).sum() <= 1  # a token on the border may fall to either side by rounding
    assert (got > -torch.inf).any(-1).all()


def test_nucleus_of_a_small_vocabulary():
    kept, tokens = hf.nucleus(torch.tensor([[0.0, 5.0, 1.0]]), 1.0, 0.5)
    assert tokens[kept > -torch.inf].tolist() == [1]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.9), (2.0, 0.7)])
def test_tokens_are_drawn_by_their_probabilities(temperature, top_p):
    n, one = 20_000, torch.tensor([[2.0, 1.0, -1.0, 0.5, 1.5]])
    kept, tokens = hf.nucleus(one, temperature, top_p)
    wanted = torch.zeros(5).double().scatter_(0, tokens[0], kept[0].double().softmax(-1))
    torch.manual_seed(0)
    drawn = hf.drawn(one.expand(n, -1), temperature, top_p, torch.rand(n))
    counts = drawn.bincount(minlength=5)
    assert (counts[wanted == 0] == 0).all()
    assert chisquare(counts[wanted > 0].numpy(), (wanted[wanted > 0] * n).numpy()).pvalue > 0.001


def test_one_likely_token_is_taken_without_a_draw():
    scores = torch.tensor([[9.0, 0.0, 0.0], [0.0, 0.1, 9.0]])
    assert hf.drawn(scores, 1.0, 0.9, torch.tensor([0.999, 0.0])).tolist() == [0, 2]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_processor_leaves_what_is_chosen(temperature):
    scores = torch.randn(7, 30, generator=torch.Generator().manual_seed(0))
    numbers = torch.rand(7, 2, dtype=torch.float64)
    choose = hf.choosing(temperature, 0.9)
    leave = hf.leaving_chosen(choose, numbers)
    for column in numbers.T:
        left = leave(None, scores)
        assert (left == 0).sum(-1).eq(1).all()
        assert (left[left != 0] == -torch.inf).all()
        assert torch.equal(left.argmax(-1), choose(scores, column))


def test_random_numbers_of_a_row_are_its_own():
    both = hf.random_numbers([3, 4], 5, "cpu")
    assert torch.equal(hf.random_numbers([4], 5, "cpu")[0], both[1])
    assert both.min() >= 0
    assert both.max() < 1


def test_progress_counts_answers_not_batches() -> None:
    from r2rec.base import progress

    told = []
    batches = hf._batches([[1] * n for n in (3, 1, 2, 5, 4)], 2)
    for _ in batches:
        told.append(progress._at_work[-1].text().partition(",")[0])
    assert told == ["0 of 5", "2 of 5", "4 of 5"]
    assert progress._at_work == []
