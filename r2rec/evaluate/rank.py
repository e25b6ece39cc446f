"""Stages `rank`, `score`, `count`, `choose`, `ask`: an arm ranks every user's stored candidates.

Every arm writes the same file, rankings.parquet (`rankings`), whatever it is: a language model with
or without an adapter, a scorer, a counter of evidence chains, a language model tuned for a
baseline, or one behind an endpoint.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.config.slices import AskSlice, ChooseSlice, CountSlice, RankSlice, ScoreSlice
from r2rec.data.candidates import Candidates
from r2rec.data.split import evaluated
from r2rec.data.told import told_table
from r2rec.evaluate.answers import answered, engine_of, evaluation_cases, read_answers
from r2rec.evaluate.rankings import RANKINGS, rankings_by_score, rankings_table
from r2rec.evaluate.scores import score_candidates
from r2rec.llm import endpoint
from r2rec.llm.runtime import gpu_memory
from r2rec.tuned import adapt, regress
from r2rec.tuned.counter import order
from r2rec.tuned.question import case_questions

DECIMALS = 9  # scores that differ by less are equal: the order of a sum must not matter


def rank_by_model(
    choices: RankSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """Write the rankings of a language model, with `inputs["adapter"]` on top where given."""
    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    cases = evaluation_cases(choices, inputs, candidates)
    engine = engine_of(choices, inputs, work)
    rankings, facts = answered(choices, cases, candidates, engine, "rank")
    rankings.write_parquet(work.folder / RANKINGS)
    unasked = facts.pop("unasked")
    return {
        "users": rankings.height,
        "valid": int(rankings["valid"].sum()),
        **facts,
        "notes": _notes(choices, unasked),
        **gpu_memory(),
    }


def _notes(choices: RankSlice, unasked: int) -> list[str]:
    if not unasked:
        return []
    room = choices.model.max_length
    if choices.generation.by == "text":
        room -= choices.generation.max_new_tokens
    return [f"{unasked} prompts longer than {room} tokens were not asked and count as misses"]


def rank_by_scorer(
    choices: ScoreSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """Write the rankings of a scorer, or of a fitted baseline in `inputs["adapter"]`."""
    arm = choices.arm
    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    rng = seeds.generator(choices.seed, f"rank.{arm.method}")
    fitted = inputs.get("adapter")
    scores = score_candidates(
        arm.target,
        arm.params,
        fitted,
        inputs,
        told_table(inputs),
        candidates,
        rng,
        choices.temporal,
    )
    rankings = rankings_by_score(arm.method, candidates, scores, rng)
    rankings.write_parquet(work.folder / RANKINGS)
    return {"users": rankings.height}


def rank_by_count(
    choices: CountSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """Write the rankings of a counter of evidence chains, with weights from `inputs["adapter"]`.

    Candidates of equal score stand in the order of the evidence.
    """
    arm = choices.arm
    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    cases = evaluation_cases(choices, inputs, candidates)
    numbers = regress.numbers_of(str(arm.target), arm.params, cases, choices.prompt)
    scores = regress.scores(numbers, inputs.get("adapter"))
    place = -order(cases, choices.prompt)["order"]
    best_first = np.lexsort((place, -scores.round(DECIMALS)), axis=1)
    items = np.take_along_axis(Candidates.of(candidates).items, best_first, axis=1)
    n_users = len(cases)
    rankings = rankings_table(
        arm.method, candidates, items.tolist(), [True] * n_users, [None] * n_users
    )
    rankings.write_parquet(work.folder / RANKINGS)
    return {"users": n_users}


def rank_by_choice(
    choices: ChooseSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """Write the rankings of a language model tuned for a baseline, by the log-odds it gives.

    Where there are chains, it is asked about the cases that R2Rec ranks.
    """
    method = choices.arm.method
    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    if "chain" in inputs:
        cases = evaluation_cases(choices, inputs, candidates)
        questions = case_questions(choices, str(choices.arm.target), choices.arm.params, cases)
    else:
        table = Candidates.of(candidates)
        questions = adapt.questions_about_users(choices, inputs, table.users, table.items)
    shape = Candidates.of(candidates).items.shape
    scores = adapt.scores_by_language_model(choices, inputs, work.hardware, questions, shape)
    rng = seeds.generator(choices.seed, f"rank.{method}")
    rankings = rankings_by_score(method, candidates, scores, rng)
    rankings.write_parquet(work.folder / RANKINGS)
    return {"users": rankings.height}


def rank_by_endpoint(
    choices: AskSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """Write the rankings of a language model behind an endpoint.

    Its answers are kept in `work.responses`, so that none is paid for twice.
    """
    arm = choices.arm
    candidates = evaluated(inputs["split"], choices.data_seed, choices.users)
    build_messages = get_method(str(arm.target))
    prompts = []
    for case in evaluation_cases(choices, inputs, candidates):
        messages = build_messages(case, choices.prompt, choices.words, **arm.params)
        prompts.append(messages)
    answers = endpoint.answers(prompts, choices.endpoint, work.responses)
    texts = []
    new_tokens = 0
    cost = 0.0
    for answer in answers:
        texts.append(answer.text)
        new_tokens += answer.completion_tokens
        cost += answer.cost
    rankings = read_answers(arm.method, candidates, texts, reasoned=False)
    rankings.write_parquet(work.folder / RANKINGS)
    return {
        "users": len(answers),
        "valid": int(rankings["valid"].sum()),
        "new_tokens": new_tokens,
        "dollars": round(cost, 4),
    }
