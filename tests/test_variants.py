"""Every ablation, every baseline and every experiment file runs from end to end, on very little."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.config.place import CONF
from tests.small import Done, composed, go

REFERENCES = ["random", "popularity"]
SFT = "R2Rec without RL"
RL = "R2Rec"
NO_SFT = "R2Rec without SFT"


def traces(done: Done) -> pl.DataFrame:
    return done.table("think", "traces")


@pytest.mark.parametrize(
    ("override", "methods"),
    [
        ("sft=off", ["backbone", NO_SFT]),
        ("rl=off", ["backbone", SFT]),
        ("sft=off rl=off", ["backbone"]),
        ("evaluation.arms=[rl]", [RL]),
        ("chain_sampler=none", ["backbone", SFT, RL]),
        ("chain_sampler=open rl=off", ["backbone", SFT]),
        ("chain_sampler=retrieval rl=off", ["backbone", SFT]),
        ("prompt=compact rl=off", ["backbone", SFT]),
        ("sft.task=mix rl=off", ["backbone", SFT]),
        ("reward=reciprocal", ["backbone", SFT, RL]),
    ],
)
def test_run_with_other_parts(store: Path, override: str, methods: list[str]) -> None:
    done = go(store, *override.split())
    assert [record["method"] for record in done.records] == REFERENCES + methods
    assert ("sft" in done.stages) == (SFT in methods or RL in methods)
    assert ("rl" in done.stages) == (RL in methods or NO_SFT in methods)
    assert (done.folder / "report.html").is_file()


def test_no_reasoning_has_no_thoughts(store: Path) -> None:
    done = go(store, "prompt=no_reasoning", "rl=off")
    assert traces(done)["thought"].is_null().all()
    assert not traces(done)["prompt"].str.contains("<think>").any()
    assert done.made() >= {"think", "sft"}


def test_no_chain_prompts_and_thoughts_have_no_chains(store: Path) -> None:
    with_chains = go(store, "until=think")
    without = go(store, "prompt=no_chain", "until=think")
    # not all: a user's first like may have no chain
    assert traces(with_chains)["prompt"].str.contains("Interaction chains").mean() > 0.5
    assert not traces(without)["prompt"].str.contains("Interaction chains").any()
    # the teacher uses nothing that the prompt does not show
    assert not traces(without)["thought"].str.contains("Chain|neighbour").any()
    assert traces(without)["accepted"].any()
    assert go(store, "prompt=no_chain", "rl=off").records


def test_prompts_without_profile(store: Path) -> None:
    with_profiles = go(store, "until=think")
    without = go(store, "prompt.profile=false", "until=think")
    assert traces(with_profiles)["prompt"].str.contains("User: ").all()
    assert not traces(without)["prompt"].str.contains("User: ").any()


def test_no_sampler_makes_no_chains(store: Path) -> None:
    done = go(store, "chain_sampler=none", "until=chain")
    assert done.table("chain", "chains").is_empty()


def test_forward_chains_lead_to_candidates(store: Path) -> None:
    done = go(store, "chain_sampler=retrieval", "until=chain")
    shown = done.table("split", "candidates").select("user", item2="items").explode("item2")
    chains = done.table("chain", "chains")
    assert chains.height > 0
    assert chains.join(shown, on=["user", "item2"], how="anti").is_empty()


@pytest.mark.parametrize("name", REFERENCES)
def test_baseline_ranks_as_its_reference(smoke: Done, store: Path, name: str) -> None:
    done = go(store, f"baseline={name}")
    assert set(done.stages) == {"prepare", "split", "rank", "report"}
    assert sorted(record["method"] for record in done.records) == sorted(REFERENCES)
    assert done.records[-1]["method"] == name
    reference = smoke.by_method()[name]
    assert done.by_method()[name] == reference


TRAINED = sorted(p.stem for p in CONF.glob("baseline/*.yaml") if "\nfit:" in p.read_text())


def test_every_baseline_trains_and_ranks_differently(store: Path) -> None:
    closed = ("item_knn", "ease")
    words = ("evaluation.users=60", "evaluation.arms=[]")
    rankings = {}
    for name in (*closed, *TRAINED):
        epochs = ["baseline.fit.epochs=2"] if name in TRAINED else []
        done = go(store, f"baseline={name}", *words, *epochs)
        assert ("fit" in done.stages) == (name in TRAINED)
        assert [record["method"] for record in done.records] == [*REFERENCES, name]
        table = pl.read_parquet(done.folder / "rankings.parquet").filter(method=name)
        rankings[name] = tuple(map(tuple, table["ranking"]))
    assert len(set(rankings.values())) == len(rankings) == 8
    again = go(
        store,
        "baseline=sasrec",
        "baseline.fit.epochs=2",
        "evaluation.users=20",
        "evaluation.arms=[]",
    )
    assert "fit" not in again.made()  # the number of evaluated users is not in its key


@pytest.fixture(scope="module")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MovieLens-1M's files, small: 30 users who rate 16 of 40 movies."""
    folder = tmp_path_factory.mktemp("ml_1m")
    movies = [
        f"{m}::Movie {m} (19{50 + m})::{'Drama|Crime' if m % 2 else 'Comedy'}\n"
        for m in range(1, 41)
    ]
    users = [f"{u}::{'FM'[u % 2]}::25::{u % 20}::00000\n" for u in range(1, 31)]
    ratings = [
        f"{u}::{1 + (7 * u + 3 * k) % 40}::{5 if (u + k) % 4 else 2}::{978300000 + 1000 * u + k}\n"
        for u in range(1, 31)
        for k in range(16)
    ]
    for name, lines in {"movies": movies, "users": users, "ratings": ratings}.items():
        (folder / f"{name}.dat").write_text("".join(lines), encoding="latin-1")
    return folder


# Each experiment with its own choices and the smallest sizes. On closed chains the backbone is the
# one of `smoke`.
TINY = [
    "model=tiny_scratch",
    "model.tiny.vocabulary=512",
    "model.tiny.hidden=32",
    "model.tiny.layers=1",
    "model.tiny.heads=2",
    "model.tiny.feed_forward=64",
    "model.tiny.steps=4",
    "model.tiny.batch_tokens=2048",
    "model.tiny.prompts_per_world=8",
    "model.tiny.learning_rate=3e-3",
]
FEW = [
    "hardware=cpu",
    "sft.samples=6",
    "sft.epochs=1",
    "rl.samples=2",
    "rl.group_size=2",
    "rl.prompts_per_step=1",
    "rl.micro_batch_size=2",
    "rl.max_new_tokens=16",
    "generation.max_new_tokens=16",
    "evaluation.users=4",
    "evaluation.resamples=20",
]
EXPERIMENTS = {
    "smoke": [],
    "pretrain_tiny": TINY,
    # no audit accepts what a backbone of no use writes, so a program teaches
    "paper": [
        *TINY,
        *FEW,
        "teacher=template",
        "teacher.generation=null",
        "~teacher.params.guided",
        "model.max_length=4096",
    ],
    "throughput": [*TINY, *FEW],
    "training": [*TINY, *FEW, "probe.users=2", "probe.max_new_tokens=16"],
    "baselines": ["baseline=sasrec", "baseline.fit.epochs=1", "evaluation.resamples=20"],
    "main": [*TINY, *FEW],
    "seeds": [*TINY, *FEW],
    "robustness": ["baseline=item_knn", "noise=flip"],
    "ablation": [*TINY, *FEW, "+variant=chains_3"],
    "chains": [*TINY, *FEW, "chain_sampler=closed"],
    "evidence": [*TINY, *FEW, "baseline=none"],
    "real_model": [*TINY, *FEW, "baseline=none"],
    "transfer": [*TINY, *FEW, "dataset@train_on=ml_1m"],
    "tune": ["baseline=lightgcn", "baseline.fit.epochs=1"],
}


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("experiment/*.yaml")))
def test_every_experiment_runs(store: Path, movielens: Path, name: str) -> None:
    words = [*EXPERIMENTS[name], f"roots.ml_1m={movielens}"]
    if name == "paper":
        words.append(f"dataset.root={movielens}")
    done = go(store, *words, experiment=name)
    if composed(*words, experiment=name).chain_sampler.name == "closed":
        assert "backbone" not in done.made()
    if name in ("pretrain_tiny", "tune"):
        assert done.records == []
    else:
        last = json.loads((done.folder / "metrics.json").read_text())[-1]["method"]
        assert ("a full run" in done.lines[-1]) == (name == "throughput")
        assert last == {"baselines": "sasrec", "robustness": "item_knn"}.get(name, RL)


def test_moved_raw_files_remake_nothing(store: Path, movielens: Path, tmp_path: Path) -> None:
    words = [*TINY, *FEW, "until=split"]
    first = go(store, *words, f"dataset.root={movielens}", experiment="paper")
    moved = shutil.copytree(movielens, tmp_path / "moved")
    second = go(store, *words, f"dataset.root={moved}", experiment="paper")
    keys = {stage["key"] for stage in first.stages.values()}
    assert keys == {stage["key"] for stage in second.stages.values()}
    assert second.made() == set()


def test_train_on_reuses_training_and_ranks_elsewhere(store: Path, movielens: Path) -> None:
    small = [*TINY, *FEW]
    here = ["dataset=ml_1m", f"roots.ml_1m={movielens}"]
    there = go(store, *small, experiment="transfer")
    done = go(store, *small, *here, "dataset@train_on=toy", experiment="transfer")
    # the run on toy has made all of it
    assert not any(name.startswith("train_on/") for name in done.made())
    assert done.stages["train_on/rl"]["path"] == there.stages["rl"]["path"]
    trained = {r["method"]: r["train_dataset"] for r in done.records}
    assert {r["dataset"] for r in done.records} == {"ml_1m"}
    on_toy = {name for name, data in trained.items() if data == "toy"}
    on_movielens = {name for name, data in trained.items() if data == "ml_1m"}
    assert on_toy == {SFT, RL}
    assert on_movielens == {*REFERENCES, "backbone"}
    own = go(store, *small, *here, "dataset@train_on=ml_1m", experiment="transfer")
    assert own.stages["rl"]["path"] != there.stages["rl"]["path"]
    assert "train_on/rl" not in own.stages


def test_train_on_refuses_baseline(store: Path) -> None:
    with pytest.raises(R2RecError, match="baselines cannot be trained on another data set"):
        go(store, "dataset@train_on=ml_1m", "baseline=sasrec")


DIAGNOSTICS = sorted(p.stem for p in CONF.glob("diagnostic/*.yaml") if p.stem != "none")


@pytest.mark.parametrize("name", DIAGNOSTICS)
def test_every_diagnostic_asks_arms_that_write(store: Path, name: str) -> None:
    few = {
        "position": ["diagnostic.params.shuffles=2"],
        "consistency": ["diagnostic.params.samples=2"],
    }.get(name, [])
    done = go(store, f"diagnostic={name}", "diagnostic.users=4", "evaluation.arms=[base]", *few)
    assert set(done.stages["diagnose"]["arms"]) == {"backbone"}
    assert f"diagnostic {name}" in "\n".join(done.lines)
    assert (done.folder / "tables" / f"{name}.csv").read_text().startswith("method,")
    assert done.records == go(store, "evaluation.arms=[base]").records
