"""Training tasks: no later rating is shown, candidates are untouched, truths are right."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from r2rec.config.slices import TaskSlice, ThinkSlice
from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.tasks.targets import for_rl, for_sft
from r2rec.tasks.training import Task, TaskSource, load_source, ranking_tasks, rating_tasks, targets
from r2rec.thoughts.think import training_tasks
from tests.small import Done, choices, go

WORLD = [
    "dataset.params.users=120",
    "dataset.params.items=120",
    "dataset.params.ratings_per_user=24",
    "seed=3",
    "evaluation.negatives=9",
    "sft.samples=40",
    "sft.task=mix",
    "chain_sampler.per_user=3",
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("tasks") / "store", *WORLD, "until=split")


@pytest.fixture(scope="module")
def task_choices() -> TaskSlice:
    return choices(TaskSlice, *WORLD)


@pytest.fixture(scope="module")
def source(world: Done) -> TaskSource:
    return load_source(world.folders()["prepare"], world.folders()["split"])


@pytest.fixture(scope="module")
def ids(world: Done) -> dict[str, int]:
    """Title -> item; titles of this world are unique."""
    items = world.table("prepare", "items")
    assert items["title"].is_unique().all()
    return dict(items.select("title", "item").iter_rows())


@pytest.fixture(scope="module")
def past(world: Done) -> dict[int, dict[int, float]]:
    """Train ratings by user, in time order."""
    by_user: dict[int, dict[int, float]] = {}
    ratings = world.table("split", "train").select("user", "item", "rating")
    for user, item, rating in ratings.iter_rows():
        by_user.setdefault(user, {})[item] = rating
    return by_user


@pytest.fixture(scope="module")
def ranking(source: TaskSource, task_choices: TaskSlice) -> list[Task]:
    pool = targets(source, task_choices)
    tasks = ranking_tasks(source, pool, task_choices, np.random.default_rng(0))
    assert len(tasks) > 300
    return tasks


def test_ranking_tasks_show_only_the_past(
    ranking: list[Task], past: dict[int, dict[int, float]], ids: dict[str, int]
) -> None:
    for user, target, case, _ in ranking:
        order = list(past[user])
        before = {item: past[user][item] for item in order[: order.index(target)]}
        liked = [item for item, rating in before.items() if rating > 3]
        assert isinstance(case, RankingCase)
        assert [ids[item.title] for item in case.history] == liked[-5:]
        assert len(liked) >= 3
        for chain in case.chains:
            assert before[ids[chain.item1.title]] == chain.rating_u1
            assert before[ids[chain.item2.title]] == chain.rating_u2


def test_ranking_tasks_label_the_target_among_untouched_items(
    ranking: list[Task], world: Done, ids: dict[str, int]
) -> None:
    touched = set(world.table("prepare", "interactions").select("user", "item").iter_rows())
    positions = []
    for user, target, case, truth in ranking:
        assert isinstance(case, RankingCase)
        shown = [ids[item.title] for item in case.candidates]
        assert shown[LABELS.index(truth)] == target
        assert len(shown) == len(set(shown)) == 10
        assert [item for item in shown if (user, item) in touched] == [target]
        positions.append(LABELS.index(truth))
    # No label gives the answer away.
    assert np.bincount(positions, minlength=10).min() > 0.4 * len(positions) / 10


@pytest.fixture(scope="module")
def taken(source: TaskSource, task_choices: TaskSlice) -> pl.DataFrame:
    return for_rl(targets(source, task_choices), 200).select("user", "item")


@pytest.fixture(scope="module")
def rating(source: TaskSource, taken: pl.DataFrame, task_choices: TaskSlice) -> list[Task]:
    tasks = rating_tasks(source, taken, 60, task_choices, np.random.default_rng(0))
    assert len(tasks) == 60
    return tasks


def test_rating_tasks_ask_about_the_later_item(
    rating: list[Task], past: dict[int, dict[int, float]], ids: dict[str, int]
) -> None:
    for user, item, case, truth in rating:
        assert isinstance(case, RatingCase)
        order = list(past[user])
        chain = case.chain
        assert ids[chain.item2.title] == item
        assert order.index(ids[chain.item1.title]) < order.index(item)
        assert past[user][ids[chain.item1.title]] == chain.rating_u1
        assert past[user][item] == float(truth) == chain.rating_u2
        assert any(  # the neighbour's two ratings are still those of one neighbour
            theirs.get(ids[chain.item1.title]) == chain.rating_v1
            and theirs.get(item) == chain.rating_v2
            for neighbour, theirs in past.items()
            if neighbour != user
        )


def test_rating_tasks_leave_out_taken_targets(rating: list[Task], taken: pl.DataFrame) -> None:
    assert not {(task.user, task.item) for task in rating} & set(taken.iter_rows())


def test_sft_and_rl_share_no_rating(
    world: Done, source: TaskSource, task_choices: TaskSlice
) -> None:
    folders = world.folders()
    inputs = {name: folders[name] for name in ("prepare", "split")}
    sft = training_tasks(choices(ThinkSlice, *WORLD), inputs)
    pool = targets(source, task_choices)
    rl = ranking_tasks(source, for_rl(pool, pool.height), task_choices, np.random.default_rng(0))
    assert {type(task.case) for task in sft} == {RankingCase, RatingCase}
    assert not {(t.user, t.item) for t in sft} & {(t.user, t.item) for t in rl}


def test_tasks_leave_out_heldout_ratings(
    world: Done, ranking: list[Task], rating: list[Task]
) -> None:
    held = set(world.table("split", "heldout").select("user", "item").iter_rows())
    assert not {(task.user, task.item) for task in [*ranking, *rating]} & held


def test_ranking_tasks_leave_out_users_with_too_few_untouched_items(
    source: TaskSource, task_choices: TaskSlice
) -> None:
    many = replace(task_choices, negatives=98)  # 120 items less 24 touched leave 96
    chosen = for_sft(targets(source, many), 50)
    assert ranking_tasks(source, chosen, many, np.random.default_rng(0)) == []


def test_rating_tasks_need_chains(source: TaskSource) -> None:
    without_chains = choices(TaskSlice, "chain_sampler=none")
    nothing = pl.DataFrame(schema={"user": pl.UInt32, "item": pl.UInt32})
    assert rating_tasks(source, nothing, 5, without_chains, np.random.default_rng(0)) == []
