"""TALLRec and LLaRA: what they ask, what they may learn from, what a vector beside a title is, and a whole run."""

from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from r2rec.base.errors import R2RecError
from r2rec.baselines import adapt, llara, tallrec
from r2rec.baselines.question import MARK, ClosedQuestion, View, encode_closed
from r2rec.llm import chat, load
from r2rec.pipeline import NAMES
from r2rec.prompts.cases import Item
from r2rec.run.rules import check
from r2rec.tasks.assemble import Texts
from r2rec.tasks.training import load_source as load_source
from tests.small import Done, composed, go

METHODS = ("tallrec", "llara")
FEW = ("evaluation.users=6", "baseline.adapt.samples=6", "baseline.adapt.epochs=1", "baseline.adapt.batch_size=4",
       "evaluation.arms=[]")  # fmt: skip
QUICK_FIT = ("baseline.vectors.fit.epochs=2",)


CFG = composed()
KNOWN = Texts([Item(f"Film {n}", ("Drama",)) for n in range(6)], ["F, 25"])
VIEW = View(0, [0, 1], [2], [3, 4, 5], positive=1)


def asked(method, view=VIEW, known=KNOWN) -> list[ClosedQuestion]:
    return method.ask(view, known, CFG.prompt, CFG.dataset.words)


def test_tallrec_asks_about_each_candidate() -> None:
    questions = asked(tallrec)
    assert [q.answer for q in questions] == [" No", " Yes", " No"]
    assert {q.options for q in questions} == {(" Yes", " No")}
    for item, question in zip(VIEW.candidates, questions, strict=True):
        told = [line for line in question.prompt.splitlines() if "Film" in line]
        kinds = [(line.partition(":")[0], line[-2]) for line in told]
        assert kinds == [
            ("- Liked 1", "0"),
            ("- Liked 2", "1"),
            ("- Disliked 1", "2"),
            ("- A", str(item)),
        ]
    assert [q.answer for q in asked(tallrec, VIEW._replace(positive=None))] == [None] * 3


def test_tallrec_answers_in_the_words_it_is_given() -> None:
    view, params = VIEW._replace(positive=0), composed("baseline=tallrec").baseline.params
    questions = tallrec.tallrec_questions(view, KNOWN, CFG.prompt, CFG.dataset.words, **params)
    assert {q.options for q in questions} == {(f" {params.positive}", f" {params.negative}")}
    assert [q.answer for q in questions] == [
        f" {params[kind]}" for kind in ("positive", "negative", "negative")
    ]
    assert all(f'Answer "{params.positive}" or "{params.negative}".' in q.prompt for q in questions)


def test_llara_asks_once_and_marks_every_item() -> None:
    (question,) = asked(llara)
    assert (question.options, question.answer, question.marked) == (
        (" A", " B", " C"),
        " B",
        (0, 1, 3, 4, 5),
    )
    assert question.prompt.count(MARK) == 5
    for item, part in zip(question.marked, question.prompt.split(MARK), strict=False):
        assert part.endswith(f'"Film {item}"')


@pytest.mark.parametrize("method", [tallrec, llara])
def test_a_title_can_hold_no_mark(method) -> None:
    hostile = Texts([Item(f"F{MARK}{n}", (f"x{MARK}",)) for n in range(6)], [MARK])
    for question in asked(method, known=hostile):
        assert question.prompt.count(MARK) == len(question.marked)


def test_marks_become_items_and_text_alone_has_none() -> None:
    tokenizer = load.tokenizer(composed("model=tiny").model, None)
    (question,) = asked(llara)
    ids = encode_closed(tokenizer, question, hybrid=True)
    assert [-1 - i for i in ids if i < 0] == [0, 1, 3, 4, 5]
    text = question.prompt.replace(MARK, "")
    opened = chat.rendered_conversation(tokenizer, text, reasoning=False) + question.lead
    assert encode_closed(tokenizer, question, hybrid=False) == tokenizer.encode(opened)
    assert tokenizer.decode([i for i in ids if i >= 0]) == tokenizer.decode(
        tokenizer.encode(opened)
    )


def test_words_stay_and_items_are_projected() -> None:
    words, items = torch.nn.Embedding(10, 8), torch.randn(5, 3)
    words.weight.requires_grad_(False)
    both = llara.Hybrid(words, items)
    ids = torch.tensor([[1, -1, 2], [-5, 9, 9]])
    vectors = both(ids)
    torch.testing.assert_close(vectors[0, [0, 2]], words.weight[[1, 2]])
    torch.testing.assert_close(vectors[[0, 1], [1, 0]], both.projector(items[[0, 4]]))
    vectors.sum().backward()
    assert {name for name, p in both.named_parameters() if p.grad is not None} == {
        f"projector.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")
    }


def test_vectors_come_in_more_often_as_training_goes_on() -> None:
    steps, rng = 50, np.random.default_rng(0)
    shown = np.mean([llara.hybrid_steps(steps, rng.random(steps)) for _ in range(4_000)], axis=0)
    np.testing.assert_allclose(shown, np.arange(1, steps + 1) / steps, atol=0.05)
    assert shown[-1] == 1.0


def training(smoke: Done, *words: str):
    cfg = composed("baseline=llara", *words)
    return cfg, load_source(smoke.folders()["prepare"], smoke.folders()["split"])


def test_training_shows_the_past_alone_and_nothing_held_out(smoke: Done) -> None:
    cfg, source = training(smoke)
    views = adapt.training_views(source, cfg)
    assert len(views) > 100
    ratings = {(u, i): r for u, i, r in source.train.select("user", "item", "rating").iter_rows()}
    order = {pair: n for n, pair in enumerate(ratings)}
    everything = set(smoke.table("prepare", "interactions").select("user", "item").iter_rows())
    for view in views:
        target = view.candidates[view.positive]
        assert ratings[view.user, target] > 3
        assert len(set(view.candidates)) == len(view.candidates) == 20
        assert all((view.user, i) not in everything for i in view.candidates if i != target)
        for items, likes in ((view.liked, True), (view.disliked, False)):
            assert all((ratings[view.user, i] > 3) == likes for i in items)
            assert all(order[view.user, i] < order[view.user, target] for i in items)
    places = Counter(view.positive for view in views)
    assert max(places.values()) < 3 * len(views) / 20 + 5


def test_a_disliked_item_is_a_later_one(smoke: Done) -> None:
    cfg, source = training(smoke, "baseline.adapt.negatives=1", "baseline.adapt.disliked=true")
    order = {pair: n for n, pair in enumerate(source.train.select("user", "item").iter_rows())}
    ratings = {(u, i): r for u, i, r in source.train.select("user", "item", "rating").iter_rows()}
    disliked = 0
    for view in adapt.training_views(source, cfg):
        target, other = view.candidates[view.positive], view.candidates[1 - view.positive]
        if (view.user, other) in ratings:
            disliked += 1
            assert ratings[view.user, other] <= 3
            assert order[view.user, other] > order[view.user, target]
        else:
            later = [
                i for (u, i), n in order.items() if u == view.user and n > order[view.user, target]
            ]
            assert all(ratings[view.user, i] > 3 for i in later)
    assert disliked


@pytest.fixture(scope="module")
def done(store: Path) -> dict[str, Done]:
    return {
        name: go(store, f"baseline={name}", *FEW, *QUICK_FIT * (name == "llara"))
        for name in METHODS
    }


@pytest.mark.parametrize("name", METHODS)
def test_a_run_trains_ranks_and_is_reused(store: Path, done: dict[str, Done], name: str) -> None:
    first = done[name]
    assert ("fit" in first.stages) == (name == "llara")
    assert first.records[-1]["method"] == name
    assert first.records[-1]["variant"] == "tiny_scratch"
    ranked = pl.read_parquet(first.folder / "rankings.parquet").filter(method=name)
    assert ranked["valid"].all()
    assert (
        ranked.select(pl.col("ranking").list.sort() == pl.col("candidates").list.sort())
        .to_series()
        .all()
    )
    again = go(store, f"baseline={name}", *FEW, *QUICK_FIT * (name == "llara"))
    assert again.made() == set()
    assert again.records == first.records


def test_llara_reads_the_sasrec_that_its_baseline_makes(store: Path, done: dict[str, Done]) -> None:
    alone = go(store, "baseline=sasrec", "baseline.fit.epochs=2", "evaluation.arms=[]", "until=fit")
    assert alone.status()["fit"] == "reused"
    assert alone.stages["fit"]["key"] == done["llara"].stages["fit"]["key"]
    folder = done["llara"].folders()["adapt"]
    assert set(load_file(folder / adapt.PROJECTOR)) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    log = pl.read_parquet(folder / "log.parquet")
    assert log["hybrid"].to_list()[-1] is True


def test_what_the_projector_says_reaches_the_scores(done: dict[str, Done], tmp_path: Path) -> None:
    run = done["llara"]
    candidates = run.table("split", "candidates")[:3]
    users, shown = candidates["user"].to_numpy(), np.array(candidates["items"].to_list())
    cfg = composed("baseline=llara", *FEW)
    arm = {"target": cfg.baseline._target_, "params": {}}
    whole = OmegaConf.merge(OmegaConf.to_container(cfg), {"arm": arm})
    folders = run.folders() | {"adapter": run.folders()["adapt"]}
    found = adapt.scores_by_language_model(whole, folders, users, shown)  # type: ignore[arg-type]
    assert found.shape == shown.shape
    np.testing.assert_allclose(np.exp(found).sum(1), 1, rtol=1e-4)
    blind = adapt.scores_by_language_model(
        whole, {k: v for k, v in folders.items() if k != "fit"}, users, shown
    )  # type: ignore[arg-type]
    assert np.abs(found - blind).max() > 1e-5


def test_a_question_too_long_is_told(store: Path) -> None:
    with pytest.raises(R2RecError, match=r"no question fits into model\.max_length=20"):
        go(
            store,
            "baseline=tallrec",
            *FEW,
            "model.max_length=20",
            "generation.max_new_tokens=4",
            "rl=off",
        )


REFUSED = {
    "baseline=llara model.adapter=x": "model.adapter can't bring it along",
    "baseline=llara baseline.vectors.fit=null": "baseline.vectors needs a fitted baseline",
    "baseline=llara baseline.vectors.params.dim=x": "baseline.vectors.params.dim=x should be of type int",
    "baseline=tallrec baseline.adapt.samples=0": "baseline.adapt.samples=0",
    "baseline=tallrec baseline.adapt.warmup=1.0": "baseline.adapt.warmup=1.0",
    "baseline=tallrec +baseline.params.tone=kind": "baseline.params.tone",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_work_is_refused(words: str) -> None:
    with pytest.raises(R2RecError, match=REFUSED[words]) as caught:
        check(composed(*words.split()), NAMES)
    assert "\n" not in str(caught.value)


def test_tallrec_trained_elsewhere_ranks_without_training(
    store: Path, done: dict[str, Done]
) -> None:
    folder = done["tallrec"].folders()["adapt"]
    given = go(store, "baseline=tallrec", *FEW, f"model.adapter={folder}")
    assert "adapt" not in given.stages
    assert given.records[-1]["variant"] == "adapt on toy_small"
    rankings = [
        pl.read_parquet(d.folder / "rankings.parquet").filter(method="tallrec")
        for d in (given, done["tallrec"])
    ]
    assert rankings[0].equals(rankings[1])
