"""Hardware settings that cannot be started, and packages that they need."""

from collections.abc import Iterator
from importlib.util import find_spec

from r2rec.config import Hardware


def hardware_rules(hardware: Hardware) -> Iterator[str]:
    """What is wrong with the settings, one line each."""
    processes = hardware.processes
    nodes = hardware.nodes
    if processes < 1 or nodes < 1 or processes % nodes != 0:
        yield f"hardware.processes={processes} cannot be shared out over {nodes} nodes"
    if not 0 <= hardware.node < nodes:
        yield f"hardware.node={hardware.node}: nodes count from 0 to {nodes - 1}"
    if not 0 <= hardware.port < 2**16:
        yield f"hardware.port={hardware.port} should be 1 to 65535, or 0 for any free one"
    if nodes > 1 and not hardware.port:
        yield "several nodes need a port that all know: hardware.port=29500"
    if hardware.strategy != "ddp" and hardware.device == "cpu":
        yield (
            f"hardware.strategy={hardware.strategy} shares out the memory of GPUs; "
            "on a CPU there is ddp"
        )
    if hardware.strategy.startswith("zero") and find_spec("deepspeed") is None:
        yield (
            f"hardware.strategy={hardware.strategy} needs DeepSpeed: pip install 'r2rec[deepspeed]'"
        )
    yield from _rollout_rules(hardware)


def _rollout_rules(hardware: Hardware) -> Iterator[str]:
    rollouts = hardware.rollouts
    if rollouts != "hf" and find_spec("vllm") is None:
        yield f"hardware.rollouts={rollouts} needs pip install 'r2rec[vllm]'"
    if rollouts != "hf" and hardware.strategy in ("fsdp", "zero3"):
        yield (
            f"hardware.rollouts={rollouts} with hardware.strategy={hardware.strategy} has not been "
            "run yet, and TRL does not test it with an adapter: use hardware=ddp, or rollouts=hf"
        )
    if rollouts == "server" and not hardware.vllm_server:
        yield (
            "hardware.rollouts=server needs hardware.vllm_server=http://HOST:8000, "
            "where `trl vllm-serve` listens"
        )
