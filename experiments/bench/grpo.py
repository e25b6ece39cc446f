"""Where a GRPO step's time goes, and our step beside a bare TRL script's on the same model, prompts and sizes.

    python experiments/bench/grpo.py [--steps 6] [--repeats 3] [override ...]

Both run with a learning rate of nothing on the same prompts in the same order: the policy stays as it is, and steps are
paired. Rollouts are drawn apart.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from r2rec import config, pipeline
from r2rec.__main__ import CONF


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cfg = configured(given.overrides, given.steps)
        made = prepared(cfg, folder)
        logs, bare = [], []
        for n in range(given.repeats):
            logs.append(our_run(cfg, made, folder / f"ours-{n}"))
            bare += bare_run(cfg, made, folder / f"bare-{n}")
    log = pl.concat(logs)
    ours = log["step_time"].to_list()
    print(f"step of ours: {statistics.median(ours):.2f} s, {len(ours)} steps of {cfg.rl.prompts_per_step} x "
          f"{cfg.rl.group_size} rollouts")  # fmt: skip
    shares = {name.removeprefix("seconds/"): log[name].sum() / log["seconds"].sum() for name in log.columns
              if name.startswith("seconds/")}  # fmt: skip
    for part, share in (shares | {"the rest": 1 - sum(shares.values())}).items():
        print(f"  {part:20}{share:6.1%}")
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    print(f"bare TRL script: {statistics.median(bare):.2f} s; ours / bare, paired by step: "
          f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip


def configured(overrides: list[str], steps: int) -> DictConfig:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides)
    cfg.rl.learning_rate, cfg.rl.samples = 1e-12, steps * cfg.rl.prompts_per_step
    return cfg


def prepared(cfg: DictConfig, folder: Path) -> dict[str, Path]:
    """Folders of the artefacts that `rl` reads."""
    cfg.until, cfg.artefacts = "sft", str(folder / "store")
    pipeline.run(cfg, folder / "run")
    return {path.parent.name: path for path in (folder / "store").glob("*/*") if path.is_dir()}


def our_run(cfg: DictConfig, made: dict[str, Path], folder: Path) -> pl.DataFrame:
    """The log of our steps but the first, which warms up: `step_time`, `seconds` and its parts."""
    from r2rec.train.rl import rl

    folder.mkdir()
    rl(cfg, made, folder)
    return pl.read_parquet(folder / "log.parquet").drop_nulls("step_time")[1:]


def bare_run(cfg: DictConfig, made: dict[str, Path], folder: Path) -> list[float]:
    """Seconds of the steps, but the first, of what one writes with TRL's documentation at hand."""
    from datasets import Dataset
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import GRPOConfig, GRPOTrainer

    from r2rec.llm import chat, load
    from r2rec.prompts.render import render_prompt
    from r2rec.train.rl import _tasks

    where, group = load.source_of(cfg.model, made.get("backbone")), cfg.rl
    tokenizer = AutoTokenizer.from_pretrained(made["sft"])
    tasks, _ = _tasks(cfg, made, tokenizer)
    rows = [
        {"prompt": chat.user_turn(render_prompt(t.case, cfg.prompt, cfg.dataset.words))}
        for t in tasks
    ]

    def length(completions: list, **_: Any) -> list[float]:
        return [float(len(c[-1]["content"])) for c in completions]

    trainer = GRPOTrainer(
        model=PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(where), made["sft"], is_trainable=True),
        reward_funcs=length,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        args=GRPOConfig(
            output_dir=str(folder), use_cpu=True, bf16=False, learning_rate=1e-12, num_generations=group.group_size,
            per_device_train_batch_size=group.micro_batch_size, max_completion_length=group.max_new_tokens,
            gradient_accumulation_steps=group.prompts_per_step * group.group_size // group.micro_batch_size,
            temperature=group.temperature, top_p=group.top_p, loss_type=group.loss, beta=group.beta, num_train_epochs=1,
            logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, activation_checkpointing=False,
            seed=pipeline_seed(cfg), data_seed=pipeline_seed(cfg), lr_scheduler_type="constant", optim="adamw_torch",
        ),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return [row["step_time"] for row in trainer.state.log_history if "step_time" in row][1:]


def pipeline_seed(cfg: DictConfig) -> int:
    from r2rec.base import seeds

    return seeds.integer(cfg.seed, "rl")


if __name__ == "__main__":
    main()
