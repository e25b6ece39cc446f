"""Stage `rank`: who is evaluated, what a prompt may show, and how answers become one table."""

import itertools
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.config.slices import Arm, QuestionSlice, RankSlice, ScoreSlice
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import answered, evaluation_cases, read_answers, read_weights
from r2rec.evaluate.metrics import per_user
from r2rec.evaluate.orders import aggregate
from r2rec.evaluate.rank import rank_by_scorer
from r2rec.evaluate.rankings import RANKINGS, rankings_by_score, read_rankings
from r2rec.llm.endpoint import Answer
from r2rec.llm.engine import Engine
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import show
from tests.small import Done, choices, go, workspace

WORLD = [
    "dataset.params.users=300",
    "dataset.params.items=200",
    "dataset.params.ratings_per_user=24",
    "evaluation.users=1000",
    "evaluation.negatives=19",
]
ARM = Arm("m")
HERE = "tests.evaluate.test_rank"


def constant(train: Any, users: Any, candidates: Any, rng: Any) -> Any:
    return np.zeros(candidates.shape)


def oracle_of_ids(train: Any, users: Any, candidates: Any, rng: Any) -> Any:
    return candidates.astype(float)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("rank") / "store", *WORLD, "until=chain")


def test_evaluated_users_are_nested_and_seeded(world: Done) -> None:
    split = world.folders()["split"]

    def users(n: int, seed: int = 0) -> list[int]:
        return evaluated(split, seed, n)["user"].to_list()

    for few, many in ((1, 10), (10, 60), (60, 10_000)):
        assert len(users(few)) == few
        assert set(users(few)) < set(users(many))
    assert users(10) == sorted(users(10))
    assert users(10) == users(10)
    assert users(10, seed=1) != users(10)
    assert len(users(10_000)) == world.table("split", "candidates").height


@pytest.mark.parametrize("sampler", ["closed", "open"])
def test_case_shows_only_the_past(tmp_path: Path, sampler: str) -> None:
    done = go(tmp_path / "store", *WORLD, f"chain_sampler={sampler}", "until=chain")
    chosen = choices(QuestionSlice, *WORLD, arm=ARM)
    candidates = evaluated(done.folders()["split"], chosen.seed, chosen.users)
    cases = evaluation_cases(chosen, done.folders(), candidates)
    assert len(cases) == candidates.height > 200
    items_table = done.table("prepare", "items")
    id_of = dict(items_table.select("title", "item").iter_rows())
    train = done.table("split", "train")
    past: dict[int, dict[int, float]] = {}
    for user, item, rating in train.select("user", "item", "rating").iter_rows():
        past.setdefault(user, {})[item] = rating  # in time order
    heldout = done.table("split", "heldout").group_by("user").agg("item")
    later = {user: set(items) for user, items in heldout.iter_rows()}
    for case, (user, positive, items) in zip(cases, candidates.iter_rows(), strict=True):
        by_user = past[user]
        assert [id_of[i.title] for i in case.candidates] == items
        assert positive in items
        liked = [item for item, rating in by_user.items() if rating > 3]
        assert [id_of[i.title] for i in case.history] == liked[-chosen.prompt.history :]
        for chain in case.chains:
            first, second = id_of[chain.item1.title], id_of[chain.item2.title]
            assert by_user[first] == chain.rating_u1
            assert by_user.get(second) == chain.rating_u2
            assert first not in later[user]
            assert sampler == "open" or second not in later[user]
        assert_nameless(case)


def assert_nameless(case: RankingCase) -> None:
    """Nothing but texts and ratings: no id of a user or an item is in a case."""

    def leaves(value: Any) -> list[Any]:
        if not isinstance(value, tuple):
            return [value]
        return [leaf for part in value for leaf in leaves(part)]

    assert {type(leaf) for leaf in leaves(tuple(case))} <= {str, float, type(None)}


def test_read_answers_maps_labels_to_items() -> None:
    candidates = pl.DataFrame(
        {"user": [4, 5, 6, 7, 8], "positive": [30, 10, 10, 10, 10], "items": [[10, 20, 30]] * 5},
        schema={"user": pl.UInt32, "positive": pl.UInt32, "items": pl.List(pl.UInt32)},
    )
    texts = [
        "so\n</think>\nRanking: C > A",
        "so\n</think>\nRanking: D > A",
        "Ranking: A > B",
        "",
        None,
    ]
    table = read_answers("m", candidates, texts, reasoned=True)
    assert table["ranking"].to_list() == [[30, 10], [], [], [], []]
    assert table["valid"].to_list() == [True, False, False, False, False]
    assert table["completion"].to_list() == texts
    assert table["candidates"].to_list() == [[10, 20, 30]] * 5
    assert per_user(table)["hr@1"].to_list() == [1, 0, 0, 0, 0]
    bare = read_answers("m", candidates, texts, reasoned=False)
    assert bare["valid"].to_list() == [True, False, True, False, False]


def test_several_orders_are_added_up(world: Done) -> None:
    """A model that always puts the first slot first knows nothing of items."""
    chosen = choices(RankSlice, *WORLD, arm=ARM)
    candidates = evaluated(world.folders()["split"], chosen.seed, chosen.users).head(40)
    cases = evaluation_cases(chosen, world.folders(), candidates)
    asked: list[int] = []

    def first_and_last(questions: Any, seed: int) -> list[Answer | None]:
        """Invalid for every third prompt."""
        asked.append(len(questions))
        text = "<think>\nStep 1: so.\n</think>\nRanking: A > T"
        return [Answer("none" if n % 3 == 2 else text, 1, 1, 0.0) for n, _ in enumerate(questions)]

    def rank(orders: int) -> pl.DataFrame:
        several = choices(RankSlice, *WORLD, f"generation.orders={orders}", arm=ARM)
        engine = Engine(first_and_last, lambda _: [])
        return answered(several, cases, candidates, engine, "rank")[0]

    once, summed = rank(1), rank(4)
    assert asked == [40, 160]
    assert once["valid"].sum() == 27
    assert summed["valid"].all()
    assert summed["completion"].to_list() == once["completion"].to_list()
    for row in summed.iter_rows(named=True):
        assert len(set(row["ranking"])) == len(row["ranking"]) <= 8
        assert set(row["ranking"]) <= set(row["candidates"])
    firsts = [row["candidates"].index(row["ranking"][0]) for row in summed.iter_rows(named=True)]
    assert len(set(firsts)) > 5  # no longer always the first slot
    assert rank(4).equals(summed)


@given(st.lists(st.permutations(range(5)), min_size=1, max_size=5), st.integers(0, 5))
def test_aggregate_adds_reciprocal_ranks(orders: list[list[int]], named: int) -> None:
    cut = [tuple(order[:named]) for order in orders]
    summed = aggregate(cut, 5)
    assert set(summed) == {place for order in cut for place in order}
    points = [sum(1 / (o.index(p) + 1) for o in cut if p in o) for p in summed]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(points))
    assert aggregate(cut[:1] * 3, 5) == cut[0]


def ranked(world: Done, tmp_path: Path, target: str, seed: int = 0) -> pl.DataFrame:
    arm = Arm(target.rsplit(".", 1)[1], target=target)
    chosen = choices(ScoreSlice, *WORLD, f"seed={seed}", arm=arm)
    facts = rank_by_scorer(chosen, world.folders(), workspace(tmp_path))
    table = pl.read_parquet(tmp_path / RANKINGS)
    assert facts["users"] == table.height
    assert table["valid"].all()
    assert table["completion"].is_null().all()
    assert (table["ranking"].list.sort() == table["candidates"].list.sort()).all()
    return table


def test_rank_by_scorer_orders_by_score(world: Done, tmp_path: Path) -> None:
    table = ranked(world, tmp_path, f"{HERE}.oracle_of_ids")
    assert table["ranking"].to_list() == table["candidates"].list.sort(descending=True).to_list()


@pytest.mark.parametrize("target", [f"{HERE}.constant", "r2rec.baselines.random.random_scores"])
def test_uninformed_scorer_hits_once_in_twenty(world: Done, tmp_path: Path, target: str) -> None:
    """Within five binomial standard deviations of 1/20: wrong once in a million times."""
    tables = [ranked(world, tmp_path, target, seed) for seed in range(10)]
    hits = np.concatenate([per_user(table)["hr@1"].to_numpy() for table in tables])
    assert abs(hits.mean() - 1 / 20) < 5 * np.sqrt(1 / 20 * 19 / 20 / len(hits))


def test_popularity_counts_train_ratings(world: Done, tmp_path: Path) -> None:
    table = ranked(world, tmp_path, "r2rec.baselines.popularity.popularity_scores")
    counts = dict(world.table("split", "train")["item"].value_counts().iter_rows())
    for ranking in table["ranking"].to_list():
        seen = [counts.get(item, 0) for item in ranking]
        assert seen == sorted(seen, reverse=True)


def test_labels_in_several_orders_follow_their_items(world: Done) -> None:
    """Each item has one weight wherever it is shown; one order that is not asked makes a miss."""
    overrides = [*WORLD, "generation.by=labels", "generation.orders=3"]
    chosen = choices(RankSlice, *overrides, arm=ARM)
    candidates = evaluated(world.folders()["split"], chosen.seed, chosen.users).head(30)
    cases = evaluation_cases(chosen, world.folders(), candidates)

    def weight(line: str) -> float:
        """Of a line like "- C: [drama] "Heat\"", without its label."""
        return float(zlib.crc32(line[4:].encode()))

    def weigh(questions: Any) -> list[list[float] | None]:
        rows: list[list[float] | None] = []
        for question in questions:
            prompt = question.messages[-1]["content"].rpartition("Candidates:\n")[2]
            rows.append([weight(line) for line in prompt.splitlines()[: question.labels]])
        rows[30 + 4] = None  # the second order of user 4
        return rows

    def write(questions: Any, seed: int) -> list[Answer | None]:
        raise AssertionError("text was asked for")

    table, facts = answered(chosen, cases, candidates, Engine(write, weigh), "rank")
    assert facts == {"unasked": 1}
    assert table["valid"].to_list() == [user != 4 for user in range(30)]
    for user, row in enumerate(table.iter_rows(named=True)):
        shown = [show(item, chosen.prompt.title_length) for item in cases[user].candidates]
        weights = [weight(f"- A: {text}") for text in shown]
        best_first = np.argsort(weights)[::-1]
        expected = [row["candidates"][index] for index in best_first]
        assert row["ranking"] == (expected if row["valid"] else [])


def test_read_weights_ranks_likelier_labels_first() -> None:
    table = pl.DataFrame({"user": [1, 2], "positive": [7, 7], "items": [[7, 8, 9], [8, 7, 9]]})
    chosen = choices(QuestionSlice, arm=ARM)
    rankings, facts = read_weights(chosen, table, [[-3.0, -0.1, -1.0], None])
    assert rankings["ranking"].to_list() == [[8, 9, 7], []]
    assert rankings["valid"].to_list() == [True, False]
    assert facts == {"unasked": 1}


def test_read_rankings_refuses_other_users_or_columns(world: Done, tmp_path: Path) -> None:
    candidates = evaluated(world.folders()["split"], 0, 20)
    rng = np.random.default_rng(0)
    table = rankings_by_score("m", candidates, np.zeros((20, 20)), rng)
    table.write_parquet(tmp_path / RANKINGS)
    assert read_rankings(tmp_path, candidates).equals(table)
    with pytest.raises(R2RecError, match="ranks other users or candidates"):
        read_rankings(tmp_path, candidates.head(19))
    table.drop("positive", "method").write_parquet(tmp_path / RANKINGS)
    with pytest.raises(R2RecError, match="holds no rankings: columns missing: method, positive"):
        read_rankings(tmp_path, candidates)
