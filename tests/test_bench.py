import os
import subprocess
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "experiments" / "bench"


def run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, BENCH / "run.py", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_case_is_timed_and_told_beside_its_reference():
    machine, data, _, head, first, *_ = run("--only", "chains", "--users", 50, "--repeats", 1).splitlines()
    assert "cores" in machine
    assert "GENERATED ratings of 50 users" in data
    assert head.split()[0] == "case"
    assert first.startswith("chains    closed chains")
    assert "x faster" in first or "x slower" in first


def test_the_plain_version_leaves_what_the_stages_leave(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import plain
    import run as bench
    import world

    raw, aside = tmp_path / "raw", tmp_path / "plain"
    raw.mkdir()
    aside.mkdir()
    world.write(raw, users=50)
    ours = bench._tables(bench.Setting(bench.configured(raw), tmp_path, 1))
    plain.prepare_and_split(raw, aside, 0)
    shared = {"interactions": ours[0], "users": ours[0], "items": ours[0], "train": ours[1], "heldout": ours[1]}
    for name, folder in shared.items():
        theirs = pl.read_parquet(aside / f"{name}.parquet")
        made = pl.read_parquet(folder / f"{name}.parquet").select(theirs.columns)
        assert theirs.cast(made.schema).equals(made), name
    for name in ("candidates", "validation_candidates"):
        theirs, made = (pl.read_parquet(f / f"{name}.parquet") for f in (aside, ours[1]))
        assert theirs["positive"].to_list() == made["positive"].to_list()
        assert theirs["items"].list.n_unique().to_list() == made["items"].list.n_unique().to_list()
