"""Where the time of a GRPO step goes, and the same step in a bare TRL script.

    python experiments/bench/grpo.py [--steps 6] [--repeats 3] [override ...]

Both train the same model on the same prompts in the same order. The learning rate is nearly 0, so
the policy stays the same and steps can be compared in pairs. Each draws its own rollouts.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from composing import artefacts, composed
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.config import Config
from r2rec.config.slices import RlSlice, cut
from r2rec.execution.rules import checked_config

LEARNING_RATE = 1e-12
PART = "seconds/"  # prefix of the log's columns with the parts of a step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    args = parser.parse_args()
    cfg = configured(args.overrides, args.steps)
    config = checked_config(cfg)
    logs = []
    bare_seconds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = artefacts(cfg, folder / "store", folder / "run", until="sft")
        for number in range(args.repeats):
            logs.append(our_run(config, inputs, folder / f"ours-{number}"))
            bare_seconds += bare_run(config, inputs, folder / f"bare-{number}")
    show(config, pl.concat(logs), bare_seconds)


def show(config: Config, log: pl.DataFrame, bare_seconds: Sequence[float]) -> None:
    """Print the median step, the shares of its parts, and the comparison."""
    our_seconds = log["step_time"].to_list()
    print(
        f"step of ours: {statistics.median(our_seconds):.2f} s, {len(our_seconds)} steps of "
        f"{config.rl.prompts_per_step} x {config.rl.group_size} rollouts"
    )
    shares = {}
    for column in log.columns:
        if column.startswith(PART):
            shares[column.removeprefix(PART)] = log[column].sum() / log["seconds"].sum()
    shares["the rest"] = 1 - sum(shares.values())
    for part, share in shares.items():
        print(f"  {part:20}{share:6.1%}")
    ratios = []
    for ours, bare in zip(our_seconds, bare_seconds, strict=True):
        ratios.append(ours / bare)
    print(
        f"bare TRL script: {statistics.median(bare_seconds):.2f} s; ours / bare, paired by step: "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    )


def configured(overrides: Sequence[str], steps: int) -> DictConfig:
    """The configuration with this many GRPO steps."""
    cfg = composed(*overrides)
    cfg.rl.learning_rate = LEARNING_RATE
    cfg.rl.samples = steps * cfg.rl.prompts_per_step
    return cfg


def our_run(config: Config, inputs: dict[str, Path], folder: Path) -> pl.DataFrame:
    """The log of our steps without the first, which is a warm-up.

    Columns: `step_time`, `seconds` and its parts.
    """
    from r2rec.train.rl import rl

    folder.mkdir()
    rl(cut(RlSlice, config), inputs, Workspace(folder, config.hardware, folder / "responses"))
    log = pl.read_parquet(folder / "log.parquet").drop_nulls("step_time")
    return log[1:]


def bare_run(config: Config, inputs: dict[str, Path], folder: Path) -> list[float]:
    """Seconds of each step without the first, in a script as TRL's documentation suggests it."""
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import GRPOTrainer

    from r2rec.llm import load
    from r2rec.train.rl import rl_prompts

    tokenizer = AutoTokenizer.from_pretrained(inputs["sft"])
    asked = rl_prompts(cut(RlSlice, config), inputs, tokenizer)
    prompts = [{"prompt": row["prompt"]} for row in asked.rows]
    source = load.source_of(config.model, inputs.get("backbone"))
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(source), inputs["sft"], is_trainable=True
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=length_reward,
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        args=bare_arguments(config, folder),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    seconds = [row["step_time"] for row in trainer.state.log_history if "step_time" in row]
    return seconds[1:]


def length_reward(completions: list[Any], **_: Any) -> list[float]:
    """A reward that costs no time."""
    return [float(len(messages[-1]["content"])) for messages in completions]


def bare_arguments(config: Config, folder: Path) -> Any:
    """The sizes of our run in TRL's arguments."""
    from trl import GRPOConfig

    spec = config.rl
    rollouts = spec.prompts_per_step * spec.group_size
    seed = seeds.integer(config.seed, "rl")
    return GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        learning_rate=LEARNING_RATE,
        num_generations=spec.group_size,
        per_device_train_batch_size=spec.micro_batch_size,
        max_completion_length=spec.max_new_tokens,
        gradient_accumulation_steps=rollouts // spec.micro_batch_size,
        temperature=spec.temperature,
        top_p=spec.top_p,
        loss_type=spec.loss,
        beta=spec.beta,
        num_train_epochs=1,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        activation_checkpointing=False,
        seed=seed,
        data_seed=seed,
        lr_scheduler_type="constant",
        optim="adamw_torch",
    )


if __name__ == "__main__":
    main()
