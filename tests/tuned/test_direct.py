"""baseline=direct: R2Rec's prompts and targets, and labels ranked by their probability."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForCausalLM

from r2rec.base.errors import R2RecError
from r2rec.config import Words
from r2rec.config.slices import AdaptCasesSlice, Arm, QuestionSlice
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.execution.keys import keyed
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from r2rec.llm import load
from r2rec.pretrain.weighed import random_case
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.targets import for_sft
from r2rec.tasks.training import load_source, targets
from r2rec.tuned.adapt import questions_with_answers
from r2rec.tuned.direct import direct_question
from tests.small import Done, choices, composed, go, typed

SAMPLERS = ("closed", "evidence")
EVIDENCE = ("chain_sampler=evidence", "prompt=evidence")
WORDS = Words("movie", "movies", "watched")
QUICK = (
    "baseline=direct",
    "evaluation.users=6",
    "baseline.adapt.samples=6",
    "baseline.adapt.epochs=1",
    "baseline.adapt.batch_size=4",
)


def sampled(sampler: str) -> tuple[str, ...]:
    """Evidence has a chain to each candidate."""
    return (f"chain_sampler={sampler}", "chain_sampler.per_user=5")


def quick(sampler: str) -> tuple[str, ...]:
    return (*QUICK, *sampled(sampler))


@pytest.fixture(scope="module")
def done(store: Path) -> dict[str, Done]:
    return {sampler: go(store, *quick(sampler)) for sampler in SAMPLERS}


def check_question(case: RankingCase) -> None:
    """It is R2Rec's prompt up to the last line, which asks for no thought."""
    reasoned, plain = typed().prompt, typed("prompt=no_reasoning").prompt
    question = direct_question(case, reasoned, WORDS)
    assert question == direct_question(case, plain, WORDS)
    assert "<think>" not in question.prompt
    prompt = render_prompt(case, reasoned, WORDS)
    assert question.prompt.split("\n")[:-1] == prompt.split("\n")[:-1]
    assert question.options == tuple(f" {label}" for label in LABELS[: len(case.candidates)])
    assert prompt.split("\n")[-1].count(question.lead) == 1


@given(st.integers(0, 2**32 - 1))
def test_question_shows_the_evidence_of_a_case(seed: int) -> None:
    check_question(random_case(np.random.default_rng(seed)))


def test_question_shows_the_chains_of_a_case() -> None:
    items = [Item(f"Film {n}", ("Drama",)) for n in range(5)]
    chain = Chain(items[0], 4.0, 5.0, 2.0, items[1], 3.0)
    case = RankingCase("F, 25", (items[0],), (chain,), tuple(items[2:]))
    check_question(case)
    assert "- Chain 1: " in direct_question(case, typed().prompt, WORDS).prompt


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_answer_is_the_label_of_the_positive(done: dict[str, Done], sampler: str) -> None:
    overrides = (*quick(sampler), "baseline.adapt.samples=40")
    chosen = choices(AdaptCasesSlice, *overrides)
    folders = done[sampler].folders()
    questions = questions_with_answers(chosen, folders)
    source = load_source(folders["prepare"], folders["split"])
    likes = for_sft(targets(source, chosen), 40)
    assert len(questions) == likes.height == 40
    for question, item in zip(questions, likes["item"], strict=True):
        title = source.texts.items[item].title
        (shown,) = [
            line for line in question.prompt.split("\n") if line.startswith(f"-{question.answer}: ")
        ]
        assert f'"{title}"' in shown
    answers = {question.answer for question in questions}
    assert len(answers) == chosen.negatives + 1  # at any place


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_prompts_are_those_of_think_about_as_many_targets(
    store: Path, done: dict[str, Done], sampler: str
) -> None:
    given = typed()
    samples = given.sft.samples * given.teacher.oversample
    thought = go(store, *sampled(sampler), "until=think").table("think", "traces")
    chosen = choices(AdaptCasesSlice, *quick(sampler), f"baseline.adapt.samples={samples}")
    questions = questions_with_answers(chosen, done[sampler].folders())
    assert len(questions) == samples
    for question, prompt in zip(questions, thought["prompt"], strict=True):
        assert question.prompt.split("\n")[:-1] == prompt.split("\n")[:-1]


def ranked(run: Done) -> pl.DataFrame:
    return pl.read_parquet(run.folder / "rankings.parquet").filter(method="direct").sort("user")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ranking_is_the_order_of_the_labels_probabilities(
    done: dict[str, Done], sampler: str
) -> None:
    """One whole sequence at a time, by the full logits of the adapter on its backbone."""
    run = done[sampler]
    folders = run.folders()
    config = typed(*quick(sampler))
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(folders["backbone"]), str(folders["adapt"])
    ).eval()
    tokenizer = load.tokenizer(config.model, folders["backbone"])
    chosen = choices(QuestionSlice, *quick(sampler), "prompt=no_reasoning", arm=Arm("direct"))
    candidates = evaluated(folders["split"], chosen.seed, chosen.users)
    orders: dict[int, list[int]] = {}
    for case, (user, items) in zip(
        evaluation_cases(chosen, folders, candidates),
        candidates.select("user", "items").iter_rows(),
        strict=True,
    ):
        message = {"role": "user", "content": render_prompt(case, chosen.prompt, chosen.words)}
        asked = tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)
        prompt = tokenizer.encode(f"{asked}Ranking:", add_special_tokens=False)
        weights = []
        for label in LABELS[: len(items)]:
            answer = tokenizer.encode(f" {label}", add_special_tokens=False)
            weights.append(log_probability(model, prompt, answer))
        orders[user] = [items[index] for index in np.argsort(weights)[::-1]]
    table = ranked(run)
    assert len(orders) == table.height == 6
    for user, ranking in table.select("user", "ranking").iter_rows():
        assert ranking == orders[user]


def log_probability(model: Any, prompt: list[int], answer: list[int]) -> float:
    """Of an answer after a prompt."""
    ids = torch.tensor([prompt + answer])
    with torch.inference_mode():
        logprobs = model(ids).logits[0].log_softmax(-1)
    positions = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    return float(logprobs[list(positions), answer].sum())


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_run_is_reused(store: Path, done: dict[str, Done], sampler: str) -> None:
    first = done[sampler]
    assert ("weigh" in first.stages) == (sampler == "evidence")
    assert first.records[-1]["method"] == "direct"
    assert ranked(first)["valid"].all()
    again = go(store, *quick(sampler))
    assert again.made() == set()
    assert again.records == first.records


def test_adapter_of_another_run_ranks(store: Path, done: dict[str, Done]) -> None:
    folder = done["evidence"].folders()["adapt"]
    given = go(store, *quick("evidence"), f"model.adapter={folder}")
    assert "adapt" not in given.stages
    assert given.records[-1]["variant"] == "adapt_cases on toy_small"
    assert ranked(given).equals(ranked(done["evidence"]))


def jobs_of(*overrides: str) -> dict[str, Any]:
    """Name of a job -> what its key is made of."""
    jobs = plan(checked_config(composed(*overrides)))
    return {job.name: (job.stage.name, keyed(job.choices), job.inputs) for job in jobs[:-1]}


@pytest.mark.parametrize("name", ["tallrec", "llara"])
def test_other_baselines_depend_on_no_chains(name: str) -> None:
    words = (f"baseline={name}", "model.tiny.chains=closed")  # on the same backbone
    jobs = jobs_of(*words)
    assert jobs == jobs_of(*words, "chain_sampler=evidence")
    assert not {"chain", "weigh"} & jobs.keys()
    stage, chosen, _ = jobs["adapt"]
    assert stage == "adapt"
    assert "cases" not in chosen["adapt"]
    assert not {"chain_sampler", "negatives"} & chosen.keys()


def test_direct_depends_on_chains() -> None:
    jobs = jobs_of("baseline=direct", *EVIDENCE)
    stage, chosen, inputs = jobs["adapt_cases"]
    assert stage == "adapt_cases"
    assert inputs["weigh"] == "weigh"
    assert chosen["chain_sampler"]["name"] == "evidence"
    assert jobs["rank direct"][2]["chain"] == "chain"
    assert jobs["rank direct"][2]["adapter"] == "adapt_cases"
    told = jobs_of("baseline=direct", "baseline@witness=gru4rec", *EVIDENCE)
    assert told["adapt_cases"][2]["witness"] == "witness"
    assert told["chain"][2]["witness_fit"] == "witness_fit"


REFUSED = {
    "baseline=direct baseline.adapt.disliked=true": "baseline.adapt.disliked has no effect",
    "baseline=llara baseline.adapt.cases=true": "baseline.adapt.cases shows no item vectors",
    "baseline=tallrec baseline.adapt.cases=true": "can't be called as a baseline is",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_impossible_choices_are_refused(overrides: str) -> None:
    with pytest.raises(R2RecError, match=REFUSED[overrides]) as caught:
        checked_config(composed(*overrides.split()))
    assert "\n" not in str(caught.value)
