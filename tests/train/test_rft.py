"""Rejection-sampling fine-tuning: what is kept, what is learned from it, and how it resumes."""

import os
import shutil
import signal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.torch import load_file

from r2rec.base import signals
from r2rec.base.errors import R2RecError
from r2rec.config import Reward, RewardPart
from r2rec.config.slices import RlSlice
from r2rec.llm import load
from r2rec.train import card
from r2rec.train import rft as stage
from r2rec.train.rft import best_above_mean, rft
from r2rec.train.rft_params import rft_params
from tests.small import choices, go, workspace

WORDS = (
    "rl=rft",
    "rl.samples=4",
    "rl.group_size=4",
    "rl.prompts_per_step=2",
    "rl.micro_batch_size=8",
    "rl.max_new_tokens=24",
    "rl.learning_rate=3e-2",
    "rl.epochs=2",
    "probe.users=0",
)


def vowels(completions, *, positive, n_candidates):
    """A reward that differs between nearly all answers: the share of vowels in a text."""
    assert len(positive) == len(n_candidates) == len(completions)
    return [sum(letter in "aeiou" for letter in text) / (1 + len(text)) for text in completions]


def nothing(completions):
    return [0.5] * len(completions)


def rft_choices(*words, reward="vowels"):
    part = RewardPart(f"tests.train.test_rft.{reward}", 2.0)
    return choices(RlSlice, *WORDS, *words, reward=Reward(reward, {reward: part}))


@pytest.fixture(scope="module")
def inputs(smoke):
    folders = smoke.folders()
    return {name: folders[name] for name in ("prepare", "split", "backbone", "sft")}


@pytest.fixture(scope="module")
def done(inputs, tmp_path_factory):
    """Two rounds, and their facts."""
    folder = tmp_path_factory.mktemp("rft")
    return folder, rft(rft_choices(), inputs, workspace(folder))


def adapter(folder):
    return load_file(folder / "adapter_model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all((one[k] == other[k]).all() for k in one)


# What is kept


@pytest.mark.parametrize(
    ("rewards", "keep", "kept"),
    [
        ([1, 3, 2, 0], 1, [1]),
        ([1, 3, 2, 0], 2, [1, 2]),
        ([1, 3, 2, 0], 4, [1, 2]),  # the mean is 1.5
        ([0, 1, 1, 0], 1, [1]),  # of equal ones the first
        ([0.1] * 3, 3, []),  # whose mean is not quite 0.1 in floating point
        ([5], 1, []),
    ],
)
def test_best_above_the_mean_are_kept(rewards, keep, kept):
    mask = best_above_mean(np.array([rewards], float), keep)
    assert np.flatnonzero(mask[0]).tolist() == kept


@given(
    hnp.arrays(
        np.int64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 4)
    ),
    st.integers(1, 4),
)
def test_kept_are_the_best_that_beat_the_mean(counts, keep):
    rewards = counts / 3
    for row, kept in zip(rewards, best_above_mean(rewards, keep), strict=True):
        above = [r for r in row if r * len(row) > row.sum() + 1e-9]
        best = sorted(above, reverse=True)[:keep]
        assert sorted(row[kept], reverse=True) == best


def test_answers_and_log_agree(done):
    folder, facts = done
    answers = pl.read_parquet(folder / "answers.parquet")
    log = pl.read_parquet(folder / "log.parquet")
    assert answers.group_by("round", "prompt").len()["len"].to_list() == [4] * 8
    assert answers["reward"].to_list() == pytest.approx(
        [
            2 * r
            for r in vowels(
                answers["completion"], positive=answers["kept"], n_candidates=answers["kept"]
            )
        ]
    )
    for (_, _), group in answers.group_by("round", "prompt"):
        assert group["kept"].to_list() == (group["reward"] == group["reward"].max()).to_list()
    rounds = log.drop_nulls("reward")
    assert rounds["round"].to_list() == [1, 2]
    assert rounds["step"].to_list() == [0, 4]  # 4 answers, 2 a step, 2 epochs
    assert rounds["kept"].to_list() == [0.25, 0.25]
    by_round = answers.group_by("round", maintain_order=True)
    assert rounds["reward"].to_list() == pytest.approx(
        by_round.agg("reward")["reward"].list.mean().to_list()
    )
    kept = answers.filter("kept").group_by("round", maintain_order=True).agg(pl.mean("reward"))
    assert rounds["reward_kept"].to_list() == pytest.approx(kept["reward"].to_list())
    steps = log.drop_nulls("loss")
    assert steps["step"].to_list() == list(range(1, 9))
    assert steps["round"].to_list() == [1] * 4 + [2] * 4
    assert facts == {
        "prompts": 4,
        "rounds": 2,
        "steps": 8,
        "kept": 8,
        "reward_first": round(rounds["reward"][0], 5),
        "reward_last": round(rounds["reward"][1], 5),
        "notes": [],
    }


def test_it_learns_what_is_rewarded(done, inputs):
    folder, facts = done
    assert facts["reward_last"] > facts["reward_first"]
    assert not same(adapter(folder), adapter(inputs["sft"]))


def test_loss_is_on_the_answer_that_was_drawn(inputs, tmp_path):
    """Behind the very prompt it was drawn from; an answer that was cut off has no end."""
    given = rft_choices()
    rounds = stage._Rounds(given, inputs, workspace(tmp_path), rft_params(given.rl.params))
    short, long = "Ranking: B > A", "Ranking: " + " > ".join("ABCDEFGHIJKLMNOP")
    texts = [[short, long, "", ""]] * 4
    kept = np.array([[True, True, False, False]] * 4)
    examples = rounds._examples(stage._Answers(texts, np.zeros((4, 4)), kept))
    assert len(examples) == 8
    for n, example in enumerate(examples):
        prompt = rounds.encoded[n // 2]
        learned = [label for label in example["labels"] if label != -100]
        assert example["input_ids"] == prompt + learned
        assert example["labels"] == [-100] * len(prompt) + learned
        text = rounds.tokenizer.decode(learned)
        assert text == (short + rounds.tokenizer.eos_token if n % 2 == 0 else long)


# How a killed run goes on


def test_same_choices_give_the_same_bytes(done, inputs, tmp_path):
    rft(rft_choices(), inputs, workspace(tmp_path))
    assert same(adapter(tmp_path), adapter(done[0]))
    assert (tmp_path / "answers.parquet").read_bytes() == (done[0] / "answers.parquet").read_bytes()


def test_killed_run_goes_on_from_its_last_whole_round(done, inputs, tmp_path, monkeypatch):
    draw = stage._Rounds._draw
    drawn = []

    def watched(self, number, policy):
        drawn.append(number)
        if number == 2 and len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(self, number, policy)

    monkeypatch.setattr(stage._Rounds, "_draw", watched)
    with pytest.raises(KeyboardInterrupt):
        rft(rft_choices(), inputs, workspace(tmp_path))
    facts = rft(rft_choices(), inputs, workspace(tmp_path))
    assert drawn == [1, 2, 2]
    assert facts == done[1]
    assert same(adapter(tmp_path), adapter(done[0]))
    logs = [pl.read_parquet(folder / "log.parquet") for folder in (tmp_path, done[0])]
    assert logs[0].select("step", "reward", "loss").equals(logs[1].select("step", "reward", "loss"))


def test_signal_within_a_round_keeps_its_answers_and_steps(done, inputs, tmp_path, monkeypatch):
    old = {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNALS}
    signals.install()
    draw, log_step = stage._Rounds._draw, stage.tracking.log_step
    drawn, steps = [], []

    def watched(self, number, policy):
        drawn.append(number)
        return draw(self, number, policy)

    def stopping(name, number, values):
        if "loss" in values:
            steps.append(number)
            if number == 6 and steps.count(6) == 1:
                os.kill(os.getpid(), signal.SIGTERM)
        log_step(name, number, values)

    monkeypatch.setattr(stage._Rounds, "_draw", watched)
    monkeypatch.setattr("r2rec.base.tracking.log_step", stopping)
    try:
        with pytest.raises(signals.Interrupted) as caught:
            rft(rft_choices(), inputs, workspace(tmp_path))
        assert caught.value.status == 143
        assert steps == [1, 2, 3, 4, 5, 6, 7]  # the step that was at work when the signal came
        rft(rft_choices(), inputs, workspace(tmp_path))
    finally:
        for name, handler in old.items():
            signal.signal(getattr(signal, name), handler)
    assert (drawn, steps) == ([1, 2], [1, 2, 3, 4, 5, 6, 7, 8])
    assert same(adapter(tmp_path), adapter(done[0]))


@pytest.mark.parametrize("file", ["round.pt", "answers.pt", "adapter/adapter_model.safetensors"])
def test_altered_round_is_done_again(done, inputs, tmp_path, file):
    shutil.copytree(done[0], tmp_path / "x")
    altered = tmp_path / "x" / "checkpoints" / "round-2" / file
    altered.write_bytes(altered.read_bytes()[:-1] + b"?")
    assert rft(rft_choices(), inputs, workspace(tmp_path / "x")) == done[1]
    assert same(adapter(tmp_path / "x"), adapter(done[0]))


# Where it starts, and where there is nothing to learn


def test_equal_rewards_leave_the_policy_as_it_is(inputs, tmp_path):
    facts = rft(rft_choices(reward="nothing"), inputs, workspace(tmp_path))
    assert (facts["kept"], facts["steps"]) == (0, 0)
    assert [note.partition(":")[0] for note in facts["notes"]] == [
        "round 1 taught nothing",
        "round 2 taught nothing",
    ]
    assert same(adapter(tmp_path), adapter(inputs["sft"]))
    log = pl.read_parquet(tmp_path / "log.parquet")
    assert log.select("step", "reward", "kept").rows() == [(0, 1.0, 0.0)] * 2


def test_without_sft_it_starts_from_a_fresh_adapter(inputs, tmp_path):
    bare = {name: inputs[name] for name in ("prepare", "split", "backbone")}
    given = rft_choices("rl.params.rounds=1")
    facts = rft(given, bare, workspace(tmp_path))
    assert facts["kept"] == 4
    load.weights(given.model, bare["backbone"], tmp_path)  # ranks like any other adapter
    moved = [name for name, value in adapter(tmp_path).items() if "lora_B" in name and value.any()]
    assert moved


# Parameters


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"rounds": 0, "keep": 1}, r"rl\.params\.rounds=0 should be a whole number, 1 or more"),
        ({"rounds": 2, "keep": 0}, r"rl\.params\.keep=0 should be a whole number"),
        ({"rounds": 1.5, "keep": 1}, r"rl\.params\.rounds=1\.5 should"),
        ({"rounds": True, "keep": 1}, r"rl\.params\.rounds=True should"),
        ({"rounds": 2}, r"rl\.params\.keep=None should"),
        (
            {"rounds": 2, "keep": 1, "steps": 3},
            r"unknown rl\.params\.steps; rl=rft has rounds, keep",
        ),
    ],
)
def test_bad_params_are_one_line(params, why):
    with pytest.raises(R2RecError, match=f"^{why}"):
        rft_params(params)


def test_bad_params_end_the_stage_before_it_loads_a_model(inputs, tmp_path):
    with pytest.raises(R2RecError, match=r"rl\.params\.keep=0"):
        rft(rft_choices("rl.params.keep=0"), {}, workspace(tmp_path))


def test_whole_run_with_another_trainer(store):
    """Named on the command line alone: the rest of the run knows nothing of this trainer."""
    words = ("rl=rft", "rl.samples=2", "rl.group_size=2", "rl.max_new_tokens=24")
    done = go(store, *words)
    assert {"rl", "rank R2Rec"} <= done.made()
    assert "sft" not in done.made()
    assert "R2Rec" in done.by_method()
    folder = done.folders()["rl"]
    assert card.about(str(folder)) == {"stage": "rft", "dataset": "toy_small", "seed": "0"}
    assert "| rounds | 2 |" in (folder / card.CARD).read_text()
    assert not (folder / "checkpoints").exists()
    log = pl.read_parquet(folder / "log.parquet")
    assert log.drop_nulls("reward")["round"].to_list() == [1, 2]
    assert go(store, *words).made() == set()
    assert "rl" in go(store, *words, "rl.params.keep=2", "until=rl").made()
