"""The report of a run: records, the cases that a reader is shown, training curves, the text."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.base.jobs import Finished
from r2rec.config import Config
from r2rec.config.slices import Arm, QuestionSlice
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import render_prompt
from r2rec.report.cases import Browser, browser, written_arms
from r2rec.report.curves import training_curves
from r2rec.report.judgements import KINDS
from r2rec.report.report import write_report
from r2rec.thoughts.template import write_thoughts
from tests.report.finished import finished, ranked
from tests.small import Done, choices, go, typed

THOUGHT = "Step 1: the user liked it.\nStep 2: so did the neighbour."
SEED = 5
EVIDENCE = ["chain_sampler=evidence", "chain_sampler.per_user=5", "prompt=evidence"]
SCHEMA = {
    "method": pl.String,
    "user": pl.UInt32,
    "positive": pl.UInt32,
    "candidates": pl.List(pl.UInt32),
    "ranking": pl.List(pl.UInt32),
    "valid": pl.Boolean,
    "completion": pl.String,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return go(tmp_path_factory.mktemp("report") / "store", "until=chain")


@pytest.fixture(scope="module")
def evidence_world(world: Done) -> Done:
    return go(world.folder.parent / "store", "until=chain", *EVIDENCE)


def rankings(
    world: Done, method: str, places: list[int | None], written: bool = True
) -> pl.DataFrame:
    """A table in which user k has the positive at place `places[k]`.

    The answer is invalid where that is None.
    """
    rows = []
    candidates = evaluated(world.folders()["split"], SEED, len(places))
    for (user, positive, items), place in zip(candidates.iter_rows(), places, strict=True):
        others = [item for item in items if item != positive]
        ranking = []
        answer = "no idea"
        if place is not None:
            ranking = [*others[:place], positive, *others[place:]]
            answer = render_ranking([LABELS[items.index(item)] for item in ranking])
        text = render_completion(THOUGHT, answer) if written else None
        rows.append((method, user, positive, items, ranking, place is not None, text))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def jobs(world: Done, *more: Finished) -> list[Finished]:
    """The jobs of `world`, and more."""
    names = ("prepare", "split", "chain")
    return [*(finished(name, world.folders()[name]) for name in names), *more]


def stored(folder: Path, table: pl.DataFrame, method: str, **arm: Any) -> Finished:
    """The job that left this rankings table in `folder`."""
    folder.mkdir(parents=True)
    table.write_parquet(folder / "rankings.parquet")
    return ranked(folder, method, **arm)


def shown_of(
    world: Done, tables: Mapping[str, pl.DataFrame], config: Config, **options: Any
) -> Browser | None:
    """What a reader is shown of these rankings."""
    return browser(config, written_arms(config, tables, world.folders()), **options)


FIRST = {
    "the first right answer": ([1, 0, 0], 1),
    "a valid one where none is right": ([None, 2, 1], 1),
    "an invalid one where there is no other": ([None, None], 0),
}


@pytest.mark.parametrize("name", FIRST)
def test_case_open_at_first(world: Done, name: str) -> None:
    places, expected = FIRST[name]
    shown = shown_of(world, {"R2Rec": rankings(world, "R2Rec", places)}, typed())
    assert shown is not None
    assert shown.first == expected


def test_every_user_is_a_case(world: Done) -> None:
    table = rankings(world, "R2Rec", [0, 3, None])
    shown = shown_of(world, {"R2Rec": table}, typed())
    assert shown is not None
    answers = [case.answers[0] for case in shown.cases]
    assert [answer.verdict for answer in answers] == ["right", "wrong", "invalid"]
    assert [answer.summary for answer in answers] == [
        "ranked 1 of 5",
        "ranked 4 of 5",
        "invalid: none found",
    ]
    for case, row in zip(shown.cases, table.iter_rows(named=True), strict=True):
        answer = case.answers[0]
        assert case.user == row["user"]
        assert row["candidates"][case.positive] == row["positive"]
        by_rank = sorted(zip(answer.ranks, row["candidates"], strict=True))
        assert [item for rank, item in by_rank if rank] == row["ranking"]
        steps = [text for text, _ in answer.steps]
        assert steps == ["the user liked it.", "so did the neighbour."]
        assert answer.tail == row["completion"].rpartition("</think>")[2].strip()
        assert case.chains
        assert case.history


def test_arms_that_wrote_are_shown_side_by_side(world: Done) -> None:
    tables = {"one": rankings(world, "one", [1, 0]), "two": rankings(world, "two", [0])}
    silent = {"popularity": rankings(world, "popularity", [0], written=False)}
    shown = shown_of(world, tables | silent, typed())
    assert shown is not None
    assert shown.arms == ["one", "two"]
    verdicts = [[answer.verdict for answer in case.answers] for case in shown.cases]
    assert verdicts == [["wrong", "right"]]
    assert shown_of(world, silent, typed()) is None


def test_case_shows_what_the_prompt_shows(world: Done) -> None:
    table = {"R2Rec": rankings(world, "R2Rec", [0])}
    config = typed("prompt.chains=false", "prompt.profile=false")
    shown = shown_of(world, table, config, limit=1)
    assert shown is not None
    assert not shown.cases[0].chains
    assert shown.cases[0].profile is None


def test_case_shows_the_evidence_that_the_prompt_tells(evidence_world: Done) -> None:
    config = typed(*EVIDENCE, "prompt.detailed=3")
    table = rankings(evidence_world, "R2Rec", [0] * 8)
    asked = choices(QuestionSlice, *EVIDENCE, "prompt.detailed=3", arm=Arm("R2Rec"))
    users = table.select("user", "positive", items="candidates")
    questions = evaluation_cases(asked, evidence_world.folders(), users)
    written = write_thoughts(questions, ["A"] * len(questions), 0)
    texts = [render_completion(thought, answer) for thought, answer in written]
    table = table.with_columns(completion=pl.Series(texts))
    shown = shown_of(evidence_world, {"R2Rec": table}, config)
    assert shown is not None
    for case, question in zip(shown.cases, questions, strict=True):
        prompt = render_prompt(question, config.prompt, config.dataset.words)
        evidence = case.evidence
        assert evidence is not None
        assert not case.chains
        for number, (index, chain) in enumerate(evidence.in_full, start=1):
            assert chain.item1 is not None
            assert (
                f'- Chain {number}: the user gave {chain.rating_u1:g} to "{chain.item1.title}'
                in prompt
            )
            assert f"{chain.soon} of them soon rated {LABELS[index]}, {chain.liked} liked" in prompt
        assert f"- Chain {len(evidence.in_full) + 1}:" not in prompt
        order = ", ".join(LABELS[index] for index in [*evidence.order, *evidence.unlinked])
        assert f"By evidence, strongest first: {order}.\n" in prompt
        told_unlinked = f"No chain leads to the last {len(evidence.unlinked)}." in prompt
        assert told_unlinked == bool(evidence.unlinked)
        for label, item, facts in zip(LABELS, case.candidates, case.facts, strict=False):
            told = f'"{item.title}", {facts.ratings} ratings, {facts.liked}% liked'
            assert f"- {label}: {told}" in prompt
        targets = set()
        for number, _ in enumerate(evidence.in_full, start=1):
            targets |= {f"c{number}", *(f"c{number}-{hop}" for hop in (1, 2, 3))}
        targets |= {f"k{LABELS[index]}" for index in range(len(case.candidates))}
        targets |= {"h"} if case.history else set()
        targets |= {"c0"} if evidence.unlinked else set()
        (answer,) = case.answers
        assert len(answer.steps) == 7
        assert answer.claims == "7 of 7 claims right"
        assert answer.why == ("faithful" if answer.verdict == "right" else "misjudged")
        assert [mark.verdict for mark in answer.marks] == ["right"] * 7
        for _, links in answer.steps:
            assert links
            assert {target for _, target in links} <= targets


def test_a_wrong_claim_is_marked_and_linked_to_its_chain(
    evidence_world: Done, tmp_path: Path
) -> None:
    """A hit whose thought misreads its chain is luck, on the page and in the metrics."""
    config = typed(*EVIDENCE, "seed=5", "evaluation.users=4")
    table = rankings(evidence_world, "R2Rec", [0, 0, 1, None])
    asked = choices(QuestionSlice, *EVIDENCE, arm=Arm("R2Rec"))
    users = table.select("user", "positive", items="candidates")
    questions = evaluation_cases(asked, evidence_world.folders(), users)
    texts = []
    for number, (thought, _) in enumerate(write_thoughts(questions, ["A"] * 4, 0)):
        wrong = re.sub(r"; \d+ others rated it", "; 98765 others rated it", thought, count=1)
        answer = table["completion"][number].rpartition("</think>")[2].strip()
        texts.append(render_completion(wrong if number in (1, 2) else thought, answer))
    table = table.with_columns(completion=pl.Series(texts))
    arm = stored(tmp_path / "arm", table, "R2Rec", variant="v")
    out = tmp_path / "out"
    out.mkdir()
    records, *_ = write_report(config, jobs(evidence_world, arm), out)
    (record,) = records
    assert [record[name] for name in KINDS] == [0.25, 0.25, 0.25, 0]
    assert record["claims_right"] == pytest.approx(26 / 28)
    assert record["claims_unread"] == 0

    page = (out / "report.html").read_text()
    raters = [question.evidence[question.strongest()[0]].raters for question in questions]
    for case in (2, 3):
        mark = f'<del>98765</del><ins><a href="#{case}-c1">{raters[case - 1]}</a></ins>'
        assert mark in page
    assert page.count("<del>") == 2
    for words in ("faithful", "by luck", "misread", "6 of 7 claims right"):
        assert words in page
    assert "92.9%" in page


def test_answers_without_a_thought_have_no_claims(world: Done, tmp_path: Path) -> None:
    table = rankings(world, "R2Rec", [0, 1]).with_columns(completion=pl.lit("Ranking: A"))
    out = tmp_path / "out"
    out.mkdir()
    silent = stored(tmp_path / "b", rankings(world, "b", [0, 1], written=False), "b")
    arms = [silent, stored(tmp_path / "a", table, "R2Rec")]
    config = typed("seed=5", "evaluation.users=2", "prompt.reasoning=false")
    records, *_ = write_report(config, jobs(world, *arms), out)
    assert "claims_right" not in records[0]  # it writes nothing
    assert [records[1][name] for name in ("claims_right", "claims_unread", *KINDS)] == [None] * 6
    lines = (out / "tables" / "results.csv").read_text().splitlines()
    assert lines[0].endswith("hits_by_luck,misses_by_misreading,misses_by_judgement")
    assert len(lines) == 3


def test_long_texts_are_cut_and_say_so(world: Done) -> None:
    table = rankings(world, "R2Rec", [0]).with_columns(completion=pl.lit("a" * 10_000_000))
    shown = shown_of(world, {"R2Rec": table}, typed())
    assert shown is not None
    (answer,) = shown.cases[0].answers
    assert len(answer.before + answer.tail) < 6_100_000
    assert "rankings.parquet has all of it" in answer.before + answer.tail


def test_report_holds_records_notes_diagnosis_and_leakage(world: Done, tmp_path: Path) -> None:
    tables = {
        "a": rankings(world, "a", [0, 1, 3, None], written=False),
        "b": rankings(world, "b", [0, 0, 0, 0]),
    }
    arms = [stored(tmp_path / name, table, name, variant="v") for name, table in tables.items()]
    noted = finished("backbone", tmp_path, facts={"notes": ["a note to read"]})
    diagnosed = tmp_path / "diagnosed"
    diagnosed.mkdir()
    rows = pl.DataFrame({"change": ["as asked"], "hr@1": [0.5]})
    rows.write_parquet(diagnosed / "diagnosis.parquet")
    (diagnosed / "facts.json").write_text(json.dumps({"agreement": 0.25}))
    diagnosis = finished("diagnose", diagnosed, name="diagnose b", arm=Arm("b"))

    out = tmp_path / "out"
    out.mkdir()
    config = typed("seed=5", "evaluation.users=4", "diagnostic=position", "forecast.enabled=true")
    done = jobs(world, noted, *arms, diagnosis)
    records, text, verdict = write_report(config, done, out, ["made by other code"])
    assert json.loads((out / "metrics.json").read_text()) == records
    named = [(r["method"], r["variant"], r["dataset"], r["seed"], r["n_users"]) for r in records]
    assert named == [("a", "v", "toy_small", 5, 4), ("b", "v", "toy_small", 5, 4)]
    assert (records[0]["hr@1"], records[0]["hr@3"], records[0]["valid_ratio"]) == (0.25, 0.5, 0.75)
    assert (records[1]["hr@1"], records[1]["ndcg@3"]) == (1, 1)
    assert pl.read_parquet(out / "rankings.parquet").equals(pl.concat(tables.values()))

    page = (out / "report.html").read_text()
    leakage = "none of 118 held-out ratings is in train, chains (item 1), chains (item 2)"
    assert leakage in page
    assert "a note to read" in page
    assert "position: hr@1 by change" in page
    assert {path.name for path in (out / "tables").iterdir()} == {
        "results.md",
        "results.csv",
        "results.tex",
        "position.csv",
    }
    assert {path.name for path in (out / "plots").glob("*.svg")} == {
        "forest.svg",
        "position_hr1.svg",
    }

    assert page.index(verdict) < page.index("made by other code") < page.index("<h2>Results")
    assert "Only 4 users were ranked for" in page

    results, found, planned, last, closing = text.split("\n\n")
    assert " ".join(closing.split()) == f"verdict: {verdict}"
    assert results.startswith("method")
    assert found.splitlines()[0] == "diagnostic position"
    assert planned.split()[0] == "stage"
    assert last == f"leakage check: {leakage}\n{out / 'report.html'}"


def test_transferred_arms_name_their_training_data(world: Done, tmp_path: Path) -> None:
    tables = {name: rankings(world, name, [0, 1]) for name in ("backbone", "R2Rec", "R2Rec + x")}
    arms = [
        stored(tmp_path / "0", tables["backbone"], "backbone"),
        stored(tmp_path / "1", tables["R2Rec"], "R2Rec", adapter="rl"),
    ]
    (tmp_path / "2").mkdir()
    tables["R2Rec + x"].write_parquet(tmp_path / "2" / "rankings.parquet")
    fused = finished("fuse", tmp_path / "2", arm=Arm("R2Rec + x", adapter="rl"))
    elsewhere = []
    for name in ("prepare", "split"):
        elsewhere.append(finished(name, world.folders()[name], name=f"train_on/{name}"))
    log = pl.DataFrame({"step": [1, 2], "reward": [0.5, 1.0]})
    log.write_parquet(tmp_path / "log.parquet")
    elsewhere.append(finished("rl", tmp_path, name="train_on/rl", facts={"notes": ["of training"]}))

    out = tmp_path / "out"
    out.mkdir()
    config = typed("seed=5", "evaluation.users=2", "dataset@train_on=toy")
    done = [*elsewhere, *jobs(world, fused, *arms)]
    records, *_ = write_report(config, done, out)
    assert [(r["method"], r["train_dataset"]) for r in records] == [
        ("backbone", "toy_small"),
        ("R2Rec", "toy"),
        ("R2Rec + x", "toy"),
    ]
    assert (
        "is in train; none of" in (out / "report.html").read_text()
    )  # one check for each data set
    assert (out / "plots" / "reward_curve.svg").exists()
    assert "GRPO, step by step" in (out / "report.html").read_text()


def test_training_curves_have_a_file_each(tmp_path: Path) -> None:
    steps = {"backbone": "step", "fit": "epoch", "sft": "step", "rl": "step", "adapt": "step"}
    done = []
    for stage, column in steps.items():
        folder = tmp_path / stage
        folder.mkdir()
        log = pl.DataFrame({column: [1, 2], "loss": [1.0, 0.5], "reward": [0.0, 1.0]})
        log.write_parquet(folder / "log.parquet")
        done.append(finished(stage, folder))
    figures = training_curves(done, tmp_path / "plots")
    assert list(figures) == [
        "SFT loss on thought and answer",
        "Training loss of the baseline, per epoch",
        "Loss on the answers to closed questions",
        "GRPO, step by step",
    ]
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {
        "reward_curve",
        "loss_curve",
        "loss_curve_fit",
        "loss_curve_adapt",
    }
    fit_alone = training_curves([done[1]], tmp_path / "alone")
    assert len(fit_alone) == 1
    assert {path.stem for path in (tmp_path / "alone").iterdir()} == {"loss_curve"}


OTHERS = {
    "another negative": lambda t: t.with_columns(pl.col("candidates").list.eval(pl.element() + 1)),
    "another order": lambda t: t.with_columns(pl.col("candidates").list.reverse()),
    "another positive": lambda t: t.with_columns(positive=pl.col("candidates").list.first()),
    "fewer candidates": lambda t: t.with_columns(pl.col("candidates").list.head(4)),
    "fewer users": lambda t: t.head(3),
    "another user": lambda t: t.with_columns(user=pl.col("user") + 1),
    "users twice": lambda t: pl.concat([t, t]),
    "no users": lambda t: t.clear(),
    "no such column": lambda t: t.drop("candidates"),
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_rankings_of_other_candidates_are_refused(world: Done, tmp_path: Path, changed) -> None:  # type: ignore[no-untyped-def]
    """An easier question is no way to a better figure."""
    table = rankings(world, "a", [1, 0, 2, 3])
    arm = stored(tmp_path / "a", changed(table), "a")
    config = typed("seed=5", "evaluation.users=4")
    refusal = r"ranks other users or candidates|holds no rankings"
    with pytest.raises(R2RecError, match=refusal) as caught:
        write_report(config, jobs(world, arm), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "metrics.json").exists()
