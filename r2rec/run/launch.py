"""Starting several processes: what was composed once is frozen, and `accelerate launch` runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r2rec.base import processes
from r2rec.base.errors import R2RecError

ROLLOUTS = ("hf", "vllm", "server")
KINDS = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}
FSDP = {
    "fsdp_version": 2,
    "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "fsdp_reshard_after_forward": True,
    "fsdp_state_dict_type": "FULL_STATE_DICT",
    "fsdp_cpu_ram_efficient_loading": False,
    "fsdp_activation_checkpointing": False,  # the trainers' own is on
}


def refusals(hardware: DictConfig) -> Iterator[tuple[bool, str]]:
    """What cannot be started: whether it is asked for, and why not."""
    n, nodes = hardware.processes, hardware.nodes
    yield (
        n < 1 or nodes < 1 or n % nodes != 0,
        f"hardware.processes={n} cannot be shared out over {nodes} nodes",
    )
    yield (
        not 0 <= hardware.node < nodes,
        f"hardware.node={hardware.node}: nodes count from 0 to {nodes - 1}",
    )
    yield (
        not 0 <= hardware.port < 2**16,
        f"hardware.port={hardware.port} should be 1 to 65535, or 0 for any free one",
    )
    yield (
        nodes > 1 and not hardware.port,
        "several nodes need a port that all know: hardware.port=29500",
    )
    unknown = hardware.strategy not in KINDS
    yield unknown, f"hardware.strategy={hardware.strategy}; choose from {', '.join(KINDS)}"
    sharded = hardware.strategy != "ddp" and hardware.device == "cpu"
    yield (
        sharded,
        f"hardware.strategy={hardware.strategy} shares out the memory of GPUs; on a CPU there is ddp",
    )
    rollouts = hardware.rollouts
    yield (
        rollouts not in ROLLOUTS,
        f"hardware.rollouts={rollouts}; choose from {', '.join(ROLLOUTS)}",
    )
    yield (
        rollouts != "hf" and find_spec("vllm") is None,
        f"hardware.rollouts={rollouts} needs pip install 'r2rec[vllm]'",
    )
    homeless = rollouts == "server" and not hardware.vllm_server
    yield (
        homeless,
        "hardware.rollouts=server needs hardware.vllm_server=http://HOST:8000, where `trl vllm-serve` listens",
    )
    yield (
        not 0 < hardware.vllm_memory < 1,
        f"hardware.vllm_memory={hardware.vllm_memory} should be a share of 1",
    )
    missing = hardware.strategy.startswith("zero") and find_spec("deepspeed") is None
    yield (
        missing,
        f"hardware.strategy={hardware.strategy} needs DeepSpeed: pip install 'r2rec[deepspeed]'",
    )


def settings(hardware: DictConfig, port: int) -> dict[str, Any]:
    """What `accelerate launch --config_file` reads; DDP on a CPU is MULTI_GPU with `use_cpu`: MULTI_CPU starts one."""
    from r2rec.llm.runtime import device

    on_cpu, strategy = device(hardware) == "cpu", hardware.strategy
    known: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": KINDS[strategy],
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
    if strategy == "fsdp":
        known["fsdp_config"] = FSDP
    if strategy.startswith("zero"):
        stage = int(strategy[-1])
        known["deepspeed_config"] = {
            "zero_stage": stage, "zero3_init_flag": stage == 3, "zero3_save_16bit_model": stage == 3,
            "offload_optimizer_device": "none", "offload_param_device": "none", "gradient_clipping": "auto",
        }  # fmt: skip
    return known


def launch(cfg: DictConfig, folder: Path) -> None:
    """Run the pipeline on `cfg` in `hardware.processes` processes, and end as they do.

    Raises:
        R2RecError: They can't be started, or one of them ended in a user's mistake, or was killed.
    """
    for refused, why in refusals(cfg.hardware):
        if refused:
            raise R2RecError(why)
    with TemporaryDirectory() as name:
        place = Path(name)
        OmegaConf.save(
            OmegaConf.create({"cfg": OmegaConf.to_container(cfg, resolve=True)}),
            place / "frozen.yaml",
        )
        OmegaConf.save(
            OmegaConf.create(settings(cfg.hardware, _free_port())), place / "accelerate.yaml"
        )
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(place / "accelerate.yaml"),
                   "-m", "r2rec.worker", str(place / "frozen.yaml"), str(folder.absolute())]  # fmt: skip
        said, ours = (
            place / "stderr.txt",
            os.environ | {"R2REC_ERRORS": name, "PYTHONUNBUFFERED": "1"},
        )
        if sys.stderr.isatty():
            ours["R2REC_STDERR"] = os.ttyname(sys.stderr.fileno())
        with said.open("wb") as stream:
            running = subprocess.Popen(
                command, stderr=stream, env=ours, preexec_fn=processes.end_with_parent
            )
            status = _waited(running)
        if status:
            raise _failure(place, said.read_text(errors="replace"))


def _waited(running: subprocess.Popen[bytes]) -> int:
    """Its exit status; what interrupts us interrupts it, and we leave when it has."""
    try:
        return running.wait()
    except BaseException:
        running.terminate()
        running.wait()
        raise


def _failure(place: Path, said: str) -> Exception:
    """What ended the run: a mistake in its own words, or a kill, or what broke first."""
    told = [
        path.read_text()
        for path in sorted(place.glob("[0-9]*.txt"), key=lambda path: path.stat().st_mtime_ns)
    ]
    if mistakes := [text for text in told if text.startswith("error: ")]:
        return R2RecError(mistakes[0].removeprefix("error: "))
    ends = [
        (rank, int(n))
        for rank, n in re.findall(r"rank\s*:\s*(\d+).*\n\s*exitcode\s*:\s*-(\d+)", said)
    ]
    if killed := [
        end for end in ends if end[1] != signal.SIGTERM
    ]:  # by that the launcher ends the others
        rank, number = killed[0]
        why = f"process {rank} was killed ({signal.Signals(number).name})"
        return R2RecError(
            f"{why}, and the run with it; the same command goes on from its last checkpoint"
        )
    return RuntimeError(told[0] if told else said[-4000:])


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
