"""The probe: before, during and after, on validation positives alone, without changing training."""

from types import SimpleNamespace

import polars as pl
import pytest
from safetensors.torch import load_file

from r2rec.config.slices import RlSlice
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS
from r2rec.train.probe import ValidationProbe, probes, validation_questions
from tests.small import choices, go


def log(done, stage):
    return pl.read_parquet(done.folders()[stage] / "log.parquet")


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_probe_asks_before_and_after(smoke, stage):
    table = log(smoke, stage)
    rows = table.drop_nulls("probe/hr@1")
    assert rows["step"].to_list() == [0, table["step"].max()]
    assert rows.select(pl.col("probe/hr@1", "probe/valid").is_between(0, 1).all()).row(0) == (
        True,
        True,
    )


def test_probe_asks_about_validation_positives(smoke):
    asked, folders = choices(RlSlice), smoke.folders()
    prompts, replies, labels = validation_questions(asked, folders)
    assert (len(prompts), prompts) == (asked.probe.users, validation_questions(asked, folders)[0])
    assert all(parse_ranking(reply, asked.negatives + 1, reasoned=True).valid for reply in replies)
    positives = pl.read_parquet(folders["split"] / "validation_candidates.parquet")["positive"]
    titles = pl.read_parquet(folders["prepare"] / "items.parquet")["title"]
    expected = {titles[item] for item in positives}
    for prompt, label in zip(prompts, labels, strict=True):
        (line,) = (text for text in prompt.split("\n") if text.startswith(f"- {label}: "))
        assert label in LABELS
        assert line.split('"')[1] in expected


def test_no_probe_without_users(smoke):
    assert probes(choices(RlSlice, "probe.users=0"), smoke.folders(), None, "rl") == []


@pytest.mark.parametrize(
    ("begin", "pending", "first_step", "expected"),
    [
        (0, None, 0, [0, 4, 8, 10]),
        (0, None, 20, [4, 8, 10]),  # a later round: the one before it asked at its end
        (4, None, 0, [8, 10]),  # resumed, and the log has step 4
        (8, None, 0, [8, 10]),  # resumed after a stop at step 8, which was not asked any more
        (7, None, 0, [8, 10]),
        (0, 15, 0, [0]),  # a signal waits: no time for questions
    ],
)
def test_probe_asks_at_its_steps(monkeypatch, begin, pending, first_step, expected):
    probe = ValidationProbe(SimpleNamespace(every=4), "rft", None, [], [], [], 5, True, first_step)
    state = SimpleNamespace(
        global_step=begin, max_steps=10, log_history=[], is_world_process_zero=True
    )
    if begin:
        state.log_history.append({"step": 4, "probe/hr@1": 0.5, "probe/valid": 1.0})
    asked = []
    monkeypatch.setattr("r2rec.train.probe.signals.pending", lambda: pending)
    monkeypatch.setattr(
        "r2rec.train.probe.hf.generate", lambda *_, **__: asked.append(state.global_step) or []
    )
    monkeypatch.setattr("r2rec.train.probe.np.mean", lambda values: 0.0)
    model = SimpleNamespace(train=lambda: None)
    probe.on_train_begin(None, state, None, model)
    for step in range(begin + 1, 11):
        state.global_step = step
        probe.on_step_end(None, state, None, model)
    assert asked == expected


@pytest.mark.slow
def test_probed_run_learns_the_same(smoke):
    plain = go(smoke.folder.parent / "store", "probe.users=0", "until=rl")
    for stage in ("sft", "rl"):
        assert "probe/hr@1" not in log(plain, stage).columns
        one, other = (
            load_file(d.folders()[stage] / "adapter_model.safetensors") for d in (plain, smoke)
        )
        assert all((one[name] == other[name]).all() for name in one)
