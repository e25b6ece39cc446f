"""Stage `weigh`: it chooses on validation positives alone, and later stages use what it chose."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from r2rec.chains import weigh
from r2rec.chains.chain import chain, load_graph, weighed
from r2rec.chains.evidence import TASTES, best_weights, evidence
from r2rec.chains.graph import queries
from r2rec.config.slices import ChainSlice, WeighSlice
from r2rec.data.candidates import Candidates
from tests.small import Done, choices, go, workspace

SAMPLER = "chain_sampler=evidence"
GIVEN = ("chain_sampler.params.window=7", "chain_sampler.params.decay=0.6")
CHOSEN = ("window", "before", "decay", "popularity", "taste", "witness")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run up to `chain`."""
    store = tmp_path_factory.mktemp("weigh") / "store"
    return go(store, SAMPLER, "until=chain", "dataset.params.users=80")


def chosen(base: Done, folder: Path, *overrides: str, **changed: Path) -> dict[str, Any]:
    """What the stage writes under these choices, with other inputs in place of some."""
    folder.mkdir()
    inputs = base.folders() | changed
    weigh.weigh(choices(WeighSlice, SAMPLER, *overrides), inputs, workspace(folder))
    params: dict[str, Any] = json.loads((folder / "params.json").read_text())
    return params


def changed_split(base: Done, folder: Path, name: str, table: pl.DataFrame) -> Path:
    """A copy of the split with another table in place of one."""
    shutil.copytree(base.folders()["split"], folder)
    table.write_parquet(folder / f"{name}.parquet")
    return folder


def test_weigh_writes_all_parameters_and_says_what_it_chose(base: Done) -> None:
    stage = base.stages["weigh"]
    params = json.loads((Path(stage["path"]) / "params.json").read_text())
    assert {name: stage[name] for name in CHOSEN} == {name: params[name] for name in CHOSEN}
    assert stage["users"] == base.table("split", "validation_candidates").height
    given = choices(WeighSlice, SAMPLER).chain_sampler.params
    assert all(given[name] is None for name in CHOSEN)
    assert params == given | {name: params[name] for name in CHOSEN}


def test_weigh_chooses_what_ranks_validation_positives_best(base: Done) -> None:
    params = json.loads((base.folders()["weigh"] / "params.json").read_text())
    table = Candidates.of(base.table("split", "validation_candidates"))
    graph = load_graph(base.folders()["prepare"], base.folders()["split"])
    asked = queries(graph, table.users, candidates=table.items)

    def ndcg(**other: Any) -> float:
        rows = evidence(graph, asked, 20, np.random.default_rng(0), **(params | other))
        order = rows["item2"].to_numpy().reshape(table.items.shape)
        place = (order == table.positives[:, None]).argmax(axis=1)
        return float((1 / np.log2(place + 2)).mean())

    best = ndcg(taste=0.0)
    for name, value in (
        ("window", 5),
        ("window", 20),
        ("before", not params["before"]),
        ("decay", 0.7),
        ("decay", 0.9),
        ("popularity", 0.0),
        ("popularity", 0.4),
    ):
        assert ndcg(taste=0.0, **{name: value}) <= best + 1e-9
    for taste in TASTES:
        assert ndcg(taste=taste) <= ndcg() + 1e-9
    assert best_weights(graph, asked, table.positive_index, params) == params


def test_given_parameters_are_kept_and_not_reported(base: Done, tmp_path: Path) -> None:
    params = chosen(base, tmp_path / "some", *GIVEN)
    assert (params["window"], params["decay"]) == (7, 0.6)
    assert None not in params.values()
    work = tmp_path / "facts"
    work.mkdir()
    facts = weigh.weigh(choices(WeighSlice, SAMPLER, *GIVEN), base.folders(), workspace(work))
    assert set(facts) == {"users", "before", "popularity", "taste", "witness"}


def test_test_positives_have_no_say(base: Done, tmp_path: Path) -> None:
    """Neither which they are, nor what they are shown among; validation positives do."""
    before = chosen(base, tmp_path / "before")
    split = base.folders()["split"]
    table = pl.read_parquet(split / "candidates.parquet")
    shuffled = table.with_columns(pl.col("positive", "items").shuffle(seed=1))
    heldout = pl.read_parquet(split / "heldout.parquet").filter(role="valid")
    copy = changed_split(base, tmp_path / "test", "candidates", shuffled)
    heldout.write_parquet(copy / "heldout.parquet")
    assert chosen(base, tmp_path / "after", split=copy) == before

    # The least likely candidate of each user in place of the positive.
    validation = pl.read_parquet(split / "validation_candidates.parquet")
    last = last_ones(base, validation)
    other = changed_split(
        base, tmp_path / "validation", "validation_candidates", validation.with_columns(last)
    )
    assert chosen(base, tmp_path / "other", split=other) != before


def last_ones(base: Done, table: pl.DataFrame) -> pl.Series:
    """The candidate that evidence puts last, for each row."""
    candidates = Candidates.of(table)
    graph = load_graph(base.folders()["prepare"], base.folders()["split"])
    asked = queries(graph, candidates.users, candidates=candidates.items)
    params = json.loads((base.folders()["weigh"] / "params.json").read_text())
    rows = evidence(graph, asked, 20, np.random.default_rng(0), **params)
    order = rows["item2"].to_numpy().reshape(candidates.items.shape)
    return pl.Series("positive", order[:, -1], pl.UInt32)


def test_weigh_asks_a_sample_of_many_users(
    base: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weigh, "MOST_USERS", 10)
    (tmp_path / "few").mkdir()
    given = choices(WeighSlice, SAMPLER)
    facts = weigh.weigh(given, base.folders(), workspace(tmp_path / "few"))
    assert facts["users"] == 10


def test_chains_use_what_was_chosen(base: Done, tmp_path: Path) -> None:
    """`chain` after `weigh` draws what it draws with these parameters given."""
    params = json.loads((base.folders()["weigh"] / "params.json").read_text())
    unweighed = choices(ChainSlice, SAMPLER)
    assert weighed(unweighed, base.folders()).chain_sampler.params == params
    assert weighed(unweighed, {}) == unweighed

    overrides = [f"chain_sampler.params.{name}={params[name]}" for name in CHOSEN]
    inputs = {name: folder for name, folder in base.folders().items() if name != "weigh"}
    (tmp_path / "given").mkdir()
    chain(choices(ChainSlice, SAMPLER, *overrides), inputs, workspace(tmp_path / "given"))
    drawn = pl.read_parquet(tmp_path / "given" / "chains.parquet")
    assert drawn.equals(base.table("chain", "chains"))
    n_candidates = base.table("split", "candidates")["items"].list.len().sum()
    assert drawn.height == n_candidates
