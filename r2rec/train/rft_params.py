"""What `rl=rft` takes in `rl.params`."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from r2rec.base.errors import R2RecError


@dataclass(frozen=True)
class RftParams:
    """`rl.params` of this trainer."""

    rounds: int  # of drawing and fine-tuning
    keep: int  # answers kept of each prompt, at most


def rft_params(params: Mapping[str, Any]) -> RftParams:
    """`rl.params`, checked.

    Raises:
        R2RecError: One is missing, unknown, or no whole number of 1 or more.
    """
    names = [spec.name for spec in fields(RftParams)]
    for name in params:
        if name not in names:
            raise R2RecError(f"unknown rl.params.{name}; rl=rft has {', '.join(names)}")
    for name in names:
        value = params.get(name)
        if type(value) is not int or value < 1:  # True is an int as well
            raise R2RecError(f"rl.params.{name}={value} should be a whole number, 1 or more")
    return RftParams(**params)
