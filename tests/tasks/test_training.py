"""Training tasks: nothing after the target is shown, nothing untouched is rated, and each truth is the right one."""

import numpy as np
import polars as pl
import pytest

from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.tasks.targets import for_rl, for_sft
from r2rec.tasks.training import Task, TaskSource, load_source, ranking_tasks, rating_tasks, targets
from r2rec.thoughts.think import training_tasks
from tests.small import Done, composed, go

WORLD = [
    "dataset.params.users=120",
    "dataset.params.items=120",
    "dataset.params.ratings_per_user=24",
    "seed=3",
]
WORLD += ["evaluation.negatives=9", "sft.samples=40", "sft.task=mix", "chain_sampler.per_user=3"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("tasks") / "store", *WORLD, "until=split")


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
    table: dict[int, dict[int, float]] = {}
    for user, item, rating in (
        world.table("split", "train").select("user", "item", "rating").iter_rows()
    ):
        table.setdefault(user, {})[item] = rating
    return table


@pytest.fixture(scope="module")
def ranking(source: TaskSource) -> list[Task]:
    cfg = composed(*WORLD)
    tasks = ranking_tasks(source, targets(source, cfg), cfg, np.random.default_rng(0))
    assert len(tasks) > 300
    return tasks


def test_nothing_after_the_target_is_shown(
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


def test_the_target_stands_among_untouched_items_under_its_label(
    ranking: list[Task], world: Done, ids: dict[str, int]
) -> None:
    touched = set(world.table("prepare", "interactions").select("user", "item").iter_rows())
    places = []
    for user, target, case, truth in ranking:
        assert isinstance(case, RankingCase)
        shown = [ids[item.title] for item in case.candidates]
        assert shown[LABELS.index(truth)] == target
        assert len(shown) == len(set(shown)) == 10
        assert [item for item in shown if (user, item) in touched] == [target]
        places.append(LABELS.index(truth))
    assert (
        np.bincount(places, minlength=10).min() > 0.4 * len(places) / 10
    )  # no label gives the answer away


@pytest.fixture(scope="module")
def rating(source: TaskSource) -> list[Task]:
    cfg = composed(*WORLD)
    taken = for_rl(targets(source, cfg), 200).select("user", "item")
    tasks = rating_tasks(source, taken, 60, cfg, np.random.default_rng(0))
    assert len(tasks) == 60
    return tasks


def test_a_rating_question_asks_about_the_later_item(
    rating: list[Task], past: dict[int, dict[int, float]], ids: dict[str, int]
) -> None:
    for user, item, case, truth in rating:
        assert isinstance(case, RatingCase)
        order, chain = list(past[user]), case.chain
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


def test_a_rating_question_is_never_about_what_rl_asks(
    rating: list[Task], source: TaskSource
) -> None:
    taken = for_rl(targets(source, composed(*WORLD)), 200)
    assert not {(task.user, task.item) for task in rating} & set(
        taken.select("user", "item").iter_rows()
    )


def test_tasks_of_sft_and_rl_share_no_rating(world: Done, source: TaskSource) -> None:
    cfg = composed(*WORLD)
    sft = training_tasks(
        cfg, {name: folder for name, folder in world.folders().items() if name != "chain"}
    )
    pool = targets(source, cfg)
    rl = ranking_tasks(source, for_rl(pool, pool.height), cfg, np.random.default_rng(0))
    assert {type(task.case) for task in sft} == {RankingCase, RatingCase}
    assert not {(t.user, t.item) for t in sft} & {(t.user, t.item) for t in rl}


def test_no_task_is_about_a_heldout_rating(
    world: Done, ranking: list[Task], rating: list[Task]
) -> None:
    held = set(world.table("split", "heldout").select("user", "item").iter_rows())
    assert not {(task.user, task.item) for task in [*ranking, *rating]} & held


def test_users_without_enough_untouched_items_are_left_out(source: TaskSource) -> None:
    cfg = composed(*WORLD)
    cfg.evaluation.negatives = 98  # 120 items less 24 touched leave 96
    assert (
        ranking_tasks(source, for_sft(targets(source, cfg), 50), cfg, np.random.default_rng(0))
        == []
    )


def test_without_chains_there_is_no_rating_question(source: TaskSource) -> None:
    cfg = composed("chain_sampler=none")
    nothing = pl.DataFrame(schema={"user": pl.UInt32, "item": pl.UInt32})
    assert rating_tasks(source, nothing, 5, cfg, np.random.default_rng(0)) == []
