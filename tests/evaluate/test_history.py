"""`evaluation.history=all`: prompts about test users show more, and what is tuned does not."""

from pathlib import Path

import polars as pl
import pytest

from r2rec.config.slices import Arm, ChooseSlice, QuestionSlice
from r2rec.data.candidates import Candidates
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.prompts.cases import Item
from r2rec.prompts.render import show
from r2rec.tuned import adapt
from tests.small import Done, choices, go, typed

WORLD = ("dataset.params.users=200", "evaluation.users=1000", "evaluation.history=all")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("history") / "store", *WORLD, "until=chain")


def validation_items(done: Done) -> dict[int, Item]:
    """User -> the text of the validation positive."""
    texts = {}
    for item, title, attributes in (
        done.table("prepare", "items").select("item", "title", "attributes").iter_rows()
    ):
        texts[item] = Item(title, tuple(attributes))
    held = done.table("split", "heldout").filter(role="valid")
    return {user: texts[item] for user, item in held.select("user", "item").iter_rows()}


def test_latest_like_of_a_prompt_is_the_validation_positive(world: Done) -> None:
    """By definition nothing between the two positives is a like."""
    chosen = choices(QuestionSlice, *WORLD, arm=Arm("m"))
    candidates = evaluated(world.folders()["split"], chosen.seed, chosen.users)
    latest = validation_items(world)
    cases = evaluation_cases(chosen, world.folders(), candidates)
    assert len(cases) > 100
    for user, case in zip(candidates["user"], cases, strict=True):
        assert case.history[-1] == latest[user]

    of_train = {name: path for name, path in world.folders().items() if name != "tell"}
    for case, before in zip(cases, evaluation_cases(chosen, of_train, candidates), strict=True):
        assert case.history[:-1] == before.history[-chosen.prompt.history + 1 :]
        assert case.candidates == before.candidates


def test_chains_use_what_is_told(world: Done) -> None:
    """Each rating in a chain is a told one, and some are not in train."""
    chains = world.table("chain", "chains")
    told = world.table("tell", "told")
    train = world.table("split", "train")
    parts = []
    for user, item, rating in (
        ("user", "item1", "rating_u1"),
        ("neighbour", "item1", "rating_v1"),
        ("neighbour", "item2", "rating_v2"),
        ("user", "item2", "rating_u2"),
    ):
        parts.append(chains.select(user=user, item=item, rating=rating))
    used = pl.concat(parts).drop_nulls()
    on = ["user", "item", "rating"]
    assert used.join(told, on=on, how="anti").is_empty()
    assert not used.join(train, on=on, how="anti").is_empty()


@pytest.mark.parametrize("name", ["tallrec", "llara"])
def test_closed_questions_show_the_validation_positive(world: Done, name: str) -> None:
    baseline = (*WORLD, f"baseline={name}")
    arm = Arm(name, target=typed(*baseline).baseline._target_)
    chosen = choices(ChooseSlice, *baseline, arm=arm)
    table = Candidates.of(evaluated(world.folders()["split"], chosen.seed, 40))
    questions = adapt.questions_about_users(chosen, world.folders(), table.users, table.items)
    latest = validation_items(world)
    each = len(questions) // len(table.users)
    for row, user in enumerate(table.users.tolist()):
        for question in questions[row * each : (row + 1) * each]:
            liked = [line for line in question.prompt.splitlines() if line.startswith("- Liked")]
            assert show(latest[user], chosen.prompt.title_length) in liked[-1]


def test_weight_of_a_fusion_is_tuned_on_train(store: Path) -> None:
    """Validation positives are told to nobody who is tuned on them."""
    fused = ("baseline@fusion=ease", "evaluation.validation_users=8", "rl=off")
    facts = {}
    for history in ("train", "all"):
        done = go(store, *fused, f"evaluation.history={history}")
        arm = done.stages["rank"]["arms"]["backbone + ease"]
        facts[history] = (arm["weight"], arm["notes"])
    assert facts["train"] == facts["all"]
