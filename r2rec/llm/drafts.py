"""Guesses at what a model writes next, looked up in texts that its answer repeats.

An answer quotes its prompt and goes on as it began; after training it is close to what the teacher
would have written. This is prompt lookup decoding (Saxena, 2023), with the teacher's answer as one
more text to look into. A wrong guess costs time and changes nothing (`speculative`).
"""

from collections.abc import Sequence

import numpy as np

LONGEST = 32  # tokens guessed at once
LEAST = 2  # tokens guessed after a wrong guess
TRUST = 4  # tokens guessed for each one that was right the last time
SHORTEST_MATCH = 2  # last tokens that must stand elsewhere, for the row to be there
LONGEST_MATCH = 8  # last tokens of the text that are looked up together


class Draft:
    """The guesses of one row.

    Args:
        expected: Token ids that the answer may be close to; none where nothing is known.
        prompt: Token ids of the prompt.
    """

    def __init__(self, expected: Sequence[int], prompt: Sequence[int]) -> None:
        self.source = [*expected, *prompt]  # the row's own text is added as it is written
        self.place = 0 if expected else len(self.source)  # where in it the row seems to be
        self.length = LONGEST

    def ahead(self, most: int) -> list[int]:
        """The tokens that may come next, at most so many."""
        end = self.place + min(self.length, most)
        return self.source[self.place : end]

    def follow(self, written: Sequence[int]) -> None:
        """Go on after these tokens, which the row has written since the last time."""
        end = self.place + len(written)
        right = _common(self.source[self.place : end], written)
        self.source += written
        self.place = end if right == len(written) else self._found(end)
        self.length = max(LEAST, min(LONGEST, TRUST * right))

    def _found(self, otherwise: int) -> int:
        """The place after the longest match of the last tokens; of equal ones the nearest.

        Args:
            otherwise: The place where too few of them stand elsewhere: there the row has written
                one word for another.
        """
        source = np.array(self.source)
        places = np.flatnonzero(source[:-1] == source[-1]) + 1
        matched = 1
        for back in range(2, min(LONGEST_MATCH, len(source)) + 1):
            reaching = places[places >= back]
            longer = reaching[source[reaching - back] == source[-back]]
            if not len(longer):
                break
            places = longer
            matched = back
        if matched < SHORTEST_MATCH:
            return otherwise
        nearest = np.abs(places - otherwise).argmin()
        return int(places[nearest])


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts have in common at their beginnings."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
