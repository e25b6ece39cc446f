"""The command line: quick to answer, one line for a mistake, numbered folders for a sweep."""

import json
import re
from pathlib import Path

import pytest

import r2rec
from r2rec.config.place import CONF
from tests.command import SMALL, Here, call

RESULTS = {
    "config.yaml",
    "manifest.json",
    "metrics.json",
    "rankings.parquet",
    "report.html",
    "tables",
    "plots",
}
HEAVY = {"torch", "transformers", "trl", "peft", "datasets", "polars", "scipy", "matplotlib"}


def test_a_sweep_ends_in_one_table(tmp_path: Path, call_here: Here) -> None:
    done = call_here(
        tmp_path, "-m", "seed=3,4", "baseline=popularity", "hydra.sweep.dir=sweep", *SMALL
    )
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "sweep" / "metrics.json").read_text())
    assert [(r["method"], r["seed"]) for r in records] == [
        (method, seed) for seed in (3, 4) for method in ("random", "popularity")
    ]
    assert "popularity" in (tmp_path / "sweep" / "tables" / "results.md").read_text()
    assert "popularity - random" in (tmp_path / "sweep" / "tables" / "differences.txt").read_text()


def finished(folder: Path) -> list[Path]:
    return [
        path
        for name in ("metrics.json", "report.html", "rankings.parquet")
        for path in folder.rglob(name)
    ]


@pytest.mark.parametrize(
    "words", [["--help"], ["--cfg", "job"], ["--cfg", "job", "--resolve", "+experiment=paper"]]
)
def test_a_question_imports_nothing_heavy_and_leaves_nothing(
    words: list[str], tmp_path: Path
) -> None:
    done = call(tmp_path, *words, python=("-X", "importtime"))
    imported = set(re.findall(r"^import time:.*\| +(\w+)$", done.stderr, re.MULTILINE))
    assert done.returncode == 0, done.stderr
    assert "hydra" in imported
    assert not imported & HEAVY
    assert list(tmp_path.iterdir()) == []
    assert "chain_sampler" in done.stdout


MISTAKES = {
    "sedd=1": "there is no key sedd; did you mean seed",
    "++evaluation.user=3": "unknown key evaluation.user; did you mean users",
    "seed=x": "seed=x",
    "dataset=movies": "Could not find 'dataset/movies'.*ml_1m",
    "+experiment=nope": "experiment/nope.*smoke",
    "dataset=ml_1m dataset.root=nowhere": "dataset.root=nowhere is not a folder.*ratings.dat",
    "dataset=ml_1m dataset.root=.": "holds no ratings.dat",
    "dataset=ml_1m dataset.root=${nope}": "nope",
    "dataset=ml_1m dataset.root=${oc.env:R2REC_NOPE}": "R2REC_NOPE",
    "name=${nope}": "nope",
    "seed=[1": (
        r"cannot read the override seed=\[1: put the value in quotes, e\.g\. \"seed='\.\.\.'\""
    ),
    "dataset.root=/tmp/a=b": (
        r"cannot read the override dataset.root=/tmp/a=b: .*\"dataset\.root='\.\.\.'\""
    ),
    "dataset.root=/tmp/é": r"cannot read the override dataset.root=/tmp/é: ",
    "dataset.root=/tmp/(x)": r"cannot read the override dataset.root=/tmp/\(x\): ",
    "-m seed=0,1 dataset.root=/tmp/a[b]": r"cannot read the override dataset.root=/tmp/a\[b\]: ",
    "+teacher.params.token=a=b": r"cannot read the override \+teacher\.params\.token=\(hidden\): ",
    "dataset=null seed=3": "dataset=null names no member of a group; write GROUP=MEMBER",
    "baseline@fusion=3": "baseline@fusion=3 names no member",
    "model.tiny.heads=2": "model.tiny.heads=2 sets a key of a table that is null here",
    "reward.parts.step.weight=nan": "reward.parts.step.weight=nan should be",
    "hydra/launcher=null": "an override names no member",
    "~dataset": "dataset",
    "until=nope": "no stage nope; there are prepare, split",
    "teacher._target_=nope.write": "teacher._target_=nope.write",
    "dataset.params.ratings_per_user=4": "evaluation.min_positives",
    "hydra.run.dir=file/run": "hydra.run.dir",
    "baseline.endpoint={a:1}": "baseline.endpoint is null here, and takes no table of keys",
    "artefacts= until=prepare": "artefacts= is empty",
    "dataset=ml_1m dataset.root=": "dataset.root= is empty",
    "artefacts=file": "artefacts=FOLDER",
    "model.path=empty until=rank": "model.path",
    "hardware.processes=0": "hardware.processes=0 cannot be shared out",
    "hardware.processes=2 hardware.strategy=foo": "hardware.strategy=foo; choose from ddp",
    "-m seed=0,x": "seed=x",
    "-m seed=0,-1 until=split": "seed=-1",
    "-m sedd=0,1": "sedd",
    "-m --cfg job": "Only one of --run, --multirun, --cfg",
}


def test_multirun_may_stand_between_overrides(tmp_path: Path, call_here: Here) -> None:
    done = call_here(tmp_path, "until=prepare", "-m", "seed=0,1", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(tmp_path.rglob("interactions.parquet"))) == 2


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_told_in_one_line(words: str, tmp_path: Path, call_here: Here) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    done = call_here(tmp_path, *words.split(), *([] if "dataset" in words else SMALL))
    assert done.returncode == 2
    assert re.fullmatch(rf"error: .*{MISTAKES[words]}.*\n", done.stderr), done.stderr
    assert finished(tmp_path) == []


@pytest.mark.parametrize("full", [None, "0", "1"])
def test_a_users_wish_for_full_errors_changes_no_line(
    full: str | None, tmp_path: Path, call_here: Here
) -> None:
    done = call_here(tmp_path, "dataset=ml_1m", "dataset.root=nowhere", HYDRA_FULL_ERROR=full)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_run_leaves_its_folder_and_nothing_on_stderr(tmp_path: Path) -> None:
    done = call(
        tmp_path, *SMALL, "baseline=popularity", "evaluation.users=9", "evaluation.resamples=20"
    )
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = (tmp_path / "outputs" / "run").iterdir()
    assert {path.name for path in run.iterdir()} == RESULTS
    assert [record["method"] for record in json.loads((run / "metrics.json").read_text())] == [
        "random",
        "popularity",
    ]
    assert "popularity" in done.stdout.split("HR@1")[1]


def test_a_sweep_leaves_numbered_folders(tmp_path: Path) -> None:
    done = call(tmp_path, "-m", "seed=3,4", "until=split", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    (sweep,) = (tmp_path / "outputs" / "run").iterdir()
    jobs = sorted(path for path in sweep.iterdir() if path.is_dir())
    assert [path.name for path in jobs] == ["0", "1"]
    assert [json.loads((path / "manifest.json").read_text())["seed"] for path in jobs] == [3, 4]
    assert finished(tmp_path) == []


def test_a_run_folder_and_a_store_can_be_named(tmp_path: Path, call_here: Here) -> None:
    done = call_here(
        tmp_path, "until=prepare", "hydra.run.dir=here", "artefacts=there/store", *SMALL
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "there"]
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "config.yaml",
        "manifest.json",
    ]
    assert (tmp_path / "there" / "store" / "prepare").is_dir()


def test_the_plan_is_printed_and_nothing_is_left(tmp_path: Path, call_here: Here) -> None:
    for words in (["plan"], ["dry=true"]):
        done = call_here(tmp_path, *words, "baseline=popularity", *SMALL)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"^rank popularity +score candidates", done.stdout, re.MULTILINE)
        assert "0 artefacts are there, 4 to make" in done.stdout
        assert list(tmp_path.iterdir()) == []


def test_options_stand_before_among_or_after_overrides(tmp_path: Path, call_here: Here) -> None:
    (tmp_path / "mine" / "baseline").mkdir(parents=True)
    there = CONF / "baseline" / "popularity.yaml"
    (tmp_path / "mine" / "baseline" / "known.yaml").write_text(there.read_text())
    option = ("--config-dir", "mine")
    for words in (
        ("plan", *option, "baseline=known", *SMALL),
        ("plan", "baseline=known", *SMALL, *option),
        ("baseline=known", *option, "dry=true", *SMALL),
        ("baseline=known", "--config-dir=mine", "dry=true", *SMALL),
    ):
        done = call_here(tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r"^rank popularity +score candidates", done.stdout, re.MULTILINE)


def test_a_sweep_has_a_plan_for_each_job(tmp_path: Path, call_here: Here) -> None:
    done = call_here(tmp_path, "plan", "-m", "seed=0,1", "until=split", *SMALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("0 artefacts are there, 2 to make") == 2
    assert list(tmp_path.iterdir()) == []


def test_rerun_repeats_a_run_with_other_overrides(tmp_path: Path, call_here: Here) -> None:
    words = ("baseline=popularity", "evaluation.users=9", "evaluation.resamples=20", *SMALL)
    assert call_here(tmp_path, *words, "hydra.run.dir=first").returncode == 0
    done = call_here(tmp_path, "rerun", "first", "hydra.run.dir=second")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("reused") == 4
    metrics = [(tmp_path / name / "metrics.json").read_text() for name in ("first", "second")]
    assert metrics[0] == metrics[1]
    done = call_here(tmp_path, "rerun", "first", "baseline=random", "seed=3", "hydra.run.dir=third")
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "third" / "metrics.json").read_text())
    assert {(record["method"], record["seed"]) for record in records} == {
        ("random", 3),
        ("popularity", 3),
    }
    assert "seed: 3\n    users" in (tmp_path / "third" / "config.yaml").read_text()  # the world's


RERUN_MISTAKES = {
    "rerun nowhere": "no run nowhere: there is none in outputs",
    "rerun first sedd=1": "sedd",
    "rerun first dataset=nope": "dataset/nope",
    "rerun first seed=[1": "cannot read the override",
    "rerun first -m seed=0,1": "-m is no override: one run takes KEY=VALUE",
    "--config-dir nowhere --config-name config": "--config-name is not for r2rec: `r2rec rerun",
    "pln": r"unknown command pln \(did you mean plan\?\); commands: plan, list, runs",
}


@pytest.mark.parametrize("words", RERUN_MISTAKES)
def test_a_mistake_in_rerun_is_told_in_one_line(
    words: str, tmp_path: Path, call_here: Here
) -> None:
    if "first" in words:
        call_here(tmp_path, "until=prepare", "hydra.run.dir=first", *SMALL)
    done = call_here(tmp_path, *words.split())
    assert done.returncode == 2
    assert re.fullmatch(rf"error: .*{RERUN_MISTAKES[words]}.*\n", done.stderr), done.stderr


def test_the_version_is_told(tmp_path: Path, call_here: Here) -> None:
    assert call_here(tmp_path, "--version").stdout == f"r2rec {r2rec.__version__}\n"
