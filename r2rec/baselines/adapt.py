"""Stage `adapt`: a language model tuned to answer a baseline's closed questions, and how it scores candidates then.

A baseline is one function, `(view, texts, prompt, words) -> questions`. Where it names a fitted sequence model
(`baseline.vectors`), the language model is shown that model's item vectors beside the titles, through a projector.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.baselines import fit
from r2rec.baselines.question import ClosedQuestion, View, build_views, encode_closed
from r2rec.chains.chain import load_graph
from r2rec.llm import load, runtime
from r2rec.tasks.assemble import Texts, load_texts
from r2rec.tasks.training import TaskSource, targets, with_negatives
from r2rec.tasks.training import load_source as load_source

PROJECTOR = "projector.safetensors"


def adapt(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write the adapter, the projector where there is one, and log.parquet: step, loss, learning rate, hybrid."""
    device = runtime.settle(cfg.hardware)
    from safetensors.torch import save_model

    from r2rec.baselines.llara import hybrid_steps
    from r2rec.train import card
    from r2rec.train.answers import train_on_answers
    from r2rec.train.common import CHECKPOINTS, save_adapter

    spec, seed = cfg.baseline.adapt, seeds.integer(cfg.seed, "adapt")
    made, fitted = inputs.get("backbone"), inputs.get("fit")
    tokenizer = load.tokenizer(cfg.model, made)
    source = load_source(inputs["prepare"], inputs["split"])
    asked = closed_questions(
        cfg, cfg.baseline._target_, cfg.baseline.params, training_views(source, cfg), source.known
    )
    shown = fitted is not None
    known = [
        (
            encode_closed(tokenizer, q, shown),
            encode_closed(tokenizer, q, False),
            answer(tokenizer, q),
        )
        for q in asked
    ]
    kept = [row for row in known if len(row[0]) + len(row[2]) <= cfg.model.max_length]
    if not kept:
        raise R2RecError(
            f"no question fits into model.max_length={cfg.model.max_length} tokens; raise it"
        )
    model, projector = _learner(cfg, made, fitted, device, seed)
    rng = seeds.generator(cfg.seed, "adapt.order")
    of_step = ordered(len(kept), spec.epochs, spec.batch_size, rng)
    steps = len(of_step)
    shows = hybrid_steps(steps, rng.random(steps)) if shown else np.zeros(steps, bool)

    def rows(step: int) -> list[tuple[list[int], list[int]]]:
        chosen = [kept[i] for i in of_step[step]]
        return [(whole if shows[step] else text, answered) for whole, text, answered in chosen]

    bf16 = cfg.hardware.bf16 and device.type != "cpu"
    log = train_on_answers(
        model, rows, steps, spec, seed, tokenizer.pad_token_id, folder / CHECKPOINTS, bf16
    )
    log.with_columns(hybrid=pl.Series(shows)).write_parquet(folder / "log.parquet")
    save_adapter(model, tokenizer, folder, cfg.model)
    if projector is not None:
        save_model(projector, str(folder / PROJECTOR))
    fifth, left_out = max(1, steps // 5), len(asked) - len(kept)
    facts = {
        "questions": len(kept),
        "steps": steps,
        "loss_first": round(float(log["loss"].head(fifth).mean()), 5),  # type: ignore[arg-type]
        "loss_last": round(float(log["loss"].tail(fifth).mean()), 5),  # type: ignore[arg-type]
        "notes": [f"{left_out} questions longer than model.max_length were left out"]
        if left_out
        else [],
    }
    card.write_card(folder, "adapt", cfg, inputs, facts)
    return facts


def _learner(
    cfg: DictConfig, made: Path | None, fitted: Path | None, device: Any, seed: int
) -> tuple[Any, Any]:
    """The backbone under a fresh adapter, and the projector of items, where a model of these is fitted."""
    import torch
    from peft import get_peft_model

    from r2rec.train.common import lora

    torch.manual_seed(seed)
    base, spec = load.weights(cfg.model, made, train=True), cfg.baseline.adapt.lora
    load.targeted(base, spec.targets, "baseline.adapt.lora")
    model = get_peft_model(base, lora(spec))
    projector = show_items(model, fitted) if fitted else None
    model = model.to(device)
    if device.type != "cpu":
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return model, projector


def ordered(n: int, epochs: float, each: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Which of n questions each step learns from: every epoch in an order of its own, the last perhaps in part."""
    order = np.concatenate([rng.permutation(n) for _ in range(int(np.ceil(epochs)))])
    order = order[: max(1, round(epochs * n))]
    return np.split(order, range(each, len(order), each))


def training_views(source: TaskSource, cfg: DictConfig) -> list[View]:
    """Train-side likes as if they were still to come, each at a random place among its negatives."""
    spec, rng = cfg.baseline.adapt, seeds.generator(cfg.seed, "adapt.tasks")
    chosen, drawn = with_negatives(
        source, targets(source, cfg).head(spec.samples), spec.negatives, rng
    )
    if not chosen.height:
        raise R2RecError(
            f"no train rating to tune baseline={cfg.baseline.name} on; lower evaluation.min_history"
        )
    user, length = (chosen[c].to_numpy().astype(np.int64) for c in ("user", "position"))
    above, graph = cfg.evaluation.positive_above, source.graph
    if spec.disliked:
        for row, (u, at) in enumerate(zip(user, length, strict=True)):
            later = slice(graph.start[u] + at, graph.start[u + 1])
            refused = graph.item[later][graph.rating[later] <= above]
            if len(refused):
                drawn[row, 0] = refused[rng.integers(len(refused))]
    shown = np.column_stack([chosen["item"].to_numpy(), drawn])
    place = rng.permuted(np.tile(np.arange(shown.shape[1]), (len(shown), 1)), axis=1)
    shown = np.take_along_axis(shown, place, 1)
    return build_views(
        graph, user, length, shown, cfg.prompt.history, above, (place == 0).argmax(1)
    )


def closed_questions(
    cfg: DictConfig, target: str, params: Any, asked: list[View], known: Texts
) -> list[ClosedQuestion]:
    """All questions about these views, in order; the same number about each."""
    ask = get_method(target)
    return [q for view in asked for q in ask(view, known, cfg.prompt, cfg.dataset.words, **params)]


def answer(tokenizer: Any, question: ClosedQuestion) -> list[int]:
    """Token ids of the true answer and its end."""
    return [*tokenizer.encode(question.answer, add_special_tokens=False), tokenizer.eos_token_id]


def show_items(model: Any, fitted: Path, saved: Path | None = None) -> Any:
    """Put a fitted model's item vectors, behind a projector, beside the word vectors; returns the projector.

    Args:
        saved: A folder with a trained projector; None: a fresh one.
    """
    from safetensors.torch import load_file, load_model

    from r2rec.baselines.llara import Hybrid

    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    items = load_file(fitted / fit.WEIGHTS)["items.weight"]
    both = Hybrid(
        base.get_input_embeddings(), items / items.std()
    )  # at a scale that a fresh layer can read
    if saved:
        load_model(both.projector, str(saved / PROJECTOR))
    base.set_input_embeddings(both)
    return both.projector


def scores_by_language_model(
    cfg: DictConfig, inputs: dict[str, Path], users: NDArray, shown: NDArray
) -> NDArray[np.float32]:
    """Log-odds of each candidate [n, k], by the tuned model, after all that the users did."""
    from r2rec.llm.scoring import option_logprobs

    device = runtime.settle(cfg.hardware)
    made, fitted, adapter = inputs.get("backbone"), inputs.get("fit"), inputs.get("adapter")
    graph, known = load_graph(inputs["prepare"], inputs["split"]), load_texts(inputs["prepare"])
    user = users.astype(np.int64)
    moments = build_views(
        graph,
        user,
        np.diff(graph.start)[user],
        shown,
        cfg.prompt.history,
        cfg.evaluation.positive_above,
    )
    asked = closed_questions(cfg, cfg.arm.target, cfg.arm.params, moments, known)
    tokenizer, model = (
        load.tokenizer(cfg.model, made),
        load.weights(cfg.model, made, adapter).merge_and_unload(),
    )
    if fitted:
        show_items(model, fitted, adapter)
    options = [tokenizer.encode(option, add_special_tokens=False) for option in asked[0].options]
    prompts = [encode_closed(tokenizer, q, fitted is not None) for q in asked]
    found = option_logprobs(
        model.to(device), tokenizer, prompts, options, cfg.baseline.adapt.batch_tokens
    )
    found -= np.logaddexp.reduce(found, 1, keepdims=True)  # among these answers
    return found[:, : shown.size // len(asked)].reshape(shown.shape)
