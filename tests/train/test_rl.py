"""GRPO: it starts from its reference, or ends before it has cost anything."""

from types import SimpleNamespace

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.config.slices import RlSlice
from r2rec.llm import load
from r2rec.prompts.render import render_prompt
from r2rec.train.rl import ReferenceCheck, rl_prompts, summary, warnings
from tests.small import choices, go


@pytest.mark.slow
def test_adapter_dropout_is_not_taken_for_another_reference(store):
    done = go(store, "model.lora.dropout=0.5", "probe.users=0", "until=rl")
    assert done.made() == {"sft", "rl"}
    assert abs(done.table("rl", "log")["kl"].drop_nulls()[0]) < 1e-6


@pytest.mark.slow
def test_another_reference_ends_the_training_at_its_first_step(store, monkeypatch):
    monkeypatch.setattr("r2rec.train.rl.MAX_KL_AT_START", -1.0)
    steps = []
    monkeypatch.setattr(
        "r2rec.train.listeners.tracking.log_step", lambda *values: steps.append(values[:2])
    )
    with pytest.raises(
        R2RecError,
        match=r"^rl: the KL of the first step is -?0\.0000: the reference is not.* rl\.beta=0",
    ):
        go(store, "rl.learning_rate=2e-3", "probe.users=0", "until=rl")
    assert [step for stage, step in steps if stage == "rl"] == [1]


@pytest.mark.parametrize(
    ("step", "logs", "ends"),
    [
        (1, {"kl": 1e-4}, False),
        (1, {"kl": -2e-3}, True),
        (1, {"kl": float("nan")}, True),
        (1, {"loss": 0.5}, False),  # beta = 0: no reference
        (2, {"kl": 0.5}, False),
    ],
)
def test_reference_check(step, logs, ends):
    state = SimpleNamespace(global_step=step)
    if ends:
        with pytest.raises(R2RecError, match="the reference is not the policy"):
            ReferenceCheck().on_log(None, state, None, logs)
    else:
        ReferenceCheck().on_log(None, state, None, logs)


def test_prompts_have_the_columns_that_rewards_read(smoke):
    given = choices(RlSlice)
    tokenizer = load.tokenizer(given.model, smoke.folders()["backbone"])
    prompts = rl_prompts(given, smoke.folders(), tokenizer)
    assert prompts.notes == []
    assert len(prompts.rows) == given.rl.samples
    for row in prompts.rows:
        assert row["n_candidates"] == given.negatives + 1
        text = row["prompt"][-1]["content"]
        assert f"- {row['positive']}: " in text
        assert text == render_prompt(prompts.cases[row["case"]], given.prompt, given.words)


def test_prompts_that_do_not_fit_are_refused(smoke):
    given = choices(RlSlice, "model.max_length=60")
    tokenizer = load.tokenizer(given.model, smoke.folders()["backbone"])
    with pytest.raises(R2RecError, match=r"only 0 RL prompts fit, rl\.prompts_per_step=1; raise"):
        rl_prompts(given, smoke.folders(), tokenizer)


@pytest.mark.parametrize(("silent", "notes"), [(0.5, 0), (0.75, 1)])
def test_summary_and_note_on_silent_groups(silent, notes):
    log = pl.DataFrame(
        {
            "reward": [None, *range(10)],
            "frac_reward_zero_std": [None, *[silent] * 10],
            "kl": [None, *[0.125] * 10],
        }
    )
    expected = {
        "reward_first": 0.5,
        "reward_last": 8.5,
        "frac_reward_zero_std": silent,
        "kl": 0.125,
    }
    assert summary(log) == expected
    assert len(warnings(log)) == notes
    assert all(note.startswith("75% of groups had equal rewards") for note in warnings(log))
