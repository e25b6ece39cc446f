"""The whole method, run small: what it leaves, what it reuses, and every part left out in turn."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

from r2rec.pipeline import PLACES
from r2rec.report.records import THOUGHT_METRICS
from tests.small import SECRET, Done, go

# Of histories, baselines, evidence, a witness, counters, diagnostics.
OTHERS = ("tell", "fit", "weigh", "witness", "adapt", "regress", "diagnose", "fuse")
METHOD = tuple(name for name in PLACES if name not in OTHERS)
UP_TO_THINK = ("prepare", "split", "chain", "think")
ARMS = ["random", "popularity", "backbone", "R2Rec without RL", "R2Rec"]
U32, F32, TEXT = pl.UInt32(), pl.Float32(), pl.String()


def test_a_run_leaves_what_is_promised(smoke: Done) -> None:
    names = {path.name for path in smoke.folder.iterdir()}
    assert names == {
        "config.yaml",
        "manifest.json",
        "metrics.json",
        "rankings.parquet",
        "report.html",
        "tables",
        "plots",
    }
    manifest = json.loads((smoke.folder / "manifest.json").read_text())
    assert manifest["git"] is None or set(manifest["git"]) == {"revision", "dirty"}
    assert all(
        manifest["packages"][name]
        for name in ("torch", "transformers", "trl", "peft", "polars", "hydra-core")
    )
    assert (manifest["seed"], manifest["seeds"]["root"]) == (0, 0)
    assert set(smoke.stages) == set(METHOD)
    for name, stage in smoke.stages.items():
        assert {"key", "path", "seconds", "peak_memory_mb", "status"} <= set(stage), name
        assert Path(stage["path"]).is_dir()
        assert stage["seconds"] >= 0
        if name != "report":
            assert Path(stage["path"]).name == stage["key"]
            assert Path(stage["path"]).parent.name == name
            assert stage["peak_memory_mb"] > 10
    assert list(smoke.stages["rank"]["arms"]) == ARMS
    assert not [
        part
        for stage in smoke.stages.values()
        for part in Path(stage["path"]).parent.glob("*.part")
    ]


def test_the_config_is_resolved_and_keeps_no_secret(smoke: Done) -> None:
    text = (smoke.folder / "config.yaml").read_text()
    assert "${" not in text
    cfg = OmegaConf.create(text)
    assert (cfg.name, cfg.dataset.params.seed, cfg.rl.group_size) == ("smoke", 0, 2)
    for path in [
        p
        for root in (smoke.folder, smoke.folder.parent / "store")
        for p in root.rglob("*")
        if p.is_file()
    ]:
        assert SECRET.encode() not in path.read_bytes(), path


def test_metrics_follow_from_the_rankings(smoke: Done) -> None:
    keys = {
        "method",
        "variant",
        "dataset",
        "train_dataset",
        "seed",
        "n_users",
        "valid_ratio",
        "ci95",
    }
    measures = {"hr@1", "hr@3", "ndcg@3"}
    records = json.loads((smoke.folder / "metrics.json").read_text())
    rankings = pl.read_parquet(smoke.folder / "rankings.parquet")
    assert records == smoke.records
    assert [record["method"] for record in records] == ARMS
    for record in records:
        writes = rankings.filter(pl.col("method") == record["method"])["completion"].is_not_null()
        assert set(record) == keys | measures | (set(THOUGHT_METRICS) if writes.any() else set())
        assert set(record["ci95"]) == measures
        rows = rankings.filter(pl.col("method") == record["method"])
        first = rows.select(
            pl.col("ranking").list.get(0, null_on_oob=True) == pl.col("positive")
        ).to_series()
        assert record["hr@1"] == pytest.approx(first.fill_null(False).mean())
        assert record["valid_ratio"] == pytest.approx(rows["valid"].mean())
        assert (record["n_users"], rows.height, rows["user"].n_unique()) == (8, 8, 8)
        assert record["method"] in smoke.lines[-1]


def test_every_arm_ranks_the_same_candidates(smoke: Done) -> None:
    rankings = pl.read_parquet(smoke.folder / "rankings.parquet")
    items = pl.List(U32)
    assert rankings.schema == {
        "method": TEXT,
        "user": U32,
        "positive": U32,
        "candidates": items,
        "ranking": items,
        "valid": pl.Boolean(),
        "completion": TEXT,
    }
    shown = smoke.table("split", "candidates").rename({"items": "candidates"})
    for _, rows in rankings.partition_by("method", as_dict=True).items():
        assert rows.select(shown.columns).join(shown, on=shown.columns, how="semi").height == 8
    for row in rankings.iter_rows(named=True):
        assert set(row["ranking"]) <= set(row["candidates"])
        assert row["positive"] in row["candidates"]
        assert (row["completion"] is None) == (row["method"] in ("random", "popularity"))


TABLES = {
    "prepare/interactions": {"user": U32, "item": U32, "rating": F32, "timestamp": pl.Int64()},
    "prepare/users": {"user": U32, "raw_id": TEXT, "profile": TEXT},
    "prepare/items": {"item": U32, "raw_id": TEXT, "title": TEXT, "attributes": pl.List(TEXT)},
    "split/train": {"user": U32, "item": U32, "rating": F32, "timestamp": pl.Int64()},
    "split/heldout": {"user": U32, "item": U32, "role": TEXT},
    "split/candidates": {"user": U32, "positive": U32, "items": pl.List(U32)},
    "chain/chains": {
        "user": U32,
        "item1": U32,
        "rating_u1": F32,
        "neighbour": U32,
        "rating_v1": F32,
        "rating_v2": F32,
        "item2": U32,
        "rating_u2": F32,
    },
    "think/traces": {
        "user": U32,
        "item": U32,
        "task": TEXT,
        "prompt": TEXT,
        "thought": TEXT,
        "answer": TEXT,
        "accepted": pl.Boolean(),
        "reasons": pl.List(TEXT),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_keep_their_columns(smoke: Done, name: str) -> None:
    table = smoke.table(*name.split("/"))
    assert table.schema == TABLES[name]
    assert table.height


def test_a_second_run_reuses_everything(smoke: Done, store: Path) -> None:
    again = go(store)
    assert again.made() == set()
    assert again.records == smoke.records


@pytest.mark.slow
def test_a_seed_fixes_every_table_and_every_metric(smoke: Done, tmp_path: Path) -> None:
    shutil.copytree(
        smoke.folder.parent / "store" / "backbone", tmp_path / "store" / "backbone"
    )  # the slow one
    again = go(tmp_path / "store")
    assert again.made() == set(smoke.status()) - {"backbone"}
    for stage in UP_TO_THINK:
        assert again.bytes_of(stage) == smoke.bytes_of(stage)
    assert again.records == smoke.records
    same = [pl.read_parquet(done.folder / "rankings.parquet") for done in (smoke, again)]
    assert same[0].equals(same[1])


@pytest.mark.slow
def test_another_seed_gives_other_tables_on_one_backbone(smoke: Done, store: Path) -> None:
    other = go(store, "seed=1701")  # no other test has it: they share a store
    assert other.made() == set(smoke.status()) - {"backbone"}
    for stage in UP_TO_THINK:
        mine, theirs = smoke.bytes_of(stage), other.bytes_of(stage)
        assert all(mine[name] != theirs[name] for name in mine if name != "users.parquet"), stage


def test_each_seed_of_the_configuration_changes_its_own(store: Path) -> None:
    """The world's seed makes another world; the run's makes another split of the same one."""
    assert go(store, "dataset.params.seed=91", "until=chain").made() == {
        "prepare",
        "split",
        "chain",
    }
    assert go(store, "seed=91", "dataset.params.seed=0", "until=chain").made() == {"split", "chain"}


ELSEWHERE = [
    "logger.name=other",
    "hardware.threads=1",
    "hardware.name=other",
    "name=renamed",
    "logger.project=other",
]


@pytest.mark.parametrize("override", ELSEWHERE)
def test_what_changes_no_result_remakes_nothing(store: Path, override: str) -> None:
    assert go(store, override).made() == set()


def test_a_reward_changes_rl_and_what_follows(store: Path) -> None:
    assert go(store, "reward.parts.ranking.weight=3").made() == {"rl", "rank R2Rec"}


def test_force_makes_a_stage_again_to_the_same_bytes(smoke: Done, store: Path) -> None:
    again = go(store, "force=[split]")
    assert again.made() == {"split"}
    assert again.bytes_of("split") == smoke.bytes_of("split")


@pytest.mark.parametrize("last", METHOD[:-1])
def test_until_stops_after_a_stage(smoke: Done, store: Path, last: str) -> None:
    done = go(store, f"until={last}")
    assert list(done.stages) == list(METHOD[: METHOD.index(last) + 1])
    assert done.records == []
    assert not (done.folder / "metrics.json").exists()


def test_an_altered_table_is_noticed_and_made_again(smoke: Done, store: Path) -> None:
    altered = Path(smoke.stages["chain"]["path"]) / "chains.parquet"
    before = altered.read_bytes()
    altered.write_bytes(before[:-1] + b"?")
    again = go(store)
    assert again.made() == {"chain"}
    assert any("chains.parquet" in line and "altered" in line for line in again.lines)
    assert altered.read_bytes() == before
