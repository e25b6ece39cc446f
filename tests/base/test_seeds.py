import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import r2rec
from r2rec.base import seeds

USES = ["chain", "split.test", "split.valid", "toy", ""]


def test_same_seed_and_use_give_the_same_stream():
    assert np.array_equal(
        seeds.generator(3, "chain").random(9), seeds.generator(3, "chain").random(9)
    )
    assert seeds.integer(3, "chain") == seeds.integer(3, "chain")


def test_streams_of_other_seeds_and_uses_are_unrelated():
    streams = np.array(
        [seeds.generator(s, use).normal(size=10_000) for s in range(4) for use in USES]
    )
    correlation = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlation).max() < 0.05


def test_drawing_from_one_stream_moves_no_other():
    alone = seeds.generator(0, "chain").random(5)
    one, other = seeds.generator(0, "chain"), seeds.generator(0, "toy")
    mixed = [(one.random(), other.random())[0] for _ in range(5)]
    assert np.array_equal(alone, mixed)


def test_integers_fit_into_31_bits_and_differ():
    numbers = [seeds.integer(s, use) for s in range(100) for use in USES]
    assert len(set(numbers)) == len(numbers)
    assert 0 <= min(numbers) <= max(numbers) < 2**31


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_every_process_draws_the_same(hash_seed):
    drawn = "seeds.integer(7, 'chain'), seeds.generator(7, 'chain').integers(10**9)"
    code = f"from r2rec.base import seeds; print({drawn})"
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(r2rec.__file__).parent.parent,
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        text=True,
    ).stdout
    integer, drawn = map(int, out.split())
    assert integer == seeds.integer(7, "chain")
    assert drawn == seeds.generator(7, "chain").integers(10**9)
