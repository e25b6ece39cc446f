"""Stage `rank`: who is evaluated, what a prompt may show, and how answers and scores become one table."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from r2rec.data.split import evaluated
from r2rec.evaluate.metrics import per_user
from r2rec.evaluate.orders import aggregate
from r2rec.evaluate.rank import answered, evaluation_cases, rank_by_baseline, read_answers
from r2rec.llm.endpoint import Answer
from r2rec.llm.engine import Engine
from r2rec.prompts.cases import RankingCase
from tests.small import Done, composed, go

WORLD = [
    "dataset.params.users=300",
    "dataset.params.items=200",
    "dataset.params.ratings_per_user=24",
]
WORLD += ["evaluation.users=1000", "evaluation.negatives=19"]
HERE = "tests.evaluate.test_rank"


def constant(train: Any, users: Any, candidates: Any, rng: Any) -> Any:
    return np.zeros(candidates.shape)


def oracle_of_ids(train: Any, users: Any, candidates: Any, rng: Any) -> Any:
    return candidates.astype(float)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("rank") / "store", *WORLD, "until=chain")


def test_evaluated_users_are_nested_and_seeded(world: Done) -> None:
    cfg, split = composed(*WORLD), world.folders()["split"]

    def users(n: int, seed: int = 0) -> list[int]:
        cfg.evaluation.users, cfg.seed = n, seed
        return evaluated(cfg, split)["user"].to_list()

    for few, many in ((1, 10), (10, 60), (60, 10_000)):
        assert len(users(few)) == few
        assert set(users(few)) < set(users(many))
    assert users(10) == sorted(users(10))
    assert users(10) == users(10)
    assert users(10, seed=1) != users(10)
    assert len(users(10_000)) == world.table("split", "candidates").height


@pytest.mark.parametrize("sampler", ["closed", "open"])
def test_a_case_shows_only_what_came_before_the_heldout_items(tmp_path: Path, sampler: str) -> None:
    done = go(tmp_path / "store", *WORLD, f"chain_sampler={sampler}", "until=chain")
    cfg = composed(*WORLD)
    candidates = evaluated(cfg, done.folders()["split"])
    cases = evaluation_cases(cfg, done.folders(), candidates)
    assert len(cases) == candidates.height > 200
    id_of = {
        title: item
        for item, title in done.table("prepare", "items").select("item", "title").iter_rows()
    }
    train = done.table("split", "train")
    past: dict[int, dict[int, float]] = {}
    for user, item, rating in train.select("user", "item", "rating").iter_rows():
        past.setdefault(user, {})[item] = rating  # in time order
    heldout = done.table("split", "heldout").group_by("user").agg("item")
    later = {user: set(items) for user, items in heldout.iter_rows()}
    for case, (user, positive, items) in zip(cases, candidates.iter_rows(), strict=True):
        own = past[user]
        assert [id_of[i.title] for i in case.candidates] == items
        assert positive in items
        liked = [item for item, rating in own.items() if rating > 3]
        assert [id_of[i.title] for i in case.history] == liked[-cfg.prompt.history :]
        for chain in case.chains:
            first, second = id_of[chain.item1.title], id_of[chain.item2.title]
            assert own[first] == chain.rating_u1
            assert own.get(second) == chain.rating_u2
            assert first not in later[user]
            assert sampler == "open" or second not in later[user]
        assert_nameless(case)


def assert_nameless(case: RankingCase) -> None:
    """Nothing but texts and ratings: no id of a user or an item is in a case."""

    def leaves(value: Any) -> list[Any]:
        return (
            [leaf for part in value for leaf in leaves(part)]
            if isinstance(value, tuple)
            else [value]
        )

    assert {type(leaf) for leaf in leaves(tuple(case))} <= {str, float, type(None)}


def test_answers_become_items_by_their_labels() -> None:
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
    """Who always puts the first place first knows nothing of items: over many orders they come out alike."""
    cfg = OmegaConf.merge({"arm": {"method": "m"}}, OmegaConf.to_container(composed(*WORLD)))
    candidates = evaluated(composed(*WORLD), world.folders()["split"]).head(40)
    cases = evaluation_cases(composed(*WORLD), world.folders(), candidates)
    asked: list[int] = []

    def first_and_last(questions: Any, seed: int) -> list[Answer | None]:
        """Invalid for every third prompt."""
        asked.append(len(questions))
        text = "<think>\nStep 1: so.\n</think>\nRanking: A > T"
        return [Answer("none" if n % 3 == 2 else text, 1, 1, 0.0) for n, _ in enumerate(questions)]

    def rank(orders: int) -> pl.DataFrame:
        cfg.generation.orders = orders
        return answered(cfg, cases, candidates, Engine(first_and_last, lambda _: []), "rank")[0]  # type: ignore[arg-type]

    once, summed = rank(1), rank(4)
    assert asked == [40, 160]
    assert once["valid"].sum() == 27
    assert summed["valid"].all()
    assert summed["completion"].to_list() == once["completion"].to_list()
    for row in summed.iter_rows(named=True):
        assert len(set(row["ranking"])) == len(row["ranking"]) <= 8
        assert set(row["ranking"]) <= set(row["candidates"])
    firsts = [row["candidates"].index(row["ranking"][0]) for row in summed.iter_rows(named=True)]
    assert len(set(firsts)) > 5  # no longer the first place's
    assert rank(4).equals(summed)


@given(st.lists(st.permutations(range(5)), min_size=1, max_size=5), st.integers(0, 5))
def test_orders_that_agree_are_their_sum(orders: list[list[int]], named: int) -> None:
    cut = [tuple(order[:named]) for order in orders]
    summed = aggregate(cut, 5)
    assert set(summed) == {place for order in cut for place in order}
    points = [sum(1 / (o.index(p) + 1) for o in cut if p in o) for p in summed]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(points))
    assert aggregate(cut[:1] * 3, 5) == cut[0]


def ranked(world: Done, tmp_path: Path, target: str, seed: int = 0) -> pl.DataFrame:
    cfg = composed(*WORLD, f"seed={seed}")
    arm = {"method": target.rsplit(".", 1)[1], "target": target, "params": {}}
    facts = rank_by_baseline(
        OmegaConf.merge({"arm": arm}, OmegaConf.to_container(cfg)), world.folders(), tmp_path
    )  # type: ignore[arg-type]
    table = pl.read_parquet(tmp_path / "rankings.parquet")
    assert facts["users"] == table.height
    assert table["valid"].all()
    assert table["completion"].is_null().all()
    assert (
        table.select(pl.col("ranking").list.sort() == pl.col("candidates").list.sort())
        .to_series()
        .all()
    )
    return table


def test_a_scorer_orders_by_score(world: Done, tmp_path: Path) -> None:
    table = ranked(world, tmp_path, f"{HERE}.oracle_of_ids")
    assert table["ranking"].to_list() == table["candidates"].list.sort(descending=True).to_list()


@pytest.mark.parametrize("target", [f"{HERE}.constant", "r2rec.baselines.random.random_scores"])
def test_who_knows_nothing_is_right_once_in_twenty(
    world: Done, tmp_path: Path, target: str
) -> None:
    """Five binomial standard deviations around 1/20 over 10 seeds: wrong once in a million times."""
    hits = np.concatenate(
        [per_user(ranked(world, tmp_path, target, seed))["hr@1"].to_numpy() for seed in range(10)]
    )
    assert abs(hits.mean() - 1 / 20) < 5 * np.sqrt(1 / 20 * 19 / 20 / len(hits))


def test_popularity_counts_train_ratings(world: Done, tmp_path: Path) -> None:
    table = ranked(world, tmp_path, "r2rec.baselines.popularity.popularity_scores")
    counts = dict(world.table("split", "train")["item"].value_counts().iter_rows())
    for ranking in table["ranking"].to_list():
        seen = [counts.get(item, 0) for item in ranking]
        assert seen == sorted(seen, reverse=True)
