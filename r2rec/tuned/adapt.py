"""Stage `adapt`: a language model tuned to answer a baseline's closed questions.

A baseline is one function, `(view, texts, prompt, words) -> questions`. Where it names a fitted
sequence model (`baseline.vectors`), the language model sees that model's item vectors beside the
titles, through a projector.

With `baseline.adapt.cases` the function is `(case, prompt, words) -> question`, about the ranking
cases of R2Rec: stage `adapt_cases`.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.baselines import fit
from r2rec.baselines.ratings import IdArray
from r2rec.chains import witness
from r2rec.chains.chain import load_graph, weighed
from r2rec.config import Hardware
from r2rec.config.slices import AdaptCasesSlice, AdaptSlice, ChooseSlice
from r2rec.data.told import told_table
from r2rec.llm import load, runtime
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.tasks.assemble import load_texts
from r2rec.tasks.targets import for_sft
from r2rec.tasks.training import load_source, ranking_tasks, targets
from r2rec.tuned.question import (
    ClosedQuestion,
    case_questions,
    closed_questions,
    encode_answer,
    encode_closed,
    encode_options,
)
from r2rec.tuned.views import build_views, no_target, training_views

if TYPE_CHECKING:
    import torch

PROJECTOR = "projector.safetensors"


class _Lesson(NamedTuple):
    """A question and its answer as token ids."""

    with_vectors: list[int]
    text: list[int]  # the prompt without the items' vectors
    answer: list[int]


def adapt(choices: AdaptSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write the adapter, the projector where there is one, and log.parquet.

    The log has a row per step: step, loss, learning_rate, hybrid (whether it showed vectors).

    Raises:
        R2RecError: No like to learn from, or no question fits into the model's length.
    """
    source = load_source(inputs["prepare"], inputs["split"])
    views = training_views(source, choices)
    questions = closed_questions(choices, choices.target, choices.params, views, source.texts)
    return _tuned(choices, questions, inputs, work)


def adapt_cases(
    choices: AdaptCasesSlice, inputs: Mapping[str, Path], work: Workspace
) -> dict[str, Any]:
    """The same, by questions about the ranking cases that R2Rec learns from.

    Raises:
        R2RecError: As `adapt`.
    """
    return _tuned(choices, questions_with_answers(choices, inputs), inputs, work)


def questions_with_answers(
    choices: AdaptCasesSlice, inputs: Mapping[str, Path]
) -> list[ClosedQuestion]:
    """Questions about the first `baseline.adapt.samples` targets that are for SFT.

    The generator is that of stage `think`. It draws for all targets at once, so the candidates are
    those of `think` where that asks about equally many: sft.samples x teacher.oversample.

    Raises:
        R2RecError: There is no such target.
    """
    source = load_source(inputs["prepare"], inputs["split"])
    chosen = for_sft(targets(source, choices), choices.adapt.samples)
    rng = seeds.generator(choices.seed, "think.tasks")
    told_by = witness.out_of_fold(inputs)
    tasks = ranking_tasks(source, chosen, weighed(choices, inputs), rng, told_by)
    if not tasks:
        raise no_target(choices)
    cases = [task.case for task in tasks if isinstance(task.case, RankingCase)]
    asked = case_questions(choices, choices.target, choices.params, cases)
    questions = []
    for question, task in zip(asked, tasks, strict=True):
        answer = question.options[LABELS.index(task.truth)]
        questions.append(question._replace(answer=answer))
    return questions


def _tuned(
    choices: AdaptSlice,
    questions: list[ClosedQuestion],
    inputs: Mapping[str, Path],
    work: Workspace,
) -> dict[str, Any]:
    """Tune the backbone on these questions, and write what `adapt` promises."""
    from safetensors.torch import save_model

    from r2rec.train.answers import train_on_answers
    from r2rec.train.common import CHECKPOINTS, save_adapter

    device = runtime.settle(work.hardware)
    seed = seeds.integer(choices.seed, "adapt")
    backbone = inputs.get("backbone")
    fitted = inputs.get("fit")
    tokenizer = load.tokenizer(choices.model, backbone)
    lessons = _lessons(tokenizer, questions, fitted is not None, choices.model.max_length)
    model, projector = _learner(choices, backbone, fitted, device, seed)

    rng = seeds.generator(choices.seed, "adapt.order")
    batches = ordered(len(lessons), choices.adapt.epochs, choices.adapt.batch_size, rng)
    steps = len(batches)
    hybrid = _hybrid_steps(steps, fitted is not None, rng)

    def rows(step: int) -> list[tuple[list[int], list[int]]]:
        """Prompt and answer of each question of a step."""
        chosen = []
        for index in batches[step]:
            lesson = lessons[index]
            prompt = lesson.with_vectors if hybrid[step] else lesson.text
            chosen.append((prompt, lesson.answer))
        return chosen

    log = train_on_answers(
        model,
        rows,
        steps,
        choices.adapt,
        seed,
        tokenizer.pad_token_id,
        work.folder / CHECKPOINTS,
        bf16=work.hardware.bf16 and device.type != "cpu",
    )
    log.with_columns(hybrid=pl.Series(hybrid)).write_parquet(work.folder / "log.parquet")
    save_adapter(model, tokenizer, work.folder, choices.model)
    if projector is not None:
        save_model(projector, str(work.folder / PROJECTOR))
    return _facts(log, len(lessons), len(questions) - len(lessons))


def _lessons(
    tokenizer: Any, questions: list[ClosedQuestion], vectors: bool, max_length: int
) -> list[_Lesson]:
    """The questions that fit into `max_length` tokens, encoded."""
    lessons = []
    for question in questions:
        text = encode_closed(tokenizer, question, hybrid=False)
        with_vectors = text
        if vectors:
            with_vectors = encode_closed(tokenizer, question, hybrid=True)
        answer = encode_answer(tokenizer, question)
        if len(with_vectors) + len(answer) <= max_length:
            lessons.append(_Lesson(with_vectors, text, answer))
    if not lessons:
        raise R2RecError(f"no question fits into model.max_length={max_length} tokens; raise it")
    return lessons


def _learner(
    choices: AdaptSlice,
    backbone: Path | None,
    fitted: Path | None,
    device: "torch.device",
    seed: int,
) -> tuple[Any, Any]:
    """The backbone under a fresh adapter, and the projector of items (None without vectors)."""
    import torch
    from peft import get_peft_model

    from r2rec.train.common import lora

    spec = choices.adapt.lora
    torch.manual_seed(seed)
    base = load.weights(choices.model, backbone, train=True, device=device)
    load.targeted(base, spec.targets, "baseline.adapt.lora")
    model = get_peft_model(base, lora(spec))
    projector = None
    if fitted is not None:
        projector = show_items(model, fitted)
    model = model.to(device)
    if device.type != "cpu":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, projector


def ordered(n: int, epochs: float, batch_size: int, rng: np.random.Generator) -> list[IdArray]:
    """Which of n questions each step learns from.

    Every epoch has its own order; the last epoch may be partial, and so may the last batch.
    """
    permutations = []
    for _ in range(int(np.ceil(epochs))):
        permutations.append(rng.permutation(n))
    n_taken = max(1, round(epochs * n))
    order = np.concatenate(permutations)[:n_taken]
    return np.split(order, range(batch_size, len(order), batch_size))


def _hybrid_steps(steps: int, vectors: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which steps show item vectors; none where no sequence model is fitted."""
    from r2rec.tuned.llara import hybrid_steps

    if not vectors:
        return np.zeros(steps, bool)
    return hybrid_steps(steps, rng.random(steps))


def _facts(log: pl.DataFrame, n_lessons: int, n_left_out: int) -> dict[str, Any]:
    fifth = max(1, log.height // 5)
    notes = []
    if n_left_out:
        notes.append(f"{n_left_out} questions longer than model.max_length were left out")
    return {
        "questions": n_lessons,
        "steps": log.height,
        "loss_first": _mean(log["loss"].head(fifth)),
        "loss_last": _mean(log["loss"].tail(fifth)),
        "notes": notes,
    }


def _mean(losses: pl.Series) -> float:
    mean = losses.mean()
    if not isinstance(mean, float):
        raise ValueError("no loss to average")
    return round(mean, 5)


def show_items(model: Any, fitted: Path, trained: Path | None = None) -> Any:
    """Let a model read item vectors beside its word vectors, through a projector; returns that.

    Args:
        fitted: What stage `fit` wrote: the item vectors.
        trained: A folder with a trained projector; None: a fresh one.
    """
    from safetensors.torch import load_file, load_model

    from r2rec.tuned.llara import Hybrid

    base = model
    if hasattr(model, "get_base_model"):
        base = model.get_base_model()
    vectors = load_file(fitted / fit.WEIGHTS)["items.weight"]
    scaled = vectors / vectors.std()  # a scale that a fresh layer can read
    hybrid = Hybrid(base.get_input_embeddings(), scaled)
    if trained is not None:
        load_model(hybrid.projector, str(trained / PROJECTOR))
    base.set_input_embeddings(hybrid)
    return hybrid.projector


def scores_by_language_model(
    choices: ChooseSlice,
    inputs: Mapping[str, Path],
    hardware: Hardware,
    questions: list[ClosedQuestion],
    shape: tuple[int, ...],
) -> NDArray[np.float32]:
    """Log-probabilities of candidates by the tuned model.

    Each is normalised over the options of its question.

    Args:
        inputs: Artefacts backbone, fit and adapter where there are any.
        questions: One about each user, or one about each candidate.
        shape: [n, k] of the candidates.
    """
    from r2rec.llm.scoring import option_logprobs

    device = runtime.settle(hardware)
    backbone = inputs.get("backbone")
    fitted = inputs.get("fit")
    adapter = inputs.get("adapter")
    tokenizer = load.tokenizer(choices.model, backbone)
    model = load.weights(choices.model, backbone, adapter, device=device).merge_and_unload()
    if fitted is not None:
        show_items(model, fitted, trained=adapter)
    prompts = [encode_closed(tokenizer, q, hybrid=fitted is not None) for q in questions]
    options = encode_options(tokenizer, questions[0])
    logprobs = option_logprobs(model.to(device), tokenizer, prompts, options, choices.batch_tokens)
    logprobs -= np.logaddexp.reduce(logprobs, axis=1, keepdims=True)
    # One question per user has an option for each candidate; one per candidate begins with "yes".
    candidates_per_question = math.prod(shape) // len(questions)
    return logprobs[:, :candidates_per_question].reshape(shape)


def questions_about_users(
    choices: ChooseSlice,
    inputs: Mapping[str, Path],
    users: IdArray,
    candidates: IdArray,
) -> list[ClosedQuestion]:
    """Questions about users [n] with candidates [n, k], after all the ratings that are told.

    Args:
        choices: `choices.arm` names the baseline's function.
        inputs: Artefacts prepare and split, and tell where there is one.
    """
    graph = load_graph(inputs["prepare"], inputs["split"], told_table(inputs))
    user = users.astype(np.int64)
    views = build_views(
        graph,
        user,
        length=np.diff(graph.start)[user],
        candidates=candidates,
        history=choices.prompt.history,
        above=choices.positive_above,
    )
    arm = choices.arm
    if arm.target is None:
        raise ValueError(f"method {arm.method} names no function that asks questions")
    texts = load_texts(inputs["prepare"])
    return closed_questions(choices, arm.target, arm.params, views, texts)
