"""Disks that fill up or go away: one line that says where, nothing broken left behind, and the next
run finishes.
"""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from r2rec.base.errors import R2RecError
from r2rec.execution.entry import run_config
from tests.small import composed, go

QUICK = ("baseline=popularity", "evaluation.resamples=20")
NEURAL = ("baseline=sasrec", "baseline.fit.epochs=2", "evaluation.resamples=20")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """What is written past so many bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    return {
        words: go(tmp_path_factory.mktemp("calm") / "store", *words) for words in (QUICK, NEURAL)
    }


@pytest.mark.parametrize(
    ("words", "size"),
    [
        (QUICK, 100),
        (QUICK, 2_000),
        (QUICK, 6_000),
        (QUICK, 12_000),
        (NEURAL, 30_000),
        (NEURAL, 60_000),
    ],
)
def test_a_full_disk_is_one_line_and_the_next_run_is_as_if_undisturbed(
    calm, tmp_path, words, size
) -> None:  # type: ignore[no-untyped-def]
    store = tmp_path / "store"
    with (
        no_file_above(size),
        pytest.raises(R2RecError, match=r"cannot (be )?writ.*File too large") as told,
    ):
        go(store, *words)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.rglob("metrics.json"))
    done = go(store, *words)
    assert done.records == calm[words].records
    assert not [line for line in done.lines if "altered" in line]
    assert not list(store.rglob("*.part"))


@pytest.mark.parametrize("which", ["run", "store", "parent"])
@pytest.mark.parametrize("when", ["prepare", "split", "rank random"])
def test_a_folder_that_vanishes_is_one_line_and_the_next_run_finishes(
    calm, tmp_path, which, when
) -> None:  # type: ignore[no-untyped-def]
    parent = tmp_path / "parent"
    places = {"run": parent / "run", "store": parent / "store", "parent": parent}

    def say(line: str) -> None:
        if line.startswith(when):
            shutil.rmtree(places[which])

    cfg = composed(f"artefacts={places['store']}", *QUICK)
    with pytest.raises(R2RecError, match=r"^cannot (be )?writ[^\n]*No such file[^\n]*$"):
        run_config(cfg, places["run"], say)
    assert run_config(cfg, places["run"], print) == calm[QUICK].records
