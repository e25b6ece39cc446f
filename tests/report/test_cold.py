"""Cold users among warm ones: results of either apart."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.small import go

QUICK = ("evaluation.users=40", "baseline=popularity")


def test_cold_and_warm_users_are_shown_apart(tmp_path: Path) -> None:
    done = go(tmp_path / "store", *QUICK, "noise=cold", "noise.params.kept=2")
    counts = done.table("split", "train").group_by("user").len()
    rankings = pl.read_parquet(done.folder / "rankings.parquet")
    rows = json.loads((done.folder / "tables" / "cold.json").read_text())
    assert {(row["method"], row["users"]) for row in rows} == {
        (method, users) for method in rankings["method"].unique() for users in ("cold", "warm")
    }
    for row in rows:
        ranked = rankings.filter(method=row["method"]).join(counts, on="user")
        is_cold = ranked["len"] <= 2
        own = ranked.filter(is_cold if row["users"] == "cold" else ~is_cold)
        assert own.height == row["n_users"] > 0
        hits = own["ranking"].list.first() == own["positive"]
        assert row["hr@1"] == pytest.approx(hits.mean())
        low, high = row["ci95"]["hr@1"]
        assert low <= row["hr@1"] <= high
    assert "cold users among warm ones:" in "\n".join(done.lines)


def test_other_runs_have_no_such_table(tmp_path: Path) -> None:
    done = go(tmp_path / "store", *QUICK, "noise=sparse")
    assert not (done.folder / "tables" / "cold.json").exists()
