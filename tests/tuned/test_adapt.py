"""TALLRec and LLaRA: their questions, what they may learn from, item vectors, and a whole run."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from r2rec.base.errors import R2RecError
from r2rec.config import Hardware
from r2rec.config.slices import AdaptSlice, Arm, ChooseSlice
from r2rec.execution.rules import checked_config
from r2rec.llm import chat, load
from r2rec.prompts.cases import Item
from r2rec.tasks.assemble import Texts
from r2rec.tasks.training import TaskSource, load_source
from r2rec.tuned import adapt
from r2rec.tuned.llara import Hybrid, hybrid_steps, llara_question
from r2rec.tuned.question import MARK, ClosedQuestion, View, encode_closed
from r2rec.tuned.tallrec import tallrec_questions
from r2rec.tuned.views import training_views
from tests.small import Done, choices, composed, go, typed

METHODS = ("tallrec", "llara")
FEW = (
    "evaluation.users=6",
    "baseline.adapt.samples=6",
    "baseline.adapt.epochs=1",
    "baseline.adapt.batch_size=4",
    "evaluation.arms=[]",
)
QUICK = {
    "tallrec": ("baseline=tallrec", *FEW),
    "llara": ("baseline=llara", *FEW, "baseline.vectors.fit.epochs=2"),
}
CONFIG = typed()
TEXTS = Texts([Item(f"Film {n}", ("Drama",)) for n in range(6)], ["F, 25"])
VIEW = View(0, [0, 1], [2], [3, 4, 5], positive=1)
Ask = Callable[..., list[ClosedQuestion]]


def asked(ask: Ask, view: View = VIEW, texts: Texts = TEXTS, **params: Any) -> list[ClosedQuestion]:
    return ask(view, texts, CONFIG.prompt, CONFIG.dataset.words, **params)


def test_tallrec_asks_about_each_candidate() -> None:
    questions = asked(tallrec_questions)
    assert [q.answer for q in questions] == [" No", " Yes", " No"]
    assert {q.options for q in questions} == {(" Yes", " No")}
    for item, question in zip(VIEW.candidates, questions, strict=True):
        lines = [line for line in question.prompt.splitlines() if "Film" in line]
        kinds = [(line.partition(":")[0], line[-2]) for line in lines]
        assert kinds == [
            ("- Liked 1", "0"),
            ("- Liked 2", "1"),
            ("- Disliked 1", "2"),
            ("- A", str(item)),
        ]
    unanswered = asked(tallrec_questions, VIEW._replace(positive=None))
    assert [q.answer for q in unanswered] == [None] * 3


def test_tallrec_answers_in_given_words() -> None:
    params = typed("baseline=tallrec").baseline.params
    yes, no = params["positive"], params["negative"]
    questions = asked(tallrec_questions, VIEW._replace(positive=0), **params)
    assert {q.options for q in questions} == {(f" {yes}", f" {no}")}
    assert [q.answer for q in questions] == [f" {yes}", f" {no}", f" {no}"]
    assert all(f'Answer "{yes}" or "{no}".' in q.prompt for q in questions)


def test_llara_asks_once_and_marks_every_item() -> None:
    (question,) = asked(llara_question)
    assert question.options == (" A", " B", " C")
    assert question.answer == " B"
    assert question.marked == (0, 1, 3, 4, 5)
    assert question.prompt.count(MARK) == 5
    for item, part in zip(question.marked, question.prompt.split(MARK), strict=False):
        assert part.endswith(f'"Film {item}"')


@pytest.mark.parametrize("ask", [tallrec_questions, llara_question])
def test_titles_hold_no_mark(ask: Ask) -> None:
    hostile = Texts([Item(f"F{MARK}{n}", (f"x{MARK}",)) for n in range(6)], [MARK])
    for question in asked(ask, texts=hostile):
        assert question.prompt.count(MARK) == len(question.marked)


def test_marks_become_items() -> None:
    tokenizer = load.tokenizer(typed("model=tiny").model, None)
    (question,) = asked(llara_question)
    ids = encode_closed(tokenizer, question, hybrid=True)
    assert [-1 - i for i in ids if i < 0] == [0, 1, 3, 4, 5]
    text = question.prompt.replace(MARK, "")
    conversation = chat.rendered_conversation(tokenizer, text, reasoning=False) + question.lead
    text_ids = tokenizer.encode(conversation)
    assert encode_closed(tokenizer, question, hybrid=False) == text_ids
    assert tokenizer.decode([i for i in ids if i >= 0]) == tokenizer.decode(text_ids)


def test_hybrid_projects_items_and_keeps_words() -> None:
    words = torch.nn.Embedding(10, 8)
    words.weight.requires_grad_(False)
    items = torch.randn(5, 3)
    hybrid = Hybrid(words, items)
    vectors = hybrid(torch.tensor([[1, -1, 2], [-5, 9, 9]]))
    torch.testing.assert_close(vectors[0, [0, 2]], words.weight[[1, 2]])
    torch.testing.assert_close(vectors[[0, 1], [1, 0]], hybrid.projector(items[[0, 4]]))
    vectors.sum().backward()
    trained = {name for name, p in hybrid.named_parameters() if p.grad is not None}
    assert trained == {
        "projector.0.weight",
        "projector.0.bias",
        "projector.2.weight",
        "projector.2.bias",
    }


def test_share_of_hybrid_steps_rises() -> None:
    steps = 50
    rng = np.random.default_rng(0)
    share = np.mean([hybrid_steps(steps, rng.random(steps)) for _ in range(4_000)], axis=0)
    np.testing.assert_allclose(share, np.arange(1, steps + 1) / steps, atol=0.05)
    assert share[-1] == 1.0


def llara_training(smoke: Done, *overrides: str) -> tuple[AdaptSlice, TaskSource]:
    folders = smoke.folders()
    source = load_source(folders["prepare"], folders["split"])
    return choices(AdaptSlice, "baseline=llara", *overrides), source


def test_training_views_show_the_past_alone(smoke: Done) -> None:
    chosen, source = llara_training(smoke)
    views = training_views(source, chosen)
    assert len(views) > 100
    rows = source.train.select("user", "item", "rating").iter_rows()
    ratings = {(user, item): rating for user, item, rating in rows}
    order = {pair: n for n, pair in enumerate(ratings)}
    everything = set(smoke.table("prepare", "interactions").select("user", "item").iter_rows())
    for view in views:
        target = view.candidates[view.positive]
        assert ratings[view.user, target] > 3
        assert len(set(view.candidates)) == len(view.candidates) == 20
        assert all((view.user, i) not in everything for i in view.candidates if i != target)
        for items, are_likes in ((view.liked, True), (view.disliked, False)):
            assert all((ratings[view.user, i] > 3) == are_likes for i in items)
            assert all(order[view.user, i] < order[view.user, target] for i in items)
    positions = Counter(view.positive for view in views)
    assert max(positions.values()) < 3 * len(views) / 20 + 5


def test_disliked_negative_is_a_later_item(smoke: Done) -> None:
    chosen, source = llara_training(
        smoke, "baseline.adapt.negatives=1", "baseline.adapt.disliked=true"
    )
    rows = list(source.train.select("user", "item", "rating").iter_rows())
    order = {(user, item): n for n, (user, item, _) in enumerate(rows)}
    ratings = {(user, item): rating for user, item, rating in rows}
    n_disliked = 0
    for view in training_views(source, chosen):
        target = view.candidates[view.positive]
        other = view.candidates[1 - view.positive]
        when = order[view.user, target]
        if (view.user, other) in ratings:
            n_disliked += 1
            assert ratings[view.user, other] <= 3
            assert order[view.user, other] > when
        else:
            later = [pair for pair, n in order.items() if pair[0] == view.user and n > when]
            assert all(ratings[pair] > 3 for pair in later)
    assert n_disliked


@pytest.fixture(scope="module")
def done(store: Path) -> dict[str, Done]:
    return {name: go(store, *QUICK[name]) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_run_trains_ranks_and_is_reused(store: Path, done: dict[str, Done], name: str) -> None:
    first = done[name]
    assert ("fit" in first.stages) == (name == "llara")
    assert first.records[-1]["method"] == name
    assert first.records[-1]["variant"] == "tiny_scratch"
    ranked = pl.read_parquet(first.folder / "rankings.parquet").filter(method=name)
    assert ranked["valid"].all()
    complete = pl.col("ranking").list.sort() == pl.col("candidates").list.sort()
    assert ranked.select(complete).to_series().all()
    again = go(store, *QUICK[name])
    assert again.made() == set()
    assert again.records == first.records


def test_llara_reads_the_vectors_of_sasrec(store: Path, done: dict[str, Done]) -> None:
    alone = go(store, "baseline=sasrec", "baseline.fit.epochs=2", "evaluation.arms=[]", "until=fit")
    assert alone.status()["fit"] == "reused"
    assert alone.stages["fit"]["key"] == done["llara"].stages["fit"]["key"]
    folder = done["llara"].folders()["adapt"]
    assert set(load_file(folder / adapt.PROJECTOR)) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    log = pl.read_parquet(folder / "log.parquet")
    assert log["hybrid"].to_list()[-1] is True


def test_projector_changes_the_scores(done: dict[str, Done]) -> None:
    run = done["llara"]
    table = run.table("split", "candidates")[:3]
    users = table["user"].to_numpy()
    candidates = np.array(table["items"].to_list())
    arm = Arm("llara", target=typed(*QUICK["llara"]).baseline._target_)
    chosen = choices(ChooseSlice, *QUICK["llara"], arm=arm)
    hardware = Hardware(name="cpu", device="cpu")
    inputs = run.folders()
    inputs["adapter"] = inputs["adapt"]
    questions = adapt.questions_about_users(chosen, inputs, users, candidates)
    shape = candidates.shape
    scores = adapt.scores_by_language_model(chosen, inputs, hardware, questions, shape)
    assert scores.shape == shape
    np.testing.assert_allclose(np.exp(scores).sum(1), 1, rtol=1e-4)
    del inputs["fit"]
    blind = adapt.scores_by_language_model(chosen, inputs, hardware, questions, shape)
    assert np.abs(scores - blind).max() > 1e-5


def test_too_long_questions_are_an_error(store: Path) -> None:
    short = ("model.max_length=20", "generation.max_new_tokens=4", "rl=off")
    with pytest.raises(R2RecError, match=r"no question fits into model\.max_length=20"):
        go(store, *QUICK["tallrec"], *short)


REFUSED = {
    "baseline=llara model.adapter=x": "model.adapter can't bring it along",
    "baseline=llara baseline.vectors.fit=null": "baseline.vectors needs a fitted baseline",
    "baseline=llara baseline.vectors.params.dim=x": (
        "baseline.vectors.params.dim=x should be of type int"
    ),
    "baseline=tallrec baseline.adapt.samples=0": "baseline.adapt.samples=0",
    "baseline=tallrec baseline.adapt.warmup=1.0": "baseline.adapt.warmup=1.0",
    "baseline=tallrec +baseline.params.tone=kind": "baseline.params.tone",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_impossible_choices_are_refused(overrides: str) -> None:
    with pytest.raises(R2RecError, match=REFUSED[overrides]) as caught:
        checked_config(composed(*overrides.split()))
    assert "\n" not in str(caught.value)


def test_adapter_of_another_run_ranks(store: Path, done: dict[str, Done]) -> None:
    folder = done["tallrec"].folders()["adapt"]
    given = go(store, *QUICK["tallrec"], f"model.adapter={folder}")
    assert "adapt" not in given.stages
    assert given.records[-1]["variant"] == "adapt on toy_small"
    rankings = []
    for run in (given, done["tallrec"]):
        table = pl.read_parquet(run.folder / "rankings.parquet")
        rankings.append(table.filter(method="tallrec"))
    assert rankings[0].equals(rankings[1])
