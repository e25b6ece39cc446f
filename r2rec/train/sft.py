"""Stage `sft`: LoRA on accepted traces (section 3.3.1, equation 3).

The loss is on thought and answer alone, not on the prompt.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.compat import trl as hooks
from r2rec.config import Model
from r2rec.config.slices import SftSlice
from r2rec.llm import chat, load, runtime, turns
from r2rec.train.common import (
    common_arguments,
    lora,
    per_device,
    run_trainer,
    save_adapter,
    trainer_released,
)
from r2rec.train.memory import checkpointed
from r2rec.train.probe import probes

IGNORED = -100  # a label that the loss skips

Trace = tuple[str, str | None, str]  # prompt, thought, answer
Example = dict[str, list[int]]  # "input_ids" and "labels", as TRL reads them


@trainer_released()
def sft(choices: SftSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Train on accepted traces; write the adapter and log.parquet (step, loss, ...).

    A killed run goes on from its newest checkpoint.

    Returns:
        samples, tokens (of all samples), steps, and the first and last loss.

    Raises:
        R2RecError: No trace fits into the model.
    """
    device = runtime.settle(work.hardware)
    from datasets import Dataset
    from trl import SFTTrainer

    backbone = inputs.get("backbone")
    tokenizer = load.tokenizer(choices.model, backbone)
    traces = pl.read_parquet(inputs["think"] / "traces.parquet")
    taken = sft_traces(traces, choices.sft.samples)
    examples, notes = sft_examples(taken, tokenizer, choices.model)
    peft_config = None
    if choices.model.adapter is None:
        peft_config = lora(choices.model.lora)
    longest = max(len(example["input_ids"]) for example in examples)
    # before the weights: ZeRO-3 settings make them load in parts
    args = _arguments(choices, work, backbone, longest)
    trainer = SFTTrainer(
        model=load.weights(choices.model, backbone, train=True, device=device),
        args=args,
        train_dataset=Dataset.from_list(examples),
        processing_class=tokenizer,
        data_collator=unmasked(tokenizer.pad_token_id),
        peft_config=peft_config,
    )
    listeners = probes(choices, inputs, tokenizer, "sft")
    log = run_trainer(trainer, "sft", work.folder, listeners)
    weights = hooks.whole_weights(trainer)
    save_adapter(trainer.model, tokenizer, work.folder, choices.model, weights)
    losses = log["loss"].drop_nulls()
    return {
        "samples": len(examples),
        "tokens": sum(len(example["input_ids"]) for example in examples),
        "steps": trainer.state.global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "notes": notes,
    }


def sft_traces(traces: pl.DataFrame, samples: int) -> list[Trace]:
    """The first accepted traces.

    Each kind of task (column `task`) gets the same share of the samples.
    """
    accepted = traces.filter("accepted")
    tasks = accepted["task"].unique(maintain_order=True)
    share = -(-samples // max(1, len(tasks)))  # rounded up
    parts = [accepted.filter(pl.col("task") == task).head(share) for task in tasks]
    taken = pl.concat(parts).head(samples)
    return taken.select("prompt", "thought", "answer").rows()


def sft_examples(
    traces: list[Trace], tokenizer: Any, model: Model
) -> tuple[list[Example], list[str]]:
    """The examples to train on, with labels on the reply alone, and notes on traces left out.

    Raises:
        R2RecError: None is short enough, or the labels of one do not read as its trace.
    """
    examples: list[Example] = []
    n_spelled = 0
    n_long = 0
    for prompt, thought, answer in traces:
        conversation = chat.user_turn(prompt) + chat.assistant_turn(thought, answer)
        if chat.spelled(tokenizer, conversation):
            n_spelled += 1
            continue
        before, reply = turns.learnt(tokenizer, prompt, thought, answer)
        if len(before) + len(reply) > model.max_length:
            n_long += 1
            continue
        labels = [IGNORED] * len(before) + reply
        if not examples:
            _check_labels(labels, thought, answer, tokenizer, model)
        examples.append({"input_ids": before + reply, "labels": labels})
    if not examples:
        raise R2RecError(f"no trace fits into model.max_length={model.max_length} tokens; raise it")
    notes = []
    if n_long:
        notes.append(f"{n_long} traces longer than model.max_length were left out")
    if n_spelled:
        notes.append(f"{n_spelled} traces that spell a control token of this model were left out")
    return examples, notes


def _check_labels(
    labels: list[int], thought: str | None, answer: str, tokenizer: Any, model: Model
) -> None:
    """Refuse labels that do not read as the thought and the answer of their trace."""
    learnt = [token for token in labels if token != IGNORED]
    text = turns.text_of(tokenizer, learnt, [turns.end_token(tokenizer)])
    if not turns.says(text, thought, answer):
        raise R2RecError(
            f"sft would teach {text[:60]!r}... in the place of thought and answer: the chat "
            f"template of model.path={model.path} does not fit; give model.chat_template=FILE"
        )


def unmasked(pad_token_id: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """TRL's collator with positions in the place of the attention mask.

    Padding is on the right, where earlier tokens of a causal model do not see it, and the loss
    skips it. Without a mask attention runs its causal kernel, which does half the work.
    """
    import torch

    padded = hooks.completion_collator(pad_token_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = padded(rows)
        shape = batch.pop("attention_mask").shape
        positions = torch.arange(shape[1]).expand(shape)
        # rows of their own: memory that rows share cannot be pinned
        return {**batch, "position_ids": positions.contiguous()}

    return collate


def _arguments(choices: SftSlice, work: Workspace, backbone: Path | None, longest: int) -> Any:
    from trl import SFTConfig

    spec = choices.sft
    at_once, times = per_device(spec.batch_size, spec.micro_batch_size, work.hardware.processes)
    seed = seeds.integer(choices.seed, "sft")
    checkpointing = checkpointed(work.hardware, choices.model, backbone, at_once * longest)
    return SFTConfig(
        **common_arguments(work.hardware, work.folder, seed, checkpointing),
        train_sampling_strategy="group_by_length" if spec.group_by_length else "random",
        num_train_epochs=spec.epochs,
        learning_rate=spec.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=spec.warmup,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=times,
        save_steps=spec.save_steps,
        max_length=choices.model.max_length,
        packing=False,
        dataset_num_proc=None,
    )
