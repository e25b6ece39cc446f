"""Stage `sft`: LoRA on accepted traces, the loss on thought and answer alone (section 3.3.1, equation 3)."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.llm import chat, load, runtime
from r2rec.train import card
from r2rec.train.common import (
    common_arguments,
    forgotten,
    gathered,
    lora,
    per_device,
    run_trainer,
    save_adapter,
)
from r2rec.train.probe import probes


@forgotten()
def sft(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write the adapter and log.parquet (step, loss, ...). Goes on from a checkpoint that a killed run left."""
    runtime.settle(cfg.hardware)
    from datasets import Dataset
    from trl import SFTTrainer

    made = inputs.get("backbone")
    tokenizer = load.tokenizer(cfg.model, made)
    rows = sft_examples(pl.read_parquet(inputs["think"] / "traces.parquet"), cfg.sft.samples)
    plain = [row for row in rows if not chat.spelled(tokenizer, row["prompt"] + row["completion"])]
    lengths = [_length(tokenizer, row) for row in plain]
    short = [
        row for row, length in zip(plain, lengths, strict=True) if length <= cfg.model.max_length
    ]
    if not short:
        raise R2RecError(
            f"no trace fits into model.max_length={cfg.model.max_length} tokens; raise it"
        )
    args = _arguments(
        cfg, folder
    )  # before the weights: under ZeRO-3 these are then loaded in parts
    trainer = SFTTrainer(
        model=load.weights(cfg.model, made, train=True),
        args=args,
        train_dataset=Dataset.from_list(short),
        processing_class=tokenizer,
        data_collator=unmasked(tokenizer.pad_token_id),
        peft_config=None if cfg.model.adapter else lora(cfg.model.lora),
    )
    log = run_trainer(trainer, "sft", folder, probes(cfg, inputs, tokenizer, "sft"))
    save_adapter(trainer.model, tokenizer, folder, cfg.model, gathered(trainer))
    losses = log["loss"].drop_nulls()
    left_out = {
        "traces longer than model.max_length": len(plain) - len(short),
        "traces that spell a control token of this model": len(rows) - len(plain),
    }
    facts = {
        "samples": len(short),
        "tokens": sum(length for length in lengths if length <= cfg.model.max_length),
        "steps": trainer.state.global_step,
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "notes": [f"{count} {what} were left out" for what, count in left_out.items() if count],
    }
    card.write_card(folder, "sft", cfg, inputs, facts)
    return facts


def sft_examples(traces: pl.DataFrame, samples: int) -> list[dict[str, chat.Messages]]:
    """The first accepted traces of each task, as TRL's prompt and completion conversations."""
    accepted = traces.filter("accepted")
    tasks = accepted["task"].unique(maintain_order=True)
    share = -(-samples // max(1, len(tasks)))
    taken = pl.concat([accepted.filter(pl.col("task") == t).head(share) for t in tasks]).head(
        samples
    )
    return [
        {"prompt": chat.user_turn(prompt), "completion": chat.assistant_turn(thought, answer)}
        for prompt, thought, answer in taken.select("prompt", "thought", "answer").iter_rows()
    ]


def unmasked(pad_token_id: int) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """TRL's collator with positions in place of the attention mask.

    Padding stands on the right, where a causal model's earlier tokens don't see it, and the loss skips it. Without a
    mask attention runs its causal kernel, which does half the work.
    """
    import torch
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    padded = DataCollatorForLanguageModeling(pad_token_id=pad_token_id)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch = padded(rows)
        shape = batch.pop("attention_mask").shape
        positions = (
            torch.arange(shape[1]).expand(shape).contiguous()
        )  # memory that rows share can't be pinned
        return batch | {"position_ids": positions}

    return collate


def _length(tokenizer: Any, row: dict[str, chat.Messages]) -> int:
    text = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
    return len(tokenizer.encode(text, add_special_tokens=False))


def _arguments(cfg: DictConfig, folder: Path) -> Any:
    from trl import SFTConfig

    group = cfg.sft
    at_once, times = per_device(group.batch_size, group.micro_batch_size, cfg.hardware.processes)
    return SFTConfig(
        **common_arguments(cfg, folder, seeds.integer(cfg.seed, "sft")),
        num_train_epochs=group.epochs,
        learning_rate=group.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=group.warmup,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=times,
        save_steps=group.save_steps,
        max_length=cfg.model.max_length,
        packing=False,
        completion_only_loss=True,
        dataset_num_proc=None,
    )
