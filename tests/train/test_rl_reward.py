"""Rewards as the trainer calls them: conversations in, columns by name, one number each out."""

import numpy as np
import pytest

from r2rec.config import Reward, RewardPart
from r2rec.llm import turns
from r2rec.pretrain.levels import WEIGHED
from r2rec.pretrain.weighed import random_case
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.thoughts import weighing
from r2rec.train import rewards
from r2rec.train.rl import Prompts, reading, reward_function, reward_functions, weighted_rewards
from tests.llm.test_turns import tokenizer
from tests.small import typed

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


def part(name: str, weight: float = 1.0, **params: int) -> RewardPart:
    return RewardPart(f"r2rec.train.rewards.{name}", weight, params)


@pytest.mark.parametrize("shape", ["linear_reward", "reciprocal_reward", "ndcg_reward"])
def test_part_gets_the_texts_and_its_columns(shape: str) -> None:
    wrapped = reward_function("ranking", part(shape), reasoned=True)
    got = wrapped(completions=messages(TEXTS), **COLUMNS, **EXTRA)
    assert got == getattr(rewards, shape)(TEXTS, **COLUMNS)
    assert got[0] == 1 > got[1] > got[2] == 0


def test_part_gets_its_params_and_no_other_column() -> None:
    wrapped = reward_function("step", part("step_reward", low=6, high=8), reasoned=True)
    assert wrapped(completions=messages(TEXTS), **COLUMNS, **EXTRA) == [0.5, 0.5, 0]


def test_answers_are_read_as_the_prompt_asked() -> None:
    bare = messages(["Ranking: B > A > C"] * 3)
    assert reward_function("ranking", part("linear_reward"), reasoned=False)(
        completions=bare, **COLUMNS
    ) == [1, 1, 1]
    assert reward_function("ranking", part("linear_reward"), reasoned=True)(
        completions=bare, **COLUMNS
    ) == [0, 0, 0]


@pytest.mark.parametrize("template", ["gptoss", "magistral", "qwen3", "deepseek_r1_distill"])
def test_rollouts_are_read_as_ranking_reads_them(template: str) -> None:
    """TRL drops special tokens, and with them some models' marks of thoughts: it reads tokens."""
    made = tokenizer(template)
    ends = turns.end_tokens(made)
    ids = turns.learnt(made, "Rank them.", THOUGHT, render_ranking("BAC")).reply
    plain = made.batch_decode([ids], skip_special_tokens=True)
    given = {"positive": ["B"], "n_candidates": [3], "completion_ids": [ids]}
    given |= {"completions": messages(plain)}
    reward = reward_function("ranking", part("linear_reward"), reasoned=True)
    read = reading(reward, made, ends)
    assert read(**given) == [1]
    assert read.__name__ == "ranking"


def test_last_message_is_the_completion() -> None:
    talk = [
        [{"role": "assistant", "content": "Ranking: C"}, {"role": "assistant", "content": RIGHT}]
    ]
    assert reward_function("ranking", part("linear_reward"), True)(
        talk, positive=["B"], n_candidates=[3]
    ) == [1]


@pytest.mark.parametrize("group", ["paper", "ndcg", "reciprocal", "complete"])
def test_configured_parts_are_called_by_their_names(group: str) -> None:
    functions = reward_functions(typed(f"reward={group}").reward, reasoned=True)
    assert [function.__name__ for function in functions] == [
        "step",
        "ranking",
        *["complete"] * (group == "complete"),
    ]
    for function in functions:
        assert function(messages(TEXTS), **COLUMNS, **EXTRA)[0] == 1


def test_weighted_rewards_are_those_of_each_answer() -> None:
    """Also where parts name other columns, and prompts have other positives."""
    reward = Reward(
        "both",
        {"step": part("step_reward", 0.5, low=6, high=8), "rank": part("linear_reward", 2.0)},
    )
    rows = [
        {"prompt": [{"role": "user", "content": "?"}], "positive": label, "n_candidates": 3}
        for label in "BA"
    ]
    texts = [[RIGHT, BROKEN], [RIGHT, SECOND]]
    got = weighted_rewards(texts, Prompts(rows, [], []), reward, reasoned=True)
    np.testing.assert_allclose(got, [[0.25 + 2, 0], [0.25 + 1, 0.25 + 2]])


def test_what_is_read_wrong_is_not_paid_for() -> None:
    """The teacher's thought is true; a misspelt title, another number or silence cost."""
    case = random_case(np.random.default_rng(5), WEIGHED)
    steps, answer = weighing.reason(case, "")
    right = render_completion(numbered(steps), answer)
    cost = pytest.approx(1 - 1 / len(steps))
    one_wrong = [steps[0].replace(" others rated it", "0 others rated it"), *steps[1:]]
    title = case.candidates[case.strongest()[1]].title
    misspelt = [step.replace(f'"{title}"', f'"{title[1:]}"') for step in steps]
    texts = [
        right,
        render_completion(numbered(one_wrong), answer),
        render_completion(numbered(misspelt), answer),
        render_completion("Step 1: I like it.", answer),
        render_completion(numbered(steps), answer).partition("</think>")[0],
    ]
    wrapped = reward_function("truth", part("truth_reward"), True, [case])
    got = wrapped(messages(texts), case=[0] * len(texts), n_candidates=[20] * len(texts))
    assert got == [1, cost, cost, 0, 0]


def numbered(steps: list[str]) -> str:
    return "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, start=1))
