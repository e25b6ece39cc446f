"""A reward: short answers."""

from collections.abc import Sequence


def brief(completions: Sequence[str], most: int) -> list[float]:
    """1 for an empty answer, falling to 0 at `most` characters."""
    return [max(0.0, 1 - len(text) / most) for text in completions]
