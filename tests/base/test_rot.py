"""Bit rot: every file of every kind of artefact altered, cut, swapped or gone is noticed before
use, and said.
"""

import random
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from r2rec.base.store import MANIFEST, Recipe, obtain
from tests.small import Done

STAGES = ("prepare", "split", "chain", "backbone", "think", "sft", "rl", "rank")
FLIPS = 3  # bytes of each file, one after the other


class Remade(Exception):  # noqa: N818
    """An artefact was not used."""


def recipe(folder: Path) -> Recipe:
    return Recipe(folder.parent.name, folder.name, {}, {}, {})


def refused(folder: Path) -> str:
    """What is said of an artefact's folder `root/stage/key`, which must not be used."""
    said: list[str] = []

    def build(_: Path) -> None:
        raise Remade

    with pytest.raises(Remade):
        obtain(folder.parents[1], recipe(folder), build, say=said.append)
    (line,) = said
    assert "\n" not in line
    return line


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ (1 << at % 8)]) + content[at + 1 :]


@pytest.fixture(params=STAGES)
def artefact(request: pytest.FixtureRequest, smoke: Done, tmp_path: Path) -> Path:
    """A copy of a stage's artefact, in a store of its own."""
    path = Path(smoke.stages[request.param]["path"])
    return Path(shutil.copytree(path, tmp_path / path.parent.name / path.name))


def files(artefact: Path) -> list[Path]:
    return sorted(path for path in artefact.rglob("*") if path.is_file())


def test_an_untouched_one_is_used(artefact: Path) -> None:
    def build(_: Path) -> None:
        raise Remade

    got = obtain(artefact.parents[1], recipe(artefact), build, say=pytest.fail)
    assert not got.made


def test_every_file_that_changed_is_noticed(artefact: Path) -> None:
    draw = random.Random(0)
    for path in files(artefact):
        whole = path.read_bytes()
        assert whole, path
        changed = [flipped(whole, draw.randrange(len(whole))) for _ in range(FLIPS)]
        for content in [*changed, whole[:-1], whole[: len(whole) // 2], b"", whole + b"\0"]:
            path.write_bytes(content)
            assert path.name in refused(artefact)
        path.unlink()
        assert path.name in refused(artefact)
        path.write_bytes(whole)
    (artefact / "more.txt").write_text("")
    assert "more.txt" in refused(artefact)


def test_files_that_were_swapped_are_noticed(artefact: Path) -> None:
    whole = {path: path.read_bytes() for path in files(artefact)}
    one, *others = whole
    for other in others:
        one.write_bytes(whole[other])
        other.write_bytes(whole[one])
        refused(artefact)
        one.write_bytes(whole[one])
        other.write_bytes(whole[other])


def test_an_artefact_in_the_place_of_another_is_noticed(smoke: Done, tmp_path: Path) -> None:
    """Two of one stage: the rankings of two arms, each a whole artefact."""
    arms = [Path(row["path"]) for row in smoke.stages["rank"]["arms"].values()]
    for mine, other in pairwise(arms):
        shutil.copytree(other, tmp_path / "rank" / mine.name)
        assert "another artefact's manifest" in refused(tmp_path / "rank" / mine.name)
        shutil.copy(mine / MANIFEST, tmp_path / "rank" / mine.name)
        assert "rankings.parquet" in refused(tmp_path / "rank" / mine.name)
