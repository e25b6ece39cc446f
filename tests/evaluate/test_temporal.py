"""`evaluation.temporal`: what is told was there before each target; rows say who knew more."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.config.slices import Arm, ChainSlice, QuestionSlice, ScoreSlice, TaskSlice, WeighSlice
from r2rec.data.moments import positive_times
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.execution.keys import keyed
from r2rec.execution.methods import LATER, arms
from r2rec.execution.plan import plan
from r2rec.tasks import training
from tests.small import Done, choices, go, typed

WORLD = ("dataset.params.users=120", "evaluation.users=100", "chain_sampler.per_user=3")
TEMPORAL = (*WORLD, "evaluation.temporal=true")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("temporal") / "store", *TEMPORAL, "until=chain")


def test_chains_rest_on_earlier_ratings_of_neighbours(world: Done) -> None:
    folders = world.folders()
    held = world.table("split", "heldout").filter(role="test").rename({"item": "positive"})
    times = pl.Series(positive_times(folders["prepare"], held))
    moments = held.select("user", moment=times)
    chains = world.table("chain", "chains").join(moments, on="user")
    train = world.table("split", "train").select("user", "item", "timestamp")
    assert chains.height > 300
    for item in ("item1", "item2"):
        given = chains.join(train, left_on=("neighbour", item), right_on=("user", "item"))
        assert given.height == chains.height
        assert (given["timestamp"] < given["moment"]).all()


def test_facts_of_a_prompt_are_counts_before_the_test_positive(world: Done) -> None:
    folders = world.folders()
    chosen = choices(QuestionSlice, *TEMPORAL, "prompt.facts=true", arm=Arm("m"))
    candidates = evaluated(folders["split"], chosen.seed, 20)
    times = positive_times(folders["prepare"], candidates)
    train = world.table("split", "train")
    cases = evaluation_cases(chosen, folders, candidates)
    assert cases != evaluation_cases(replace(chosen, temporal=False), folders, candidates)
    for row, (case, moment) in enumerate(zip(cases, times, strict=True)):
        early = train.filter(pl.col("timestamp") < moment)
        for item, told in zip(candidates["items"][row], case.facts, strict=True):
            assert told.ratings == early.filter(item=item).height  # nobody touched a candidate


def test_training_tasks_tell_what_was_there_before_their_targets(world: Done) -> None:
    source = training.load_source(world.folders()["prepare"], world.folders()["split"])
    chosen = choices(TaskSlice, *TEMPORAL, "prompt.facts=true", "prompt.chains=false")
    some = training.targets(source, chosen).head(30)
    tasks = training.ranking_tasks(source, some, chosen, np.random.default_rng(0))
    when = source.train.select("user", "item", "timestamp")
    titles = [item.title for item in source.texts.items]
    for task in tasks:
        moment = when.filter(user=task.user, item=task.item)["timestamp"][0]
        early = source.train.filter(pl.col("timestamp") < moment, pl.col("user") != task.user)
        for item, told in zip(task.case.candidates, task.case.facts, strict=True):  # type: ignore[union-attr]
            assert told.ratings == early.filter(item=titles.index(item.title)).height


def test_rating_tasks_ask_about_chains_that_were_there(
    world: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = training.load_source(world.folders()["prepare"], world.folders()["split"])
    chosen = choices(TaskSlice, *TEMPORAL)
    told: list[pl.DataFrame] = []

    def remember(chains: pl.DataFrame, *rest: object) -> list[object]:
        told.append(chains)
        return [None] * chains.height

    monkeypatch.setattr(training, "rating_cases", remember)
    nobody = pl.DataFrame(schema={"user": pl.UInt32, "item": pl.UInt32})
    when = source.train.select("user", "item", "timestamp")
    late = 0
    for temporal in (True, False):
        tasks = training.rating_tasks(
            source, nobody, 60, replace(chosen, temporal=temporal), np.random.default_rng(0)
        )
        assert len(tasks) == 60
        asked = told[-1].join(
            when.rename({"item": "item2", "timestamp": "moment"}), on=["user", "item2"]
        )
        for item in ("item1", "item2"):
            given = asked.join(when, left_on=("neighbour", item), right_on=("user", "item"))
            late += int((given["timestamp"] >= given["moment"]).sum())
        assert (late > 0) == (not temporal)


@pytest.mark.parametrize(
    ("baseline", "knows"),
    [
        ("popularity", False),
        ("random", False),
        ("item_knn", False),
        ("ease", False),
        ("counter prompt=evidence", False),
        ("counter_fitted prompt=evidence", False),
        ("direct", False),
        ("chatrec", False),
        ("tallrec", False),
        ("llara", True),
        ("sasrec", True),
        ("lightgcn", True),
        ("none", False),
    ],
)
def test_variant_tells_who_knows_later_ratings(baseline: str, knows: bool) -> None:
    words = (*f"baseline={baseline}".split(), "chain_sampler=evidence")
    rows = arms(typed(*words, "evaluation.temporal=true"))
    assert [LATER in row.variant for row in rows] == [False] * (len(rows) - 1) + [knows]
    before = arms(typed(*words))
    assert [row.variant.replace(f", {LATER}", "").replace(LATER, "") for row in rows] == [
        row.variant for row in before
    ]


@pytest.mark.parametrize(("fusion", "knows"), [("sasrec", True), ("item_knn", False)])
def test_fused_rows_tell_it_too(fusion: str, knows: bool) -> None:
    jobs = plan(typed(f"baseline@fusion={fusion}", "evaluation.temporal=true"))
    fused = [job.arm for job in jobs if job.stage.name == "fuse"]
    assert fused
    assert all(arm and (LATER in arm.variant) == knows for arm in fused)


@pytest.mark.parametrize("kind", [WeighSlice, ChainSlice, TaskSlice, ScoreSlice, QuestionSlice])
def test_keys_are_those_of_before_where_it_is_off(kind: type) -> None:
    given = {"arm": Arm("m")} if kind in (ScoreSlice, QuestionSlice) else {}
    off = keyed(choices(kind, **given))
    assert "temporal" not in off
    assert keyed(choices(kind, "evaluation.temporal=true", **given)) == off | {"temporal": True}


def test_data_without_times_are_refused_after_they_are_read(tmp_path: Path) -> None:
    rows = [f"u{user},i{item},5" for user in range(30) for item in range(40)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item,rating", *rows]))
    csv = ("dataset=csv", f"roots.csv={tmp_path}", "baseline=popularity")
    with pytest.raises(R2RecError, match=r"dataset=csv has none") as caught:
        go(tmp_path / "store", *csv, "evaluation.temporal=true")
    assert len(str(caught.value).splitlines()) == 1
    assert [folder.name for folder in (tmp_path / "store").iterdir() if folder.is_dir()] == [
        "prepare"
    ]


def test_scorers_and_counters_run(world: Done) -> None:
    store = world.folder.parent / "store"
    for baseline in ("item_knn", "popularity"):
        told = {}
        for temporal in ("false", "true"):
            done = go(store, *WORLD, f"baseline={baseline}", f"evaluation.temporal={temporal}")
            told[temporal] = pl.read_parquet(done.folder / "rankings.parquet")
        assert told["true"].filter(method="random").equals(told["false"].filter(method="random"))
        assert not told["true"].equals(told["false"])
