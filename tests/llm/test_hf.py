"""The engine `hf`: the nucleus is transformers' own, found with less work."""

import pytest
import torch
from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

from r2rec.llm import hf


@pytest.mark.parametrize("temperature", [0.1, 0.6, 1.0, 3.0])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("spread", [0.01, 1.0, 8.0])
def test_the_nucleus_is_what_transformers_keeps(temperature, top_p, spread):
    scores = torch.randn(16, 700, generator=torch.Generator().manual_seed(0)) * spread
    want = TemperatureLogitsWarper(temperature)(None, scores)
    if top_p < 1:
        want = TopPLogitsWarper(top_p)(None, want)
    got = hf.nucleus(temperature, top_p)(None, scores)
    close = torch.isclose(got, want) | (got == want)
    assert (~close).sum() <= 1  # a token on the border may fall to either side by rounding
    assert (got > -torch.inf).any(-1).all()


def test_fewer_tokens_than_are_looked_at():
    got = hf.nucleus(1.0, 0.5)(None, torch.tensor([[0.0, 5.0, 1.0]]))
    assert got.tolist() == [[-torch.inf, 5.0, -torch.inf]]
