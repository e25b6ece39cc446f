"""The benchmarks of `experiments/bench` run on very little, and print what they should."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "experiments" / "bench"


def run(*arguments, script="run.py"):
    """What a script prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, BENCH / script, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_run_prints_cases_beside_references():
    cases = ["data", "chains", "evidence", "models", "prompts", "metrics"]
    only = [word for case in cases for word in ("--only", case)]
    machine, data, _, head, *rows = run(*only, "--users", 50, "--repeats", 1).splitlines()
    assert "cores" in machine
    assert "GENERATED ratings of 50 users" in data
    assert head.split()[0] == "case"
    assert list(dict.fromkeys(row.split()[0] for row in rows)) == cases
    [closed, *_] = [row for row in rows if "closed chains" in row]
    assert "x faster" in closed or "x slower" in closed


def test_recorded_table_takes_the_place_of_the_last_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import recorded

    page = tmp_path / "README.md"
    page.write_text(f"before\n\n{recorded.BEGIN}\nold\n{recorded.END}\n\nafter\n")
    for _ in range(2):
        recorded.write(["machine: x", "", "row"], page)
        table = "```\nmachine: x\n\nrow\n```"
        assert page.read_text() == (
            f"before\n\n{recorded.BEGIN}\n{table}\n{recorded.END}\n\nafter\n"
        )
    page.write_text("no marks\n")
    with pytest.raises(SystemExit, match="put them around"):
        recorded.write(["row"], page)
    assert page.read_text() == "no marks\n"
    assert recorded.BEGIN in recorded.README.read_text()
    assert recorded.END in recorded.README.read_text()


def test_a_part_of_the_table_is_not_recorded():
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run("--write", "--only", "data")
    assert "leave --only and --users out" in failed.value.stderr


def test_baselines_times_every_model(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import world

    world.write(tmp_path, users=60)
    printed = run(tmp_path, "--epochs", 1, "--threads", 1, script="baselines.py")
    head, *lines = printed.splitlines()
    assert "60 users" in head
    models = lines[:6]
    compared = lines[6:]
    assert {line.split()[0] for line in models} == {
        "graphsage",
        "ngcf",
        "lightgcn",
        "caser",
        "gru4rec",
        "sasrec",
    }
    assert all(" s an epoch" in line and line.count("%") == 3 for line in models)
    assert [line.split()[0] for line in compared] == ["sasrec", "lightgcn"]
    assert all(line.endswith("x faster") for line in compared)


def test_grpo_splits_step_and_compares_with_trl():
    small = [
        "sft.samples=4",
        "sft.epochs=1",
        "rl.max_new_tokens=8",
        "rl.group_size=2",
        "rl.prompts_per_step=1",
        "rl.micro_batch_size=2",
    ]
    lines = run("--steps", 2, "--repeats", 1, *small, script="grpo.py").splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("step of ours"))
    shares = {}
    for line in lines[first + 1 : -1]:
        part = line[2:22].strip()
        shares[part] = float(line[22:].rstrip("%"))
    assert {"generation", "log_probabilities", "rewards", "backward", "the rest"} == set(shares)
    assert abs(sum(shares.values()) - 100) < 1
    assert "1 steps of 1 x 2 rollouts" in lines[first]
    assert lines[-1].startswith("bare TRL script: ")


def test_engines_answers_same_prompts():
    ways = ["hf", "token-by-token", "paged", "transformers"]
    words = ["generation.max_new_tokens=8", "generation.batch_size=2"]
    printed = run(
        "--prompts", 3, "--block", 2, *words, "--ways", *ways, script="engines.py"
    ).splitlines()
    assert [line.split()[0] for line in printed[:4]] == ways
    assert len(printed) == 7
    for way, line in zip(ways[1:], printed[4:], strict=True):
        spread = r"[\d.]+ \([\d.]+ to [\d.]+ over 2 blocks\); same texts: 3 of 3"
        assert re.fullmatch(f"{way} / hf: {spread}", line)


def test_plain_version_leaves_tables_of_stages(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import plain
    import run as bench
    import world

    raw = tmp_path / "raw"
    plain_folder = tmp_path / "plain"
    raw.mkdir()
    plain_folder.mkdir()
    world.write(raw, users=50)
    prepare, split = bench.write_tables(bench.Setting(bench.configured(raw), tmp_path, 1))
    plain.prepare_and_split(raw, plain_folder, 0)
    folders = {
        "interactions": prepare,
        "users": prepare,
        "items": prepare,
        "train": split,
        "heldout": split,
    }
    for name, folder in folders.items():
        theirs = pl.read_parquet(plain_folder / f"{name}.parquet")
        ours = pl.read_parquet(folder / f"{name}.parquet").select(theirs.columns)
        assert theirs.cast(ours.schema).equals(ours), name
    for name in ("candidates", "validation_candidates"):
        theirs = pl.read_parquet(plain_folder / f"{name}.parquet")
        ours = pl.read_parquet(split / f"{name}.parquet")
        assert theirs["positive"].to_list() == ours["positive"].to_list()
        assert theirs["items"].list.n_unique().to_list() == ours["items"].list.n_unique().to_list()


def test_plain_evidence_is_that_of_sampler(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    import evidence as plain
    import run as bench
    import world

    from r2rec.chains.chain import load_graph
    from r2rec.chains.evidence import evidence
    from r2rec.chains.graph import queries
    from r2rec.chains.taste import tastes

    (tmp_path / "raw").mkdir()
    world.write(tmp_path / "raw", users=50)
    setting = bench.Setting(bench.configured(tmp_path / "raw"), tmp_path, 1)
    graph = load_graph(*bench.write_tables(setting))
    users = list(range(0, 50, 5))
    shown = [[(7 * user + 31 * n) % 200 for n in range(6)] for user in users]
    asked = queries(graph, np.array(users), candidates=np.array(shown, np.uint32))
    params = plain.Params(recent=5, window=8)
    rng = np.random.default_rng(0)
    ours = evidence(graph, asked, 6, rng, before=False, **params._asdict())
    histories = plain.Histories(graph)
    of_chain = ours.select("item2", "links", "item1", "soon", "liked").rows()
    for way in (plain.by_rater, plain.by_pair):
        rows = [row for ranked in way(histories, users, shown, params) for row in ranked]
        assert [(r.candidate, r.links, r.item, r.soon, r.liked) for r in rows] == of_chain
        assert [r.strength for r in rows] == pytest.approx(ours["strength"].to_list())
    items = np.array(shown)
    fit = tastes(graph, asked, items, 5.0)
    assert np.allclose(plain.by_refit(graph, users, items, 5.0), fit)


def test_shop_reviews_are_read_whole_and_have_long_tail(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.setenv("POLARS_MAX_THREADS", "1")
    import shop

    from r2rec.data import amazon
    from r2rec.data.interactions import index

    for name in ("one", "again"):
        (tmp_path / name).mkdir()
        shop.write(tmp_path / name, ratings=30_000)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    with gzip.open(tmp_path / "one" / "Generated.jsonl.gz") as lines:
        rows = [json.loads(line) for line in lines]
    raw = amazon.read_amazon(tmp_path / "one", shop.CATEGORY)
    assert len(rows) == raw.ratings.height == 30_000
    assert raw.notes == []
    user_ids = raw.users["raw_id"].gather(raw.ratings["user"]).to_list()
    assert user_ids == [row["user_id"] for row in rows]
    tables = index(raw)
    assert (tables.items.height, tables.items["title"].n_unique()) == (4000, 4000)
    assert 9_000 < tables.users.height < 11_000
    per_user = tables.interactions.group_by("user").len()["len"]
    per_item = tables.interactions.group_by("item").len()["len"]
    assert per_user.median() == 1
    assert per_user.max() > 100
    assert per_item.median() <= 5
    assert per_item.max() > 100


def test_steps_tells_what_an_epoch_takes(tmp_path):
    sizes = ("--ratings", 20_000, 40_000, "--steps", 1, "--folder", tmp_path)
    lines = run(*sizes, script="steps.py").splitlines()
    told = [line for line in lines if " s a step, " in line]
    assert [line.split()[0] for line in told] == ["sasrec", "gru4rec", "lightgcn"] * 2
    assert all(line.endswith("1.00 x linear") for line in told[:3])
    assert sum("train ratings" in line and "users" in line for line in lines) == 2


def test_scale_reads_figures_from_manifest(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCH)
    import scale

    runs = []
    for ratings in (20_000, 40_000):
        folder = tmp_path / f"with a = {ratings}"
        folder.mkdir()
        runs.append(scale.measured(ratings, folder, users=50))
        scale.show(runs[-1])
        assert list(runs[-1].stages) == ["prepare", "split", "chain"]
        assert runs[-1].peak_mb > 50
        assert runs[-1].cpu_seconds > 0
        assert runs[-1].seconds > runs[-1].stage_seconds()
    assert "chain " in capsys.readouterr().out
    sampler, everything, growth, _ = scale.verdict(*runs)
    assert "MISSED" not in sampler + everything
    assert growth.startswith("stages' time over linear: ")
