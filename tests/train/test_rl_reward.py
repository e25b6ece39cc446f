"""Rewards as the trainer calls them: conversations in, columns by name, one number each out."""

import pytest
from omegaconf import OmegaConf

from r2rec.config import RewardPart
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.train import rewards
from r2rec.train.rl import reward_function
from tests.small import composed

THOUGHT = "Step 1: a.\nStep 2: b.\nStep 3: c."
RIGHT, SECOND = (render_completion(THOUGHT, render_ranking(labels)) for labels in ("BAC", "ABC"))
BROKEN = "Step 1: a.\nStep 2: b."
TEXTS = [RIGHT, SECOND, BROKEN]
COLUMNS = {"positive": ["B"] * 3, "n_candidates": [3] * 3}
EXTRA = {  # what the trainer passes besides the columns
    "prompts": [[{"role": "user", "content": "Ranking: C"}]] * 3,
    "completion_ids": [[1, 2]] * 3,
    "trainer_state": object(),
    "log_metric": print,
}


def messages(texts: list[str]) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": text}] for text in texts]


def part(name: str, **params: int):  # type: ignore[no-untyped-def]
    return OmegaConf.structured(RewardPart(_target_=f"r2rec.train.rewards.{name}", params=params))


@pytest.mark.parametrize("shape", ["linear", "reciprocal", "ndcg"])
def test_a_shape_gets_the_texts_and_its_columns(shape: str) -> None:
    wrapped = reward_function("ranking", part(shape), reasoned=True)
    got = wrapped(completions=messages(TEXTS), **COLUMNS, **EXTRA)
    assert got == getattr(rewards, shape)(TEXTS, **COLUMNS)
    assert got[0] == 1 > got[1] > got[2] == 0


def test_a_part_gets_its_params_and_no_column_it_does_not_name() -> None:
    wrapped = reward_function("step", part("step", low=6, high=8), reasoned=True)
    assert wrapped(completions=messages(TEXTS), **COLUMNS, **EXTRA) == [0.5, 0.5, 0]


def test_what_the_prompt_asks_for_decides_how_answers_are_read() -> None:
    bare = messages(["Ranking: B > A > C"] * 3)
    assert reward_function("ranking", part("linear"), reasoned=False)(
        completions=bare, **COLUMNS
    ) == [1, 1, 1]
    assert reward_function("ranking", part("linear"), reasoned=True)(
        completions=bare, **COLUMNS
    ) == [0, 0, 0]


def test_the_last_message_is_the_completion() -> None:
    talk = [
        [{"role": "assistant", "content": "Ranking: C"}, {"role": "assistant", "content": RIGHT}]
    ]
    assert reward_function("ranking", part("linear"), True)(
        talk, positive=["B"], n_candidates=[3]
    ) == [1]


@pytest.mark.parametrize("group", ["paper", "ndcg", "reciprocal", "complete"])
def test_every_configured_part_is_callable_under_its_name(group: str) -> None:
    cfg = composed(f"reward={group}")
    functions = [
        reward_function(name, part, reasoned=True) for name, part in cfg.reward.parts.items()
    ]
    assert [function.__name__ for function in functions] == [
        "step",
        "ranking",
        *["complete"] * (group == "complete"),
    ]
    for function in functions:
        assert function(messages(TEXTS), **COLUMNS, **EXTRA)[0] == 1
