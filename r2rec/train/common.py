"""What all trainers share: arguments, the training itself with its checkpoints, log and adapter."""

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from tqdm import tqdm

from r2rec.base import processes, signals
from r2rec.base.checkpoint import is_sealed
from r2rec.base.files import write_json
from r2rec.compat import trl as hooks
from r2rec.config import Hardware, Lora, Model
from r2rec.train.card import backbone_name
from r2rec.train.clock import Clock
from r2rec.train.listeners import OftenEnough, ProgressBar, SealedCheckpoints, StepLog, StopOnSignal

CHECKPOINTS = processes.CHECKPOINTS
SETTINGS = "adapter_config.json"  # of PEFT
Row = dict[str, Any]  # of a trainer's log


@contextmanager
def trainer_released() -> Iterator[None]:
    """Around a stage that trains: afterwards nothing of its trainer is left in the process.

    A later stage would load its model as this one's settings say, and vLLM takes whatever is free
    of a GPU when it starts.
    """
    try:
        yield
    finally:
        import torch

        hooks.forget_trainer()
        gc.collect()  # a trainer and its callbacks refer to each other
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def checkpoint_folder(hardware: Hardware, folder: Path) -> Path:
    """Where a stage's checkpoints are.

    Those of FSDP and ZeRO consist of parts that only the same strategy with as many processes can
    read, so they have a folder of their own.
    """
    shared = folder / CHECKPOINTS
    if hardware.processes == 1 or hardware.strategy == "ddp":
        return shared
    return shared / f"{hardware.strategy}-{hardware.processes}"


def newest_complete(folder: Path) -> str | None:
    """The newest checkpoint that is whole and unaltered, or None."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=_step_of, reverse=True)
    for path in newest_first:
        if is_sealed(path):
            return str(path)
    return None


def _step_of(checkpoint: Path) -> int:
    """The step in a name like checkpoint-20."""
    return int(checkpoint.name.split("-")[1])


def common_arguments(
    hardware: Hardware, folder: Path, seed: int, checkpointing: bool = False
) -> dict[str, Any]:
    """Arguments that all trainers take; defaults that change between releases are set here.

    Args:
        checkpointing: Whether activations are recomputed (`memory.checkpointed`).
    """
    from r2rec.llm.runtime import device

    on_cpu = device(hardware) == "cpu"
    return {
        "output_dir": str(checkpoint_folder(hardware, folder)),
        "seed": seed,
        "data_seed": seed,
        "use_cpu": on_cpu,
        "bf16": hardware.bf16 and not on_cpu,
        "optim": "adamw_torch",
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_total_limit": 2,
        "report_to": [],  # `StepLog` tells trackers what is logged, under the stage's name
        "disable_tqdm": True,
        "dataloader_pin_memory": not on_cpu,
        "dataloader_num_workers": 0,
        "activation_checkpointing": checkpointing,
    }


def per_device(batch: int, most: int, n_processes: int) -> tuple[int, int]:
    """How a batch is shared out over processes.

    Returns:
        The rows at once on a device, at most `most`, and how many times before a step.
    """
    each = batch // n_processes
    at_once = min(most, each)
    while each % at_once:
        at_once -= 1
    return at_once, each // at_once


def lora(spec: Lora) -> Any:
    """PEFT's configuration of a fresh adapter."""
    from peft import LoraConfig

    targets: str | list[str] = spec.targets
    if spec.targets != "all-linear":
        targets = spec.targets.split(",")
    return LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def run_trainer(
    trainer: Any, name: str, folder: Path, probes: Sequence[object] = ()
) -> pl.DataFrame:
    """Train with bar, clock and checkpoints, from the newest whole checkpoint if there is one.

    Args:
        name: The stage, for the bar and trackers.
        folder: The stage's; log.parquet is written there.
        probes: More listeners (`train.listeners`).

    Returns:
        The log: one row per logged step.

    Raises:
        Interrupted: A signal asked the run to end; a checkpoint of the last step is kept.
    """
    return write_log(train(trainer, name, folder, probes), folder)


def train(
    trainer: Any, name: str, folder: Path, probes: Sequence[object] = (), first_step: int = 0
) -> list[Row]:
    """As `run_trainer`, without writing the log.

    Args:
        first_step: Steps of the stage before this training; trackers count from there.
    """
    from transformers import PrinterCallback

    listeners = [
        ProgressBar(name),
        StepLog(name, Clock(trainer), first_step),
        OftenEnough(),
        SealedCheckpoints(),
        StopOnSignal(),
        *probes,
    ]
    trainer.remove_callback(PrinterCallback)
    for listener in listeners:
        trainer.add_callback(hooks.trainer_callback(listener))
    newest = newest_complete(Path(trainer.args.output_dir))
    if newest is None:
        _tell_of_other_strategies(Path(trainer.args.output_dir), folder)
    with signals.deferred():
        trainer.train(resume_from_checkpoint=newest)
    history: list[Row] = trainer.state.log_history
    return history


def _tell_of_other_strategies(output_dir: Path, folder: Path) -> None:
    """A note where there are checkpoints that this strategy cannot read."""
    if not processes.is_main():
        return
    for path in (folder / CHECKPOINTS).rglob("checkpoint-*"):
        if path.parent != output_dir:
            tqdm.write(
                f"  note: {path} is of another hardware.strategy and is not used: "
                "training starts anew"
            )
            return


def write_log(history: Sequence[Row], folder: Path) -> pl.DataFrame:
    """Write log.parquet, one row per logged step; a trainer's summary at the end is left out."""
    rows = [row for row in history if not hooks.is_summary(row)]
    log = pl.DataFrame(rows, infer_schema_length=None)
    log.write_parquet(folder / "log.parquet")
    return log


def save_adapter(
    model: Any, tokenizer: Any, folder: Path, base: Model, weights: dict[str, Any] | None = None
) -> None:
    """Write the trained adapter in PEFT's layout, and its tokenizer.

    The backbone is named as the configuration names it: the folder in which this machine keeps its
    weights would be of no use elsewhere. The adapted modules are sorted: PEFT keeps a set, so the
    same adapter would have other bytes each time.

    Args:
        weights: Whole weights by name (`hooks.whole_weights`); None: the model's own.
    """
    hooks.save_trained_adapter(model, folder, weights)
    tokenizer.save_pretrained(folder)
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    settings["base_model_name_or_path"] = backbone_name(base)
    if isinstance(settings["target_modules"], list):
        settings["target_modules"].sort()
    write_json(folder / SETTINGS, settings)
