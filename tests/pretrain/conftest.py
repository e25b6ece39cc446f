"""What the tests of the backbone's training share."""

from typing import Any

import pytest

from r2rec.base import seeds
from r2rec.pretrain.tokenizer import make_tokenizer


@pytest.fixture(scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """The tokenizer of a file's SPEC."""
    return make_tokenizer(request.module.SPEC, seeds.generator(0, "backbone"))
