"""Ask a language model to rank candidates, and turn its answers into a rankings table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import ArrayLike

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.chains.chain import load_graph
from r2rec.config import Prompt, Words
from r2rec.config.slices import QuestionSlice, RankSlice
from r2rec.data.candidates import Candidates
from r2rec.data.moments import positive_times
from r2rec.data.told import told_table
from r2rec.evaluate.arrays import Floats
from r2rec.evaluate.interventions import Shuffled
from r2rec.evaluate.metrics import rank_by_score
from r2rec.evaluate.orders import Order, aggregate, reordered
from r2rec.evaluate.rankings import rankings_table
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import Answer
from r2rec.llm.engine import Engine, Question, Setup
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.assemble import RankingQuestions, load_texts, ranking_cases
from r2rec.thoughts.template import expected_replies

Facts = dict[str, Any]
T = TypeVar("T")


def evaluation_cases(
    choices: QuestionSlice, inputs: Mapping[str, Path], candidates: pl.DataFrame
) -> list[RankingCase]:
    """The ranking case of each row of `candidates`, from all ratings that its user is told.

    Args:
        inputs: Artefacts `prepare`, `split` and `chain`; `tell` where there is one. Without
            `chain`, the prompt must show no chains.
        candidates: Columns user, positive and items, as `evaluated` gives them.
    """
    table = Candidates.of(candidates)
    users = table.users.astype(np.int64)
    graph = load_graph(inputs["prepare"], inputs["split"], told_table(inputs))
    told_ratings = np.diff(graph.start)[users]
    chains = pl.DataFrame(schema={"query": pl.Int64})
    if "chain" in inputs:
        queries = candidates.select("user", query=pl.int_range(pl.len()))
        chains = pl.read_parquet(inputs["chain"] / "chains.parquet")
        chains = chains.join(queries, on="user", maintain_order="left")
    time = positive_times(inputs["prepare"], candidates) if choices.temporal else None
    return ranking_cases(
        RankingQuestions(users, told_ratings, table.items, time),
        chains.sort("query", maintain_order=True),
        graph,
        load_texts(inputs["prepare"]),
        choices.prompt,
        positive_above=choices.positive_above,
    )


def engine_of(choices: RankSlice, inputs: Mapping[str, Path], work: Workspace) -> Engine:
    """Load the engine of an arm: the backbone, with `inputs["adapter"]` on top where given."""
    setup = Setup(
        generation=choices.generation,
        model=choices.model,
        hardware=work.hardware,
        reasoning=choices.prompt.reasoning,
        made=inputs.get("backbone"),
        adapter=inputs.get("adapter"),
        responses=work.responses,
    )
    engine: Engine = get_method(choices.generation._target_)(setup)
    return engine


def ranking_questions(cases: Sequence[RankingCase], prompt: Prompt, words: Words) -> list[Question]:
    """What an engine is asked for each case."""
    questions = []
    for case, reply in zip(cases, expected_replies(cases, prompt), strict=True):
        messages = user_turn(render_prompt(case, prompt, words))
        questions.append(Question(messages, len(case.candidates), reply))
    return questions


def answered(
    choices: RankSlice,
    cases: Sequence[RankingCase],
    candidates: pl.DataFrame,
    engine: Engine,
    purpose: str,
) -> tuple[pl.DataFrame, Facts]:
    """Ask `engine` about each case, in `generation.orders` orders of its candidates.

    Args:
        cases: One per row of `candidates`.
        purpose: Names the random draws, so that each caller has its own.

    Returns:
        The rankings table, and facts: `unasked` (prompts too long to be asked) and, where text was
        written, `new_tokens` and `dollars`. A row is valid if the answer to at least
        one order could be parsed; `completion` is the answer to the stored order.
    """
    rng = seeds.generator(choices.seed, f"{purpose}.orders")
    rounds = reordered(cases, choices.generation.orders, rng)
    questions = []
    for shuffled in rounds:
        questions += ranking_questions(shuffled.cases, choices.prompt, choices.words)

    if choices.generation.by == "labels":
        log_probabilities = _by_round(engine.weigh(questions), rounds)
        sums = sum_log_probabilities(log_probabilities, rounds)
        return read_weights(choices, candidates, sums)

    seed = seeds.integer(choices.seed, f"{purpose}.generation")
    answers = engine.write(questions, seed)
    texts = [answer.text if answer else None for answer in answers]
    table = read_rounds(
        choices.arm.method,
        candidates,
        _by_round(texts, rounds),
        rounds,
        choices.prompt.reasoning,
    )
    return table, generation_cost(answers)


def _by_round(rows: Sequence[T], rounds: Sequence[Shuffled]) -> list[Sequence[T]]:
    """Split rows that follow each other round by round: [rounds * users] to [rounds][users]."""
    n_users = len(rounds[0].cases)
    by_round = []
    for number in range(len(rounds)):
        start = number * n_users
        by_round.append(rows[start : start + n_users])
    return by_round


def generation_cost(answers: Sequence[Answer | None]) -> Facts:
    """Facts about generated answers; None stands for a prompt that was too long to be asked."""
    unasked = 0
    new_tokens = 0
    cost = 0.0
    for answer in answers:
        if answer is None:
            unasked += 1
        else:
            new_tokens += answer.completion_tokens
            cost += answer.cost
    facts: Facts = {"unasked": unasked, "new_tokens": new_tokens}
    dollars = round(cost, 4)
    if dollars:
        facts["dollars"] = dollars
    return facts


def sum_log_probabilities(
    by_round: Sequence[Sequence[Sequence[float] | None]], rounds: Sequence[Shuffled]
) -> list[Floats | None]:
    """Sum each candidate's log-probability over the orders in which it was shown.

    Args:
        by_round: [rounds][users] log-probabilities [k] in the order shown; None: not asked.

    Returns:
        [users] sums [k] in the stored order; None where any of the orders was not asked.
    """
    sums: list[Floats | None] = []
    for order in rounds[0].orders:
        sums.append(np.zeros(len(order)))
    for rows, shuffled in zip(by_round, rounds, strict=True):
        for user, order in enumerate(shuffled.orders):
            row = rows[user]
            total = sums[user]
            if row is None or total is None:
                sums[user] = None
            else:
                total[order] += row
    return sums


def read_weights(
    choices: QuestionSlice, candidates: pl.DataFrame, weights: Sequence[ArrayLike | None]
) -> tuple[pl.DataFrame, Facts]:
    """The rankings table of the labels' log-probabilities, and the fact `unasked`.

    Args:
        weights: [n] log-probabilities [k] of each user's labels. None: the user was not asked,
            and the answer is invalid. Ties are broken at random.
    """
    method = choices.arm.method
    items = Candidates.of(candidates).items
    asked = [row is not None for row in weights]
    scores = np.zeros(items.shape)
    for user, row in enumerate(weights):
        if row is not None:
            scores[user] = row
    rng = seeds.generator(choices.seed, f"rank.{method}")
    rankings = rank_by_score(scores, items, rng).tolist()
    for user, was_asked in enumerate(asked):
        if not was_asked:
            rankings[user] = []
    no_text = [None] * len(asked)
    table = rankings_table(method, candidates, rankings, asked, no_text)
    return table, {"unasked": asked.count(False)}


def read_answers(
    method: str, candidates: pl.DataFrame, completions: Sequence[str | None], reasoned: bool
) -> pl.DataFrame:
    """The rankings table of completions; one that does not parse is invalid and ranks nothing.

    Args:
        completions: [n] what the model wrote for each user; None: it was not asked.
        reasoned: Whether a thought is required before the answer.
    """
    n_candidates = candidates["items"].list.len()
    orders = []
    for text, k in zip(completions, n_candidates, strict=True):
        orders.append(read_order(text, k, reasoned))
    return _table_of_orders(method, candidates, orders, completions)


def read_rounds(
    method: str,
    candidates: pl.DataFrame,
    completions: Sequence[Sequence[str | None]],
    rounds: Sequence[Shuffled],
    reasoned: bool,
) -> pl.DataFrame:
    """The rankings table of completions [rounds][users]: one ranking from all orders of a user.

    The table keeps the completions of the first round, in which candidates stand as stored.
    """
    n_users = len(rounds[0].cases)
    valid_orders: list[list[Order]] = [[] for _ in range(n_users)]
    for texts, shuffled in zip(completions, rounds, strict=True):
        for user, stored_index in enumerate(shuffled.orders):
            slots = read_order(texts[user], len(stored_index), reasoned)
            if slots:
                order = stored_index[list(slots)]
                valid_orders[user].append(tuple(order.tolist()))
    n_candidates = candidates["items"].list.len()
    combined = []
    for user, k in enumerate(n_candidates):
        combined.append(aggregate(valid_orders[user], k))
    return _table_of_orders(method, candidates, combined, completions[0])


def read_order(text: str | None, k: int, reasoned: bool) -> Order:
    """The positions of the candidates that an answer ranks, best first; () if it is invalid.

    Args:
        k: The number of candidates shown.
    """
    answer = parse_ranking(text or "", k, reasoned)
    return tuple(LABELS.index(label) for label in answer.labels)


def _table_of_orders(
    method: str,
    candidates: pl.DataFrame,
    orders: Sequence[Order],
    completions: Sequence[str | None],
) -> pl.DataFrame:
    """The rankings table of orders of stored indices; an empty order is an invalid answer."""
    rankings = []
    valid = []
    for items, order in zip(candidates["items"].to_list(), orders, strict=True):
        rankings.append([items[index] for index in order])
        valid.append(bool(order))
    return rankings_table(method, candidates, rankings, valid, completions)
