"""A witness places candidates as its model scores them, and never knows the answer."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from r2rec.base.errors import R2RecError
from r2rec.baselines import fit
from r2rec.chains import witness
from r2rec.chains.chain import load_graph, sample
from r2rec.chains.evidence import TASTES, WITNESSES, best_weights, evidence
from r2rec.chains.graph import Graph, Queries, queries
from r2rec.config import ChainSampler, Fit
from r2rec.config.slices import WitnessSlice
from r2rec.data.candidates import Candidates
from tests.baselines.small import GRAPH, ITEMS, SEQUENCE, USERS, data, table
from tests.small import Done, go, workspace

CANDIDATES = 6
SPEC = Fit(negatives=5, batch_size=4, least_steps=1, learning_rate=0.05, epochs=12, patience=2)
CHOICES = WitnessSlice(
    seed=0,
    name="gru4rec",
    target="r2rec.baselines.gru4rec.GRU4Rec",
    params={"dim": 8, "length": 6, "hidden": 8},
    fit=SPEC,
    positive_above=3.0,
    folds=3,
)
LIKES = replace(CHOICES, fit=replace(SPEC, likes_only=True))
EVIDENCE = (
    "chain_sampler=evidence",
    "chain_sampler.per_user=20",
    "prompt=evidence",
)
WITNESS = ("baseline@witness=gru4rec", "witness.fit.epochs=2", "witness.params.dim=8")


def write_world(folder: Path, train: pl.DataFrame) -> dict[str, Path]:
    """`prepare` and `split` of these train ratings, as far as a fit reads them."""
    folders = {"prepare": folder / "prepare", "split": folder / "split"}
    for path in folders.values():
        path.mkdir(parents=True)
    for name, count in (("user", USERS), ("item", ITEMS)):
        pl.DataFrame({name: range(count)}).write_parquet(folders["prepare"] / f"{name}s.parquet")
    train.write_parquet(folders["split"] / "train.parquet")
    rng = np.random.default_rng(0)
    items = [rng.permutation(ITEMS)[:CANDIDATES].tolist() for _ in range(USERS)]
    candidates = pl.DataFrame({"user": range(USERS), "items": items})
    candidates = candidates.with_columns(positive=pl.col("items").list.get(2))
    candidates = candidates.cast({"user": pl.UInt32, "positive": pl.UInt32})
    candidates.write_parquet(folders["split"] / "validation_candidates.parquet")
    return folders


def made(choices: WitnessSlice, inputs: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The inputs, with what stage `witness` makes of them."""
    folder.mkdir(exist_ok=True)
    witness.witness(choices, inputs, workspace(folder, threads=1))
    return {**inputs, "witness": folder}


def fitted(choices: WitnessSlice, inputs: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The inputs, with the fit of the same model to all users."""
    folder.mkdir()
    fit.fit(choices, inputs, workspace(folder, threads=1))
    return {**inputs, "witness_fit": folder}


def asked(graph: Graph, user: Any, length: Any = None) -> Queries:
    rng = np.random.default_rng(1)
    shown = [rng.permutation(ITEMS)[:CANDIDATES] for _ in user]
    return queries(graph, np.asarray(user), length, np.array(shown, np.uint32))


def sorted_places(scores: np.ndarray, items: np.ndarray) -> list[list[int]]:
    """Places by sorting each row: the highest score first, then the smallest id."""
    rows = []
    for row, shown in zip(scores.tolist(), items.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], shown[c]))
        rows.append([order.index(column) + 1 for column in range(len(row))])
    return rows


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return write_world(tmp_path / "world", table())


@pytest.mark.parametrize("choices", [CHOICES, LIKES], ids=["all", "likes"])
def test_places_are_those_of_the_fitted_model(choices, inputs, tmp_path):
    inputs = fitted(choices, inputs, tmp_path / "fit")
    graph = load_graph(inputs["prepare"], inputs["split"])
    wanted = asked(graph, range(USERS))
    found = witness.places(witness.of_all_users(inputs), graph, wanted)
    scores = fit.scores_by_fitted_model(
        inputs["witness_fit"],
        inputs["prepare"],
        inputs["split"],
        wanted.user,
        wanted.candidates,
    )
    past = fit.load_ratings(
        inputs["prepare"], inputs["split"], fit.built_of(choices)["above"]
    ).start
    expected = np.array(sorted_places(scores, wanted.candidates))
    expected[np.diff(past) == 0] = 0  # nothing is known of these users
    assert (np.diff(past) == 0).any()
    np.testing.assert_array_equal(found, expected)


def test_nothing_after_the_question_is_read(inputs, tmp_path):
    """As if the user's ratings ended there."""
    inputs = made(CHOICES, inputs, tmp_path / "witness")
    told_by = witness.out_of_fold(inputs)
    graph = load_graph(inputs["prepare"], inputs["split"])
    user = np.flatnonzero(np.diff(graph.start) > 3)
    length = np.diff(graph.start)[user] // 2
    found = witness.places(told_by, graph, asked(graph, user, length))
    for row, (one, until) in enumerate(zip(user, length, strict=True)):
        train = table()
        own = pl.int_range(pl.len()).over("user")
        ended = train.filter((pl.col("user") != int(one)) | (own < int(until)))
        short = tmp_path / f"{row}.parquet"
        ended.write_parquet(short)
        shorter = load_graph(inputs["prepare"], inputs["split"], short)
        alone = asked(graph, user, length)
        alone = queries(shorter, user[[row]], None, alone.candidates[[row]])
        np.testing.assert_array_equal(witness.places(told_by, shorter, alone)[0], found[row])


def test_a_user_has_no_say_in_the_model_that_places_their_targets(inputs, tmp_path):
    """Other ratings from the target on, or from the first on: the same weights and places."""
    before = made(CHOICES, inputs, tmp_path / "before")
    user = 5
    fold = int(witness.out_of_fold(before).fold[user])
    position = int((table()["user"] == user).sum()) // 2
    for kept in (position, 0):
        own = pl.int_range(pl.len()).over("user")
        changed = (pl.col("user") == user) & (own >= kept)
        other = table().with_columns(
            item=pl.when(changed).then((pl.col("item") + 7) % ITEMS).otherwise("item")
        )
        world = write_world(tmp_path / f"world{kept}", other.cast(table().schema))
        after = made(CHOICES, world, tmp_path / f"after{kept}")
        for number in range(CHOICES.folds):
            name = f"fold_{number}/{fit.WEIGHTS}"
            one = (before["witness"] / name).read_bytes()
            same = one == (after["witness"] / name).read_bytes()
            assert same == (number == fold)  # the others have learnt from them
        if kept:
            found = []
            for folders in (before, after):
                graph = load_graph(folders["prepare"], folders["split"])
                wanted = asked(graph, [user], [position])
                found.append(witness.places(witness.out_of_fold(folders), graph, wanted))
            np.testing.assert_array_equal(*found)


def test_each_fold_is_left_out_by_the_model_that_places_it(inputs, tmp_path, monkeypatch):
    """In learning as in stopping."""
    met = []
    real = fit.best_model

    def noted(choices, data, validation, *rest, **options):
        met.append((set(data.user.tolist()), set(validation.users.tolist())))
        return real(choices, data, validation, *rest, **options)

    monkeypatch.setattr(fit, "best_model", noted)
    inputs = made(CHOICES, inputs, tmp_path / "witness")
    fold = witness.out_of_fold(inputs).fold
    with_ratings = set(table()["user"].to_list())
    for number, (learnt, stopped) in enumerate(met):
        others = {user for user in range(USERS) if fold[user] != number}
        assert learnt == others & with_ratings
        assert stopped == others
    sizes = np.bincount(fold)
    assert len(sizes) == CHOICES.folds
    assert sizes.max() - sizes.min() <= 1


def test_what_is_reported_of_users_not_met(inputs, tmp_path):
    folder = tmp_path / "witness"
    folder.mkdir()
    facts = witness.witness(CHOICES, inputs, workspace(folder, threads=1))
    told_by = witness.out_of_fold({"witness": folder})
    graph = load_graph(inputs["prepare"], inputs["split"])
    held_out = Candidates.of(pl.read_parquet(inputs["split"] / "validation_candidates.parquet"))
    wanted = queries(graph, held_out.users, None, held_out.items)
    found = witness.places(told_by, graph, wanted)
    first = found[np.arange(USERS), held_out.positive_index] == 1
    assert facts["unseen_hr@1"] == pytest.approx(first.mean())
    log = pl.read_parquet(folder / "log.parquet")
    assert facts["epochs"] == log.height
    best = log.group_by("fold").agg(pl.col("ndcg").max())["ndcg"].mean()
    assert facts["validation_ndcg"] == pytest.approx(best)


def test_killed_fits_go_on(inputs, tmp_path, monkeypatch):
    """Killed in each epoch of each model: those that were done are not trained any further."""
    whole = made(CHOICES, inputs, tmp_path / "whole")["witness"]
    log = pl.read_parquet(whole / "log.parquet").drop("seconds")
    assert log.filter(fold=0).height < SPEC.epochs  # it stopped early
    folder = tmp_path / "killed"
    real = fit._train_epoch
    epochs = []

    def killed(*arguments):
        if epochs and epochs[-1] is not None:
            epochs.append(None)
            raise KeyboardInterrupt
        epochs.append(real(*arguments))
        return epochs[-1]

    monkeypatch.setattr(fit, "_train_epoch", killed)
    for _ in range(log.height):
        try:
            made(CHOICES, inputs, folder)
        except KeyboardInterrupt:
            continue
        break
    assert len([loss for loss in epochs if loss is not None]) == log.height
    assert pl.read_parquet(folder / "log.parquet").drop("seconds").equals(log)
    for number in range(CHOICES.folds):
        name = f"fold_{number}/{fit.WEIGHTS}"
        assert (whole / name).read_bytes() == (folder / name).read_bytes()


def test_placing_draws_no_random_number(inputs, tmp_path):
    """A probe asks it within a training, which must learn the same without."""
    inputs = fitted(CHOICES, inputs, tmp_path / "fit")
    graph = load_graph(inputs["prepare"], inputs["split"])
    before = torch.random.get_rng_state()
    witness.places(witness.of_all_users(inputs), graph, asked(graph, [1, 2]))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("kind", [*SEQUENCE, *GRAPH])
def test_a_witness_has_no_weight_of_a_user(kind):
    shapes = []
    for n_users in (USERS, USERS + 5):
        model = kind(data()._replace(n_users=n_users, start=_more(n_users)), dim=8)
        shapes.append({name: value.shape for name, value in model.state_dict().items()})
    assert (shapes[0] == shapes[1]) == kind.from_history


def _more(n_users: int) -> np.ndarray:
    return np.searchsorted(data().user, np.arange(n_users + 1))


def test_a_fold_without_users_is_an_error(inputs, tmp_path):
    many = replace(CHOICES, folds=USERS + 1)
    with pytest.raises(R2RecError, match=r"witness.folds=13: .*lower it"):
        made(many, inputs, tmp_path / "witness")


def test_chains_of_another_kind_have_no_place_for_it(inputs, tmp_path):
    inputs = fitted(CHOICES, inputs, tmp_path / "fit")
    graph = load_graph(inputs["prepare"], inputs["split"])
    with pytest.raises(R2RecError, match="add chain_sampler=evidence"):
        sample(
            ChainSampler("none"),
            graph,
            asked(graph, [1]),
            np.random.default_rng(0),
            witness.of_all_users(inputs),
        )


@pytest.fixture(scope="module")
def told(store: Path) -> Done:
    return go(store, *EVIDENCE, *WITNESS, "until=rl")


def test_without_a_witness_chains_are_what_they_were(told, store):
    off = go(store, *EVIDENCE, "until=think")
    assert {"witness", "witness_fit"}.isdisjoint(off.stages)
    silent = go(store, *EVIDENCE, *WITNESS, "chain_sampler.params.witness=0", "until=chain")
    chains = silent.table("chain", "chains")
    assert chains.schema["witness"] == pl.UInt32
    assert chains.drop("witness").equals(off.table("chain", "chains"))
    again = go(store, *EVIDENCE, "witness.folds=4", "until=think")
    assert again.made() == set()


def test_every_stage_that_reads_it_has_it_in_its_key(told, store):
    off = go(store, *EVIDENCE, "until=rl")
    other = go(store, *EVIDENCE, *WITNESS, "witness.folds=3", "until=rl")
    reads = {"weigh", "chain", "think", "sft", "rl"}
    for name, stage in off.stages.items():
        assert (stage["key"] != told.stages[name]["key"]) == (name in reads)
    assert other.made() == {"witness", "think", "sft", "rl"}


def test_a_baseline_of_its_own_is_the_same_fit(told, store):
    alone = go(store, "baseline=gru4rec", "baseline.fit.epochs=2", "baseline.params.dim=8")
    assert alone.status()["fit"] == "reused"
    assert alone.stages["fit"]["key"] == told.stages["witness_fit"]["key"]


@pytest.mark.parametrize("history", ["train", "all"])
def test_chains_tell_places_after_all_that_is_told(told, store, history):
    run = told
    ratings = None
    if history == "all":
        run = go(store, *EVIDENCE, *WITNESS, "evaluation.history=all", "until=chain")
        ratings = run.folders()["tell"] / "told.parquet"
    chains = run.table("chain", "chains")
    by_user = Candidates.of(run.table("split", "candidates").sort("user"))
    scores = fit.scores_by_fitted_model(
        run.folders()["witness_fit"],
        run.folders()["prepare"],
        run.folders()["split"],
        by_user.users,
        by_user.items,
        ratings,
    )
    expected = np.array(sorted_places(scores, by_user.items))
    pairs = chains.select("user", "item2", "witness").rows()
    found = {(user, item): place for user, item, place in pairs}
    for user, items, row in zip(by_user.users, by_user.items, expected, strict=True):
        assert [found[user, item] for item in items] == row.tolist()


def test_a_witness_with_a_large_weight_decides_the_order(told, store):
    """A large weight makes its order that of the evidence."""
    loud = go(store, *EVIDENCE, *WITNESS, "chain_sampler.params.witness=1000", "until=chain")
    chains = loud.table("chain", "chains").with_columns(linked=pl.col("links") > 0)
    for _, of_user in chains.group_by("user"):
        for _, alike in of_user.group_by("linked", maintain_order=True):
            assert alike["witness"].to_list() == sorted(alike["witness"].to_list())


def test_its_weight_is_the_best_on_validation_positives(inputs, tmp_path):
    inputs = fitted(CHOICES, inputs, tmp_path / "fit")
    graph = load_graph(inputs["prepare"], inputs["split"])
    rng = np.random.default_rng(2)
    user = np.flatnonzero(np.diff(graph.start))
    wanted = witness.heard(witness.of_all_users(inputs), graph, asked(graph, user))
    index = rng.integers(CANDIDATES, size=len(user))
    params = {"recent": 3, "window": 2, "before": False, "decay": 0.8, "popularity": 0.1}
    found = best_weights(graph, wanted, index, params | {"taste": None, "witness": None})

    def ndcg(weights):
        rows = evidence(graph, wanted, CANDIDATES, rng, **params, **weights)
        order = rows["item2"].to_numpy().reshape(-1, CANDIDATES)
        positive = wanted.candidates[np.arange(len(order)), index]
        place = (order == positive[:, None]).argmax(axis=1)
        return float((1 / np.log2(place + 2)).mean())

    every = [{"taste": taste, "witness": weight} for taste, weight in product(TASTES, WITNESSES)]
    chosen = {name: found[name] for name in ("taste", "witness")}
    assert ndcg(chosen) == pytest.approx(max(map(ndcg, every)), abs=1e-9)
    assert best_weights(graph, wanted, index, found) == found
    alone = wanted._replace(placed=None)
    assert best_weights(graph, alone, index, params | {"witness": None})["witness"] == 0


def test_prompts_and_thoughts_tell_it(told):
    traces = told.table("think", "traces")
    for prompt, thought in traces.select("prompt", "thought").iter_rows():
        assert "another model ranks" in prompt
        assert "another model ranks" in thought
