"""The end of a tuning sweep: best validation first, with the choices that differ and no others."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from r2rec.report.tuning import tuning


def job(folder: Path, rate: float, ndcg: float, stages: tuple[str, ...] = ("fit",)) -> None:
    folder.mkdir()
    baseline = {
        "name": "sasrec",
        "params": {"dim": 64},
        "fit": {"learning_rate": rate, "epochs": 9},
    }
    config = {"dataset": {"name": "toy"}, "baseline": baseline, "seed": 0}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    facts = {
        "validation_ndcg": ndcg,
        "validation_hr@1": 0.25,
        "best_epoch": 7,
        "seconds_per_epoch": 1.5,
    }
    (folder / "manifest.json").write_text(json.dumps({"stages": dict.fromkeys(stages, facts)}))


def test_best_job_comes_first_beside_what_differs(tmp_path: Path) -> None:
    for n, (rate, ndcg) in enumerate([(1e-3, 0.5), (3e-3, 0.75), (1e-2, 0.625)]):
        job(tmp_path / str(n), rate, ndcg)
    table = tuning(tmp_path)
    assert table is not None
    head, rule, *rows = table.splitlines()
    assert head.split() == [
        "job",
        "baseline.fit.learning_rate",
        "validation_ndcg",
        "validation_hr@1",
        "best_epoch",
        "seconds_per_epoch",
    ]
    assert set(rule) == {"-", " "}
    assert [row.split()[:3] for row in rows] == [
        ["1", "0.003", "0.7500"],
        ["2", "0.01", "0.6250"],
        ["0", "0.001", "0.5000"],
    ]
    lines = (tmp_path / "tables" / "tuning.csv").read_text().splitlines()
    assert lines[1] == "1,0.003,0.7500,0.2500,7,1.5000"


def test_value_with_a_comma_is_one_cell(tmp_path: Path) -> None:
    for n, names in enumerate([["u.data", "u.item"], ["ratings.dat"]]):
        job(tmp_path / str(n), 1e-3, 0.5)
        config = {"dataset": {"files": str(names)}, "baseline": {"name": "sasrec"}, "seed": 0}
        (tmp_path / str(n) / "config.yaml").write_text(yaml.safe_dump(config))
    tuning(tmp_path)
    with (tmp_path / "tables" / "tuning.csv").open(newline="") as file:
        assert [len(row) for row in csv.reader(file)] == [6, 6, 6]


@pytest.mark.parametrize("stages", [(), ("split",)])
def test_sweep_that_fitted_nothing_has_no_table(tmp_path: Path, stages: tuple[str, ...]) -> None:
    job(tmp_path / "0", 1e-3, 0.5, stages)
    assert tuning(tmp_path) is None
    assert not (tmp_path / "tables").exists()
