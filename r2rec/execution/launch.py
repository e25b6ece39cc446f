"""Starting several processes: `accelerate launch` runs what was composed once and then frozen."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r2rec.base import processes
from r2rec.base.errors import R2RecError
from r2rec.base.provenance import COMPOSITION, composition
from r2rec.config import Hardware
from r2rec.execution.own_folders import own_folders
from r2rec.execution.rules import checked_config

DISTRIBUTED = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
FSDP = {
    "fsdp_version": 2,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_reshard_after_forward": True,
    "fsdp_state_dict_type": "FULL_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
    "fsdp_activation_checkpointing": False,  # the trainers' own is on
}
# A worker's end in accelerate's log: "rank : 1 (local_rank: 1)\n  exitcode : -9 (pid: 123)"
WORKER_END = re.compile(r"rank\s*:\s*(\d+).*\n\s*exitcode\s*:\s*-(\d+)")
MAX_LOG = 4000  # characters of a failed launch's log that are shown


def accelerate_settings(hardware: Hardware, port: int) -> dict[str, Any]:
    """The file that `accelerate launch --config_file` reads.

    DDP on a CPU is MULTI_GPU with `use_cpu`: MULTI_CPU would start one process.
    """
    from r2rec.llm.runtime import device

    on_cpu = device(hardware) == "cpu"
    settings: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": DISTRIBUTED[hardware.strategy],
        "use_cpu": on_cpu,
        "mixed_precision": "bf16" if hardware.bf16 and not on_cpu else "no",
        "num_processes": hardware.processes,
        "num_machines": hardware.nodes,
        "machine_rank": hardware.node,
        "main_process_ip": hardware.address,
        "main_process_port": hardware.port or port,
        "main_training_function": "main",
        "rdzv_backend": "static",
        "same_network": True,
    }
    if hardware.strategy == "fsdp":
        settings["fsdp_config"] = FSDP
    if hardware.strategy.startswith("zero"):
        stage = int(hardware.strategy[-1])
        settings["deepspeed_config"] = {
            "zero_stage": stage,
            "zero3_init_flag": stage == 3,
            "zero3_save_16bit_model": stage == 3,
            "offload_optimizer_device": "none",
            "offload_param_device": "none",
            "gradient_clipping": "auto",
        }
    return settings


def launch(cfg: DictConfig, folder: Path) -> None:
    """Run `cfg` in `hardware.processes` processes, and end as they do.

    Args:
        folder: The run's folder.

    Raises:
        R2RecError: They cannot be started, or one of them met a user's mistake or was killed.
    """
    hardware = checked_config(cfg).hardware
    with TemporaryDirectory() as name:
        place = Path(name)
        frozen = OmegaConf.create({"cfg": OmegaConf.to_container(cfg, resolve=True)})
        OmegaConf.save(frozen, place / "frozen.yaml")
        settings = accelerate_settings(hardware, _free_port())
        OmegaConf.save(OmegaConf.create(settings), place / "accelerate.yaml")
        log = place / "stderr.txt"
        with log.open("wb") as stream:
            running = subprocess.Popen(
                _command(place, folder),
                stderr=stream,
                env=_environment(place),
                preexec_fn=processes.terminate_with_parent,
            )
            status = _wait(running)
        if status:
            raise _failure(place, log.read_text(errors="replace"))


def _command(place: Path, folder: Path) -> list[str]:
    return [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(place / "accelerate.yaml"),
        "-m",
        "r2rec.worker",
        str(place / "frozen.yaml"),
        str(folder.absolute()),
    ]


def _environment(place: Path) -> dict[str, str]:
    from r2rec.llm.runtime import unpinned

    variables = unpinned(os.environ) | {"R2REC_ERRORS": str(place), "PYTHONUNBUFFERED": "1"}
    variables[COMPOSITION] = json.dumps(composition())
    found_in = [variables.get("PYTHONPATH"), *map(str, own_folders())]
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, found_in))
    if sys.stderr.isatty():
        variables["R2REC_STDERR"] = os.ttyname(sys.stderr.fileno())
    return variables


def _wait(running: subprocess.Popen[bytes]) -> int:
    """The exit status; what interrupts this process ends the others first."""
    try:
        return running.wait()
    except BaseException:
        running.terminate()
        running.wait()
        raise


def _failure(place: Path, log: str) -> Exception:
    """What ended the run: a user's mistake, a kill, or the first error."""
    reports = sorted(place.glob("[0-9]*.txt"), key=lambda path: path.stat().st_mtime_ns)
    texts = [path.read_text() for path in reports]
    for text in texts:
        if text.startswith("error: "):
            return R2RecError(text.removeprefix("error: "))
    for rank, number in WORKER_END.findall(log):
        if int(number) != signal.SIGTERM:  # by which the launcher ends the others
            name = signal.Signals(int(number)).name
            return R2RecError(
                f"process {rank} was killed ({name}), and the run with it; "
                "the same command continues from its last checkpoint"
            )
    return RuntimeError(texts[0] if texts else log[-MAX_LOG:])


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
