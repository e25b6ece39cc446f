"""Device, threads and quiet: what every stage that touches torch settles first."""

import ctypes
import os
import platform
import sys
import warnings

from omegaconf import DictConfig

from r2rec.base.errors import R2RecError


def settle(hardware: DictConfig):  # type: ignore[no-untyped-def]
    """Set threads, hush the libraries' own chatter, and return the torch device."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import datasets
    import torch
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    transformers.logging.disable_default_handler()
    warnings.filterwarnings(
        "ignore", message=".*gradient_checkpointing.* is deprecated", category=FutureWarning
    )
    import r2rec.llm.cache  # noqa: F401

    if device(hardware) == "cpu":
        _keep_freed_memory()
    if torch.cuda.is_initialized():  # before, it would take each process to the first GPU
        torch.cuda.reset_peak_memory_stats()  # earlier stages and jobs had theirs
    if hardware.threads:
        torch.set_num_threads(hardware.threads)
    return torch.device(device(hardware))


def device(hardware: DictConfig) -> str:
    """`hardware.device`, with `auto` as the best there is."""
    import torch

    found = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if hardware.device == "auto":
        return next(name for name, there in found.items() if there)
    if not found[hardware.device]:
        raise R2RecError(
            f"hardware.device={hardware.device}: this machine has none that torch can use; try hardware=cpu"
        )
    return hardware.device


def gpu_memory() -> dict[str, float]:
    """The most memory of the GPU that this process's tensors had at once since `settle`, in GB; nothing without any."""
    torch = sys.modules.get("torch")
    most = torch.cuda.max_memory_allocated() if torch and torch.cuda.is_initialized() else 0
    return {"memory_gb": most / 1e9} if most else {}


def _keep_freed_memory() -> None:
    """Have glibc keep large freed blocks: given back and mapped anew at each step, they cost a third of the time."""
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
