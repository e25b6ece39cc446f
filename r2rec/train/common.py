"""What SFT and GRPO share: where checkpoints lie, which one to go on from, and the log they leave."""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig
from tqdm import tqdm

from r2rec.base import processes, tracking
from r2rec.base.checkpoint import is_sealed, seal
from r2rec.base.store import write_json
from r2rec.train.card import backbone_name
from r2rec.train.clock import Clock

CHECKPOINTS = "checkpoints"


@contextmanager
def forgotten() -> Iterator[None]:
    """Around a stage that trains (a decorator): what libraries keep of its trainer for the whole process is let go.

    transformers would load a later model in parts, as ZeRO-3 had it; vLLM takes what is free of a GPU when it starts.
    """
    try:
        yield
    finally:
        import torch
        from accelerate.state import AcceleratorState
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        AcceleratorState._reset_state()
        gc.collect()  # a trainer and its callbacks refer to each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def checkpoints(hardware: DictConfig, folder: Path) -> Path:
    """Where a stage's checkpoints lie; those in parts apart: no other strategy reads them, nor as many processes."""
    in_parts = hardware.processes > 1 and hardware.strategy != "ddp"
    return folder / CHECKPOINTS / (f"{hardware.strategy}-{hardware.processes}" if in_parts else "")


def newest_complete(folder: Path) -> str | None:
    """The newest checkpoint that is whole and as it was written, or None; others are left alone."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda p: -int(p.name.split("-")[1]))
    return next((str(path) for path in newest_first if is_sealed(path)), None)


def common_arguments(cfg: DictConfig, folder: Path, seed: int) -> dict[str, Any]:
    """Arguments both trainers take; those that drift between releases are pinned here."""
    from r2rec.llm.runtime import device

    on_cpu = device(cfg.hardware) == "cpu"
    return {
        "output_dir": str(checkpoints(cfg.hardware, folder)),
        "seed": seed,
        "data_seed": seed,
        "use_cpu": on_cpu,
        "bf16": cfg.hardware.bf16 and not on_cpu,
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_total_limit": 2,
        "report_to": [],  # `track` tells trackers what is logged, each stage on its own steps
        "disable_tqdm": True,
        "dataloader_pin_memory": not on_cpu,
        "dataloader_num_workers": 0,
        "activation_checkpointing": not on_cpu,  # memory is what a GPU is short of; time is what a CPU is
    }


def per_device(batch: int, most: int, processes: int) -> tuple[int, int]:
    """(rows at once on a device, how often before a step) that make up a batch over all processes; at most `most`."""
    each = batch // processes
    at_once = max(n for n in range(1, min(most, each) + 1) if each % n == 0)
    return at_once, each // at_once


def write_log(history: list[dict[str, Any]], folder: Path) -> pl.DataFrame:
    """One row per logged step, to log.parquet; the summary rows at the end are left out."""
    rows = [row for row in history if "train_runtime" not in row]
    log = pl.DataFrame(rows, infer_schema_length=None)
    log.write_parquet(folder / "log.parquet")
    return log


def gathered(trainer: Any) -> dict[str, Any]:
    """The trained weights, whole, where each process may hold a part of them; all processes ask together."""
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def save_adapter(
    model: Any, tokenizer: Any, folder: Path, base: DictConfig, weights: Any = None
) -> None:
    """The trained adapter, in PEFT's layout, without the frozen reference that TRL keeps beside it.

    Its base is named as the configuration names it: where this machine keeps the weights is of no use elsewhere.
    """
    model.save_pretrained(folder, selected_adapters=["default"], state_dict=weights)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's own; ours is `card.write`
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = backbone_name(base)
    write_json(folder / "adapter_config.json", settings)


def lora(cfg: DictConfig) -> Any:
    """A fresh adapter's configuration."""
    from peft import LoraConfig

    return LoraConfig(
        r=cfg.r,
        lora_alpha=cfg.alpha,
        lora_dropout=cfg.dropout,
        target_modules=cfg.targets if cfg.targets == "all-linear" else cfg.targets.split(","),
        task_type="CAUSAL_LM",
    )


def run_trainer(trainer: Any, name: str, folder: Path, probes: Sequence[Any] = ()) -> pl.DataFrame:
    """Run a trainer, from its newest complete checkpoint where there is one, with one bar and a clock; its log."""
    from transformers import PrinterCallback, TrainerCallback

    class Bar(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = tqdm(
                total=state.max_steps,
                initial=state.global_step,
                desc=name,
                leave=False,
                disable=None,
            )

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update()
            self.taken = clock.taken()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "train_runtime" not in (logs or {}):
                state.log_history[-1] |= self.taken
            tracking.log_step(name, state.global_step, logs or {})

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            processes.wait_for_all()  # each process writes a part
            if state.is_world_process_zero:
                seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    clock = Clock(trainer)
    trainer.remove_callback(PrinterCallback)
    for callback in (Bar, *probes):
        trainer.add_callback(callback)
    own = Path(trainer.args.output_dir)
    newest = newest_complete(own)
    others = [path for path in (folder / CHECKPOINTS).rglob("checkpoint-*") if path.parent != own]
    if others and not newest and processes.is_main():
        tqdm.write(
            f"  note: {others[0]} is of another hardware.strategy and is not used: training starts anew"
        )
    trainer.train(resume_from_checkpoint=newest)
    return write_log(trainer.state.log_history, folder)
