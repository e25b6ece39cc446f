"""GRPO: it starts from its reference, or says that it does not."""

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
def test_another_reference_is_told_and_the_training_goes_on(store, monkeypatch, capsys):
    monkeypatch.setattr("r2rec.train.rl.MAX_KL_AT_START", -1.0)
    done = go(store, "rl.learning_rate=2e-3", "probe.users=0", "until=rl")
    note = "the KL of the first step is 0.0000: the reference is not the policy"
    assert note in capsys.readouterr().out.replace("-0.0000", "0.0000")
    assert done.stages["rl"]["notes"][0].replace("-0.0000", "0.0000").startswith(note)
    assert done.stages["rl"]["steps"] == 2


@pytest.mark.parametrize(
    ("step", "logs", "told"),
    [
        (1, {"kl": 1e-4}, False),
        (1, {"kl": -2e-3}, True),
        (1, {"kl": float("nan")}, True),
        (1, {"loss": 0.5}, False),  # beta = 0: no reference
        (2, {"kl": 0.5}, False),
    ],
)
def test_reference_check(step, logs, told, capsys):
    state = SimpleNamespace(global_step=step)
    ReferenceCheck().on_log(None, state, None, logs)
    assert ("note: the KL of the first step" in capsys.readouterr().out) == told


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
            "kl": [None, 0.0, *[0.125] * 9],
        }
    )
    expected = {
        "reward_first": 0.5,
        "reward_last": 8.5,
        "frac_reward_zero_std": silent,
        "kl": 0.1125,
    }
    assert summary(log) == expected
    assert len(warnings(log)) == notes
    assert all(note.startswith("75% of groups had equal rewards") for note in warnings(log))
