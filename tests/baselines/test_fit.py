"""The training loop: repeatable, resumable, and it keeps the best weights, not the last."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from r2rec.base.errors import R2RecError
from r2rec.baselines import fit
from r2rec.config import Fit
from r2rec.config.slices import FitSlice
from r2rec.execution.launch import _free_port
from tests.baselines.small import ITEMS, USERS, data, table
from tests.conftest import ROOT
from tests.small import workspace

SASREC = "r2rec.baselines.sasrec.SASRec"
LIGHTGCN = "r2rec.baselines.lightgcn.LightGCN"
PARAMS = {SASREC: {"dim": 8, "length": 6, "blocks": 1}, LIGHTGCN: {"dim": 8}}
SPEC = Fit(
    loss="softmax",
    negatives=5,
    batch_size=4,
    least_steps=1,
    learning_rate=0.02,
    epochs=6,
    patience=9,
)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    folders = {"prepare": tmp_path / "prepare", "split": tmp_path / "split"}
    for folder in folders.values():
        folder.mkdir()
    for name, count in (("user", USERS), ("item", ITEMS)):
        frame = pl.DataFrame({name: range(count)})
        frame.write_parquet(folders["prepare"] / f"{name}s.parquet")
    table().write_parquet(folders["split"] / "train.parquet")
    rng = np.random.default_rng(0)
    items = [rng.permutation(ITEMS)[:6].tolist() for _ in range(USERS)]
    positives = [row[2] for row in items]
    candidates = pl.DataFrame({"user": range(USERS), "positive": positives, "items": items})
    candidates = candidates.cast({"user": pl.UInt32, "positive": pl.UInt32})
    candidates.write_parquet(folders["split"] / "validation_candidates.parquet")
    return folders


def chosen(target: str = SASREC, seed: int = 0, **spec: Any) -> FitSlice:
    return FitSlice(
        seed=seed,
        name="x",
        target=target,
        params=PARAMS[target],
        fit=replace(SPEC, **spec),
        positive_above=3.0,
    )


Fitted = tuple[dict[str, np.ndarray], pl.DataFrame, dict[str, Any]]


def fitted(choices: FitSlice, inputs: dict[str, Path], folder: Path, **hardware: Any) -> Fitted:
    """Weights, log and facts."""
    folder.mkdir(exist_ok=True)
    facts = fit.fit(choices, inputs, workspace(folder, threads=1, **hardware))
    log = pl.read_parquet(folder / "log.parquet").drop("seconds")
    return load_file(folder / fit.WEIGHTS), log, facts


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("target", [SASREC, LIGHTGCN])
def test_seed_fixes_the_weights(inputs, tmp_path, target):
    first, log, _ = fitted(chosen(target), inputs, tmp_path / "a")
    again, log2, _ = fitted(chosen(target), inputs, tmp_path / "b")
    other, _, _ = fitted(chosen(target, seed=1), inputs, tmp_path / "c")
    assert same(first, again)
    assert log.equals(log2)
    assert not same(first, other)


@pytest.mark.parametrize("target", [SASREC, LIGHTGCN])
@given(batch_size=st.integers(1, 200), least=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_few_data_come_in_small_batches(target, batch_size, least):
    """An epoch shows every example once, in batches small enough for `least_steps`."""
    model = fit.build_module({"target": target, "params": PARAMS[target]}, data())
    sizes: list[int] = []

    def forward(batch, *rest):
        sizes.append(len(batch[0]))
        return next(model.parameters()).sum()

    model.forward = forward
    spec = replace(SPEC, batch_size=batch_size, least_steps=least)
    fit._epoch(model, torch.optim.SGD(model.parameters(), lr=0.0), spec, 0, 0)
    assert sum(sizes) == model.examples
    assert max(sizes) <= batch_size
    assert max(sizes) <= -(-model.examples // min(least, model.examples))


def test_killed_run_goes_on(inputs, tmp_path):
    whole, log, _ = fitted(chosen(epochs=6), inputs, tmp_path / "whole")
    fitted(chosen(epochs=3), inputs, tmp_path / "part")
    kept = tmp_path / "kept"
    kept.mkdir()
    shutil.copytree(tmp_path / "part" / "checkpoints", kept / "checkpoints")
    rest, log2, _ = fitted(chosen(epochs=6), inputs, kept)
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


def run_two_processes(*call: Any) -> None:
    """`fit.fit` with these arguments, in two processes."""
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    both = []
    for rank in "01":
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            env=os.environ | LAUNCHED | group | {"RANK": rank, "LOCAL_RANK": rank},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        both.append(process)
    try:
        errors = []
        for process in both:
            errors.append(process.communicate(pickle.dumps(call), timeout=200)[1].decode())
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], errors


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(inputs, tmp_path):
    """In halves of a batch, whole models in float32: FSDP and bf16 are for the trainers."""
    # 100 examples: no batch is left with an odd number of rows
    table(1).write_parquet(inputs["split"] / "train.parquet")
    choices = chosen(LIGHTGCN, negatives=0, batch_size=20, patience=4)
    one, log, _ = fitted(choices, inputs, tmp_path / "one", bf16=True)
    assert log.height == 6
    folder = tmp_path / "two"
    folder.mkdir()
    run_two_processes(choices, inputs, workspace(folder, threads=1, bf16=True))
    two = load_file(folder / fit.WEIGHTS)
    start = fit.build_module({"target": LIGHTGCN, "params": {"dim": 8}}, data(1)).state_dict()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-3)
        assert np.abs(value - start[name].numpy()).max() > 0.1
    ndcg = pl.read_parquet(folder / "log.parquet")["ndcg"]
    np.testing.assert_allclose(ndcg, log["ndcg"], atol=1e-3)


def test_launcher_settings_are_not_for_small_models(inputs, tmp_path, monkeypatch):
    one, _, _ = fitted(chosen(), inputs, tmp_path / "one")
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    # Whoever asks an Accelerator gets what the launcher said.
    monkeypatch.setattr("accelerate.Accelerator.__init__", None)
    other, _, _ = fitted(chosen(), inputs, tmp_path / "other", bf16=True)
    assert same(one, other)


def test_stops_early_and_keeps_the_best(inputs, tmp_path):
    choices = chosen(epochs=60, patience=3, learning_rate=0.3)
    _, log, facts = fitted(choices, inputs, tmp_path / "a")
    assert log.height < 60
    assert facts["best_epoch"] == log.height - 4 == log["ndcg"].arg_max()
    assert facts["notes"] == []
    users, candidates, positive_index = fit.load_validation(inputs["split"])
    scores = fit.scores_by_fitted_model(
        tmp_path / "a", inputs["prepare"], inputs["split"], users, candidates
    )
    assert fit.quality(scores, positive_index)[1] == pytest.approx(log["ndcg"].max())


def test_notes_that_validation_still_rose(inputs, tmp_path):
    _, _, facts = fitted(chosen(epochs=1), inputs, tmp_path / "a")
    assert facts["notes"] == ["validation still rose at baseline.fit.epochs=1; raise it"]


def test_constant_scores_get_the_middle_rank():
    hit_ratio, ndcg = fit.quality(np.zeros((5, 20)), np.arange(5))
    assert hit_ratio == 0
    assert ndcg == pytest.approx(1 / np.log2(11.5))
    assert fit.quality(np.eye(4), np.arange(4)) == (1.0, 1.0)


def test_likes_only(inputs, tmp_path):
    fitted(chosen(likes_only=True), inputs, tmp_path / "a")
    built = json.loads((tmp_path / "a" / fit.BUILT).read_text())
    assert built == {"target": SASREC, "params": PARAMS[SASREC], "above": 3.0}
    likes = fit.load_ratings(inputs["prepare"], inputs["split"], 3.0)
    assert len(likes.item) == (table()["rating"] > 3).sum()
    assert len(likes.item) < len(data().item)


def test_nothing_to_learn_is_an_error(inputs, tmp_path):
    single = table().group_by("user").head(1)
    single.write_parquet(inputs["split"] / "train.parquet")
    with pytest.raises(R2RecError, match="no user has two train ratings"):
        fitted(chosen(), inputs, tmp_path / "a")
    single.clear().write_parquet(inputs["split"] / "train.parquet")
    for target in (SASREC, LIGHTGCN):
        with pytest.raises(R2RecError, match="no train rating is left"):
            fitted(chosen(target), inputs, tmp_path / "b")
