"""The training loop: repeatable, taken up where it was killed, and it keeps the best weights, not the last."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from safetensors.numpy import load_file

from r2rec.base.errors import R2RecError
from r2rec.baselines import fit
from r2rec.run.launch import _free_port
from tests.baselines.small import ITEMS, USERS, data, table
from tests.conftest import ROOT

SASREC, LIGHTGCN = (f"r2rec.baselines.{name}" for name in ("sasrec.SASRec", "lightgcn.LightGCN"))


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    prepare, split = tmp_path / "prepare", tmp_path / "split"
    prepare.mkdir()
    split.mkdir()
    for name, count in (("users", USERS), ("items", ITEMS)):
        pl.DataFrame({name[:-1]: range(count)}).write_parquet(prepare / f"{name}.parquet")
    table().write_parquet(split / "train.parquet")
    rng = np.random.default_rng(0)
    shown = [rng.permutation(ITEMS)[:6].tolist() for _ in range(USERS)]
    frame = pl.DataFrame(
        {"user": range(USERS), "positive": [row[2] for row in shown], "items": shown}
    )
    frame.cast({"user": pl.UInt32, "positive": pl.UInt32}).write_parquet(
        split / "validation_candidates.parquet"
    )
    return {"prepare": prepare, "split": split}


def configured(target=SASREC, seed=0, **spec):
    params = {"dim": 8, "length": 6, "blocks": 1} if target == SASREC else {"dim": 8}
    whole = {"loss": "softmax", "negatives": 5, "likes_only": False, "batch_size": 4, "least_steps": 1,
             "learning_rate": 0.02, "weight_decay": 0.0, "epochs": 6, "patience": 9} | spec  # fmt: skip
    return OmegaConf.create({
        "seed": seed, "evaluation": {"positive_above": 3.0}, "hardware": {"device": "cpu", "threads": 1, "bf16": False},
        "baseline": {"name": "x", "_target_": target, "params": params, "fit": whole},
    })  # fmt: skip


def fitted(cfg, inputs, folder: Path):
    folder.mkdir(exist_ok=True)
    facts = fit.fit(cfg, inputs, folder)
    return (
        load_file(folder / fit.WEIGHTS),
        pl.read_parquet(folder / "log.parquet").drop("seconds"),
        facts,
    )


def same(one, two):
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("target", [SASREC, LIGHTGCN])
def test_a_seed_fixes_the_weights_and_another_changes_them(inputs, tmp_path, target):
    first, log, _ = fitted(configured(target), inputs, tmp_path / "a")
    again, log2, _ = fitted(configured(target), inputs, tmp_path / "b")
    other, _, _ = fitted(configured(target, seed=1), inputs, tmp_path / "c")
    assert same(first, again)
    assert log.equals(log2)
    assert not same(first, other)


@pytest.mark.parametrize("target", [SASREC, LIGHTGCN])
@given(batch_size=st.integers(1, 200), least=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_few_data_come_in_small_batches(target, batch_size, least):
    """An epoch shows every example once, in batches no larger than asked for and than so many steps allow."""
    model = fit.build_module(
        {"target": target, "params": configured(target).baseline.params}, data()
    )
    sizes: list[int] = []
    model.forward = lambda batch, *rest: (
        sizes.append(len(batch[0])) or next(model.parameters()).sum()
    )
    spec = configured(target, batch_size=batch_size, least_steps=least).baseline.fit
    fit._epoch(model, torch.optim.SGD(model.parameters(), lr=0.0), spec, 0, 0)
    assert sum(sizes) == model.examples
    assert max(sizes) <= batch_size
    assert max(sizes) <= -(-model.examples // min(least, model.examples))


def test_a_killed_run_goes_on_as_it_would_have(inputs, tmp_path):
    whole, log, _ = fitted(configured(epochs=6), inputs, tmp_path / "whole")
    fitted(configured(epochs=3), inputs, tmp_path / "part")
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.copytree(tmp_path / "part" / "checkpoints", kept / "checkpoints")
    rest, log2, _ = fitted(configured(epochs=6), inputs, kept)
    assert log2.equals(log)
    assert same(whole, rest)


LAUNCHED = {
    "ACCELERATE_USE_CPU": "true",
    "ACCELERATE_USE_FSDP": "true",
    "ACCELERATE_MIXED_PRECISION": "bf16",
}
PROCESS = """
import pickle, sys
from r2rec.base import processes
from r2rec.baselines import fit

if processes.is_main():
    processes.run_in_all(fit.fit, *pickle.load(sys.stdin.buffer))
    processes.dismiss()
else:
    fit.quality = lambda *_: (0.0, 0.0)  # it would stop where the first goes on
    processes.follow()
"""


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_whatever_shares_out_a_language_model(inputs, tmp_path):
    """In halves of a batch, whole models in float32: FSDP and bf16 are for the trainers."""
    table(1).write_parquet(
        inputs["split"] / "train.parquet"
    )  # 100 examples: no batch is left with an odd one
    cfg, folder = configured(LIGHTGCN, negatives=0, batch_size=20, patience=4), tmp_path / "two"
    cfg.hardware.bf16 = True
    one, log, _ = fitted(cfg, inputs, tmp_path / "one")
    assert log.height == 6
    folder.mkdir()
    alike = (
        os.environ
        | LAUNCHED
        | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS], env=alike | {"RANK": rank, "LOCAL_RANK": rank}, cwd=ROOT,
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]  # fmt: skip
    try:
        said = [
            process.communicate(pickle.dumps((cfg, inputs, folder)), timeout=200)[1].decode()
            for process in both
        ]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    two, start = (
        load_file(folder / fit.WEIGHTS),
        fit.build_module({"target": LIGHTGCN, "params": {"dim": 8}}, data(1)),
    )
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-3)
        assert np.abs(value - start.state_dict()[name].numpy()).max() > 0.1
    np.testing.assert_allclose(
        pl.read_parquet(folder / "log.parquet")["ndcg"], log["ndcg"], atol=1e-3
    )


def test_the_launchers_strategy_and_precision_are_not_for_small_models(
    inputs, tmp_path, monkeypatch
):
    one, _, _ = fitted(configured(), inputs, tmp_path / "one")
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "accelerate.Accelerator.__init__", None
    )  # whoever asks it gets what the launcher said
    cfg = configured()
    cfg.hardware.bf16 = True
    assert same(one, fitted(cfg, inputs, tmp_path / "other")[0])


def test_it_stops_and_keeps_the_best(inputs, tmp_path):
    _, log, facts = fitted(
        configured(epochs=60, patience=3, learning_rate=0.3), inputs, tmp_path / "a"
    )
    assert log.height < 60
    assert facts["best_epoch"] == log.height - 4 == log["ndcg"].arg_max()
    assert facts["notes"] == []
    users, shown, place = fit._validation(inputs["split"])
    scores = fit.scores_by_fitted_model(
        tmp_path / "a", inputs["prepare"], inputs["split"], users, shown
    )
    assert fit.quality(scores, place)[1] == pytest.approx(log["ndcg"].max())


def test_a_constant_scorer_gets_the_middle_rank():
    hit, ndcg = fit.quality(np.zeros((5, 20)), np.arange(5))
    assert hit == 0
    assert ndcg == pytest.approx(1 / np.log2(11.5))
    assert fit.quality(np.eye(4), np.arange(4)) == (1.0, 1.0)


def test_likes_only_leaves_the_rest_out(inputs, tmp_path):
    fitted(configured(likes_only=True), inputs, tmp_path / "a")
    built = json.loads((tmp_path / "a" / fit.BUILT).read_text())
    assert built["above"] == 3.0
    assert (
        len(fit.load_ratings(inputs["prepare"], inputs["split"], 3.0).item)
        == (table()["rating"] > 3).sum()
        < len(data().item)
    )


def test_nothing_to_learn_is_said(inputs, tmp_path):
    single = table().group_by("user").head(1)
    single.write_parquet(inputs["split"] / "train.parquet")
    with pytest.raises(R2RecError, match="no user has two train ratings"):
        fitted(configured(), inputs, tmp_path / "a")
    single.clear().write_parquet(inputs["split"] / "train.parquet")
    for target in (SASREC, LIGHTGCN):
        with pytest.raises(R2RecError, match="no train rating is left"):
            fitted(configured(target), inputs, tmp_path / "b")
