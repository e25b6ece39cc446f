"""A run folder used again holds one run: this one."""

import json
from pathlib import Path

import pytest

from r2rec.base import cleanup as leftovers
from r2rec.base.errors import R2RecError
from r2rec.execution.entry import run_config
from tests.command import Here
from tests.small import composed

RESULTS = {"metrics.json", "rankings.parquet", "report.html", "tables", "plots"}
MINE = ("notes.txt", "tables/mine.md", "plots/mine.svg", "data/metrics.json")


def into(folder: Path, *overrides: str) -> None:
    words = [f"artefacts={folder.parent / 'store'}", "baseline=popularity", *overrides]
    run_config(composed(*words), folder, lambda line: None)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def own(folder: Path) -> None:
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")


def test_what_a_run_left_goes_when_its_folder_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    into(folder)
    assert names(folder) == RESULTS | {"config.yaml", "manifest.json"}
    into(folder, "seed=1", "until=split")
    assert names(folder) == {"config.yaml", "manifest.json"}
    assert "seed: 1" in (folder / "config.yaml").read_text()
    assert json.loads((folder / "manifest.json").read_text())["seed"] == 1
    into(folder)
    with pytest.raises(R2RecError, match="min_positives"):  # in a stage
        into(folder, "dataset.params.ratings_per_user=4")
    assert names(folder) == {"config.yaml", "manifest.json"}


def test_what_is_refused_before_it_begins_touches_nothing(tmp_path: Path) -> None:
    into(tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(R2RecError):
        into(tmp_path / "run", "evaluation.users=0")
    assert {
        path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()
    } == before


def test_what_a_user_has_there_stays(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    own(folder)
    (folder / "manifest.json").write_text('{"name": "a page of theirs"}')
    assert leftovers.clear(folder) == {"tables/mine.md", "plots/mine.svg"}  # no run was here
    assert (folder / "manifest.json").exists()
    (folder / "manifest.json").unlink()
    into(folder)
    own(folder)
    into(folder, "until=split")
    assert all((folder / name).read_text() == "mine" for name in MINE)
    assert {path.name for part in ("tables", "plots") for path in (folder / part).iterdir()} == {
        "mine.md",
        "mine.svg",
    }


def test_a_smaller_sweep_in_the_same_folder_is_not_joined_with_the_larger_one(
    tmp_path: Path, call_here: Here
) -> None:
    words = (
        "-m",
        "+experiment=smoke",
        "baseline=popularity",
        "hydra.sweep.dir=sweep",
        "artefacts=store",
    )
    for seeds, joined in (("0,1", [0, 1]), ("2", [2])):
        done = call_here(tmp_path, *words, f"seed={seeds}")
        assert done.returncode == 0, done.stderr
        records = json.loads((tmp_path / "sweep" / "metrics.json").read_text())
        assert sorted({record["seed"] for record in records}) == joined
