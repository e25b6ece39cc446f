"""What is too large for this machine, as soon as the size of the data set is known."""

from collections.abc import Mapping
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.config import Config
from r2rec.execution.leaf_rules import leaves

EASE = "r2rec.baselines.ease.ease_scores"


def refuse_sizes(config: Config, facts: Mapping[str, Any]) -> None:
    """Refuse what would fail in a late stage, after a model was trained.

    Args:
        facts: What stage `prepare` reports.

    Raises:
        R2RecError: EASE is among the leaves, and its matrix of all items does not fit into memory.
    """
    for leaf in leaves(config):
        if leaf.target == EASE:
            from r2rec.baselines.ease import refuse_too_many

            try:
                refuse_too_many(facts["items"])
            except R2RecError as error:
                raise R2RecError(f"{leaf.where}=ease: {error}") from None
