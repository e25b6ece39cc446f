"""Counters: the evidence order itself, and weights that are fitted to training targets alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import log_softmax

from r2rec.base.errors import R2RecError
from r2rec.config import Prompt, Words
from r2rec.config.slices import Arm, CountSlice, RegressSlice
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.evaluate.rank import rank_by_count
from r2rec.evaluate.rankings import RANKINGS
from r2rec.pretrain.weighed import random_case
from r2rec.prompts.cases import Facts
from r2rec.prompts.render import render_prompt, told_in_full
from r2rec.tuned.counter import order, told_numbers
from r2rec.tuned.regress import WEIGHTS, logit_weights, numbers_of, regress, scores
from tests.small import Done, choices, go, workspace

HERE = "tests.tuned.test_counter"
EVIDENCE = ("chain_sampler=evidence", "chain_sampler.per_user=20", "prompt=evidence")
WORLD = (*EVIDENCE, "dataset.params.users=150", "evaluation.users=60", "sft.samples=100")
WORDS = Words("movie", "movies", "watched")
seeds = st.integers(0, 2**32 - 1)


def nothing(cases, prompt):
    """A counter that tells no candidates apart."""
    return {"same": np.ones((len(cases), len(cases[0].candidates)))}


def one_row_short(cases, prompt):
    return {"short": np.zeros((len(cases) - 1, len(cases[0].candidates)))}


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> Done:
    store = tmp_path_factory.mktemp("counter") / "store"
    return go(store, *WORLD, "baseline=counter")


@pytest.fixture(scope="module")
def fitted(counted: Done) -> Done:
    return go(counted.folder.parent / "store", *WORLD, "baseline=counter_fitted")


def count_choices(target: str) -> CountSlice:
    return choices(CountSlice, *WORLD, arm=Arm("m", target=target))


def evaluated_cases(done: Done):
    chosen = count_choices("r2rec.tuned.counter.order")
    candidates = evaluated(done.folders()["split"], chosen.seed, chosen.users)
    return candidates, evaluation_cases(chosen, done.folders(), candidates)


def strongest_items(done: Done) -> list[list[int]]:
    """Each user's candidates in the order of the evidence."""
    candidates, cases = evaluated_cases(done)
    rows = zip(candidates["items"].to_list(), cases, strict=True)
    return [[items[index] for index in case.strongest()] for items, case in rows]


def rankings(done: Done, method: str) -> list[list[int]]:
    table = pl.read_parquet(done.folder / "rankings.parquet")
    return table.filter(pl.col("method") == method)["ranking"].to_list()


def test_the_plain_counter_ranks_as_the_prompt_says(counted: Done) -> None:
    assert rankings(counted, "counter") == strongest_items(counted)
    assert counted.by_method()["counter"]["valid_ratio"] == 1


def test_ties_stand_in_the_order_of_the_evidence(counted: Done, tmp_path: Path) -> None:
    rank_by_count(count_choices(f"{HERE}.nothing"), counted.folders(), workspace(tmp_path))
    table = pl.read_parquet(tmp_path / RANKINGS)
    assert table["ranking"].to_list() == strongest_items(counted)


def test_counters_read_the_chains_that_r2rec_reads(counted: Done, fitted: Done) -> None:
    told_to_r2rec = go(counted.folder.parent / "store", *WORLD, "until=chain")
    keys = {done.stages["chain"]["key"] for done in (told_to_r2rec, counted, fitted)}
    assert len(keys) == 1


def test_fitted_weights_rank_by_what_they_add_up(fitted: Done) -> None:
    candidates, cases = evaluated_cases(fitted)
    weights = json.loads((fitted.folders()["regress"] / WEIGHTS).read_text())
    assert fitted.stages["regress"]["targets"] == 100
    assert fitted.by_method()["counter_fitted"]["variant"] == "100 targets"
    numbers = told_numbers(cases, choices(CountSlice, *WORLD, arm=Arm("m")).prompt)
    assert set(numbers) == set(weights)
    rows = zip(candidates["items"].to_list(), rankings(fitted, "counter_fitted"), strict=True)
    for row, (items, ranking) in enumerate(rows):
        total = {}
        for column, item in enumerate(items):
            total[item] = sum(weights[name] * numbers[name][row, column] for name in weights)
        in_order = [total[item] for item in ranking]
        assert in_order == pytest.approx(sorted(in_order, reverse=True))


def test_no_held_out_positive_has_a_say(fitted: Done, tmp_path: Path) -> None:
    """Weights are fitted without held-out tables, and a ranking is the same whatever is right."""
    inputs = fitted.folders()
    split = tmp_path / "split"
    split.mkdir()
    shutil.copy(inputs["split"] / "train.parquet", split)
    (tmp_path / "again").mkdir()
    chosen = choices(RegressSlice, *WORLD, "baseline=counter_fitted")
    regress(chosen, {**inputs, "split": split}, workspace(tmp_path / "again"))
    again = (tmp_path / "again" / WEIGHTS).read_bytes()
    assert again == (inputs["regress"] / WEIGHTS).read_bytes()

    candidates = pl.read_parquet(inputs["split"] / "candidates.parquet")
    others = candidates.with_columns(positive=pl.col("items").list.get(0))
    assert not others.equals(candidates)
    others.write_parquet(split / "candidates.parquet")
    rank_by_count(
        count_choices("r2rec.tuned.counter.told_numbers"),
        {**inputs, "split": split, "adapter": inputs["regress"]},
        workspace(tmp_path),
    )
    table = pl.read_parquet(tmp_path / RANKINGS)
    assert table["ranking"].to_list() == rankings(fitted, "counter_fitted")


@given(seeds, st.integers(3, 8), st.integers(1, 99))
def test_a_counter_is_told_what_the_prompt_tells(seed: int, detailed: int, more: int) -> None:
    """What the prompt does not show changes no number; what it shows does."""
    case = random_case(np.random.default_rng(seed))
    prompt = Prompt(name="evidence", facts=bool(case.facts), detailed=detailed)
    shown = set(told_in_full(case, detailed))
    changed = []
    for index, chain in enumerate(case.evidence):
        if index not in shown and chain.item1:
            chain = chain._replace(
                rating_u1=chain.rating_u1 + more,
                raters=chain.raters + more,
                soon=chain.soon + more,
                liked=chain.liked + more,
                links=chain.links + more,
                witness=more,
            )
        changed.append(chain)
    other = case._replace(evidence=tuple(changed))
    assert render_prompt(other, prompt, WORDS) == render_prompt(case, prompt, WORDS)
    for counter in (order, told_numbers):
        before = counter([case], prompt)
        after = counter([other], prompt)
        for name, values in before.items():
            np.testing.assert_array_equal(values, after[name], err_msg=name)

    for index in shown:
        for name in ("raters", "soon", "liked", "links"):
            raised = case.evidence[index]._replace(
                **{name: getattr(case.evidence[index], name) + 1}
            )
            chains = [*case.evidence[:index], raised, *case.evidence[index + 1 :]]
            louder = told_numbers([case._replace(evidence=tuple(chains))], prompt)[name]
            assert louder[0, index] > told_numbers([case], prompt)[name][0, index]


def drawn(seed: int, n: int, k: int, weights: list[float]):
    """Numbers, and positives drawn with the probabilities of a conditional logit."""
    rng = np.random.default_rng(seed)
    numbers = {f"number {index}": rng.normal(size=(n, k)) for index in range(len(weights))}
    stacked = np.stack(list(numbers.values()), axis=2)
    noise = rng.gumbel(size=(n, k))
    return numbers, (stacked @ np.array(weights) + noise).argmax(axis=1)


def test_weights_are_found_again() -> None:
    true = [2.0, 0.0, -1.0]
    numbers, positive = drawn(0, 6000, 10, true)
    weights, loss = logit_weights(numbers, positive, penalty=1e-6)
    assert list(weights.values()) == pytest.approx(true, abs=0.08)
    stacked = np.stack(list(numbers.values()), axis=2)
    of_true = -log_softmax(stacked @ np.array(true), axis=1)[np.arange(6000), positive].mean()
    assert of_true - 0.01 < loss <= of_true


def test_where_one_fact_decides_it_gets_the_weight_and_is_always_right() -> None:
    """The positive is what most people rated, whatever else the prompt tells."""
    rng = np.random.default_rng(1)
    cases = []
    while len(cases) < 200:
        case = random_case(rng)
        k = len(case.candidates)
        if k == 20:
            ratings = 2 ** rng.permutation(k)
            facts = [Facts(int(count), int(rng.integers(101))) for count in ratings]
            cases.append(case._replace(facts=tuple(facts)))
    prompt = Prompt(name="evidence", facts=True)
    numbers = told_numbers(cases, prompt)
    positive = np.array([max(range(20), key=lambda c: case.facts[c].ratings) for case in cases])
    seen = {name: values[:100] for name, values in numbers.items()}
    weights, _ = logit_weights(seen, positive[:100], penalty=0.1)
    size = {name: abs(weights[name]) * numbers[name].std() for name in weights}
    assert max(size, key=lambda name: size[name]) == "ratings"
    unseen = sum(weights[name] * numbers[name][100:] for name in weights)
    assert (unseen.argmax(axis=1) == positive[100:]).mean() > 0.95


@settings(max_examples=30)
@given(seeds, st.floats(0.1, 10))
def test_weights_make_the_penalised_likelihood_largest(seed: int, penalty: float) -> None:
    numbers, positive = drawn(seed, 40, 5, [1.0, -0.5])
    weights, loss = logit_weights(numbers, positive, penalty)
    stacked = np.stack(list(numbers.values()), axis=2)
    deviation = stacked.std(axis=(0, 1))

    def penalised(values):
        log_shares = log_softmax(stacked @ values, axis=1)[np.arange(40), positive]
        return -log_shares.sum() + penalty / 2 * np.sum((values * deviation) ** 2)

    found = np.array(list(weights.values()))
    assert approx_fprime(found, penalised) == pytest.approx([0, 0], abs=0.02)
    plain = penalised(found) - penalty / 2 * np.sum((found * deviation) ** 2)
    assert plain / 40 == pytest.approx(loss)


def test_scales_and_what_is_added_to_all_change_no_ranking() -> None:
    numbers, positive = drawn(3, 200, 5, [1.0, 2.0])
    weights, _ = logit_weights(numbers, positive, penalty=1e-6)
    rng = np.random.default_rng(4)
    moved = {
        "number 0": 100 * numbers["number 0"],
        "number 1": numbers["number 1"] + rng.normal(size=(200, 1)),
        "constant": np.full((200, 5), 0.1),
    }
    others, _ = logit_weights(moved, positive, penalty=1e-6)
    assert others["number 0"] == pytest.approx(weights["number 0"] / 100, rel=1e-3)
    assert others["number 1"] == pytest.approx(weights["number 1"], rel=1e-3)
    assert others["constant"] == 0


def test_unfitted_numbers_are_added_up() -> None:
    numbers = {"one": np.array([[1.0, 2.0]]), "two": np.array([[3.0, -5.0]])}
    assert scores(numbers, None).tolist() == [[4.0, -3.0]]


def test_errors_say_what_is_wrong(counted: Done, tmp_path: Path) -> None:
    _, cases = evaluated_cases(counted)
    prompt = Prompt(name="evidence")
    with pytest.raises(R2RecError, match="should be finite numbers, one for each of 5 candidates"):
        numbers_of(f"{HERE}.one_row_short", {}, cases, prompt)
    silent = [case._replace(evidence=()) for case in cases]
    with pytest.raises(R2RecError, match="add chain_sampler=evidence prompt=evidence"):
        numbers_of("r2rec.tuned.counter.order", {}, silent, prompt)
    demanding = choices(
        RegressSlice, *WORLD, "baseline=counter_fitted", "evaluation.min_history=500"
    )
    with pytest.raises(R2RecError, match=r"lower evaluation\.min_history"):
        regress(demanding, counted.folders(), workspace(tmp_path))
    many = choices(RegressSlice, *WORLD, "baseline=counter_fitted", "sft.samples=100000")
    facts = regress(many, counted.folders(), workspace(tmp_path))
    assert facts["notes"] == [
        f"only {facts['targets']} of count.samples=100000 targets to learn from"
    ]
