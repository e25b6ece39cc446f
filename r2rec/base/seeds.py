"""One root seed, and one named child of it per use.

No two uses share a stream of random numbers, so adding a use changes no other one.
"""

import zlib

import numpy as np


def generator(seed: int, use: str) -> np.random.Generator:
    """The random generator of this use under this root seed.

    Example: `generator(0, "split.negatives")`.
    """
    return np.random.default_rng(_child(seed, use))


def integer(seed: int, use: str) -> int:
    """A 31-bit seed for libraries that want a number."""
    return int(_child(seed, use).generate_state(1)[0]) >> 1


def _child(seed: int, use: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(zlib.crc32(use.encode()),))
