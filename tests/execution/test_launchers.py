"""Sweeps on launchers: the same joined table wherever the jobs ran, and a mistake still told in one
line.
"""

import json
from pathlib import Path

import pytest
import yaml

from tests.command import SMALL, SOURCE, Here, call

ELSEWHERE = ("local", "joblib")  # submitit without SLURM, and joblib


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ELSEWHERE)
def test_a_sweep_elsewhere_ends_in_one_table(launcher: str, tmp_path: Path) -> None:
    words = [
        "-m",
        f"+launcher={launcher}",
        "seed=3,4",
        "baseline=popularity",
        "hydra.sweep.dir=sweep",
        *SMALL,
    ]
    done = call(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "sweep" / "metrics.json").read_text())
    assert [(r["method"], r["seed"]) for r in records] == [
        (method, seed) for seed in (3, 4) for method in ("random", "popularity")
    ]
    assert {
        p.name for p in (tmp_path / "outputs" / "artefacts" / "split").iterdir() if p.is_dir()
    } >= {
        json.loads((tmp_path / "sweep" / job / "manifest.json").read_text())["stages"]["split"][
            "key"
        ]
        for job in "01"
    }


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ELSEWHERE)
def test_a_mistake_elsewhere_is_told_in_one_line(
    launcher: str, tmp_path: Path, call_here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    # submitit waits for results of a job that has ended without any
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 1)
    run = call_here if launcher == "local" else call
    done = run(
        tmp_path,
        "-m",
        f"+launcher={launcher}",
        "seed=-1",
        "until=prepare",
        "hydra.sweep.dir=sweep",
        *SMALL,
        PYTHONPATH=str(SOURCE),
    )
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line] == [
        "error: seed=-1 should be 0 or more"
    ]


def test_a_slurm_sweep_asks_for_a_node_with_a_gpu(tmp_path: Path, call_here: Here) -> None:
    done = call_here(tmp_path, "+launcher=slurm", "hydra.launcher.partition=big", "--cfg", "hydra")
    assert done.returncode == 0, done.stderr
    assert "SlurmLauncher" in done.stdout
    for line in ("gpus_per_node: 1", "partition: big", "timeout_min: 1440"):
        assert line in done.stdout


def test_a_launcher_that_is_not_installed_is_named(tmp_path: Path, call_here: Here) -> None:
    done = call_here(tmp_path, "-m", "+launcher=ray", "seed=0,1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.strip().endswith("; pip install 'r2rec[ray]'")


def test_a_machine_without_slurm_is_told_in_one_line(tmp_path: Path, call_here: Here) -> None:
    done = call_here(
        tmp_path,
        "-m",
        "+launcher=slurm",
        "seed=0,1",
        "until=prepare",
        "hydra.sweep.dir=sweep",
        PATH="/nowhere",
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: no srun here: +launcher=slurm")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_search_raises_what_validation_says(tmp_path: Path) -> None:
    words = [
        "+experiment=tune",
        "+sweeper=optuna",
        "baseline=lightgcn",
        "baseline.fit.epochs=1",
        "hydra.sweep.dir=sweep",
    ]
    done = call(tmp_path, *words, "hydra.sweeper.n_trials=3", *SMALL)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load((tmp_path / "sweep" / "optimization_results.yaml").read_text())
    head, *jobs = (tmp_path / "sweep" / "tables" / "tuning.csv").read_text().splitlines()
    best = dict(zip(head.split(","), jobs[0].split(","), strict=True))
    assert len(jobs) == 3
    assert f"{found['best_value']:.4f}" == best["validation_ndcg"] > "0"
