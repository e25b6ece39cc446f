"""Device, threads and silence: settled before any stage works with torch."""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from r2rec.base import cores
from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream
from r2rec.config import Hardware
from r2rec.llm import resident

if TYPE_CHECKING:
    import torch

M_MMAP_THRESHOLD = -3  # of mallopt(3)
M_TRIM_THRESHOLD = -1
# The user's word on threads, and the launcher's, whose processes would count each other as others
THREADS_SET = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "LOCAL_RANK")
VISIBLE = "CUDA_VISIBLE_DEVICES"
ALL_GPUS = (
    "R2REC_ALL_GPUS"  # what VISIBLE was before a run of one process took the first; "": unset
)


def settle(hardware: Hardware) -> "torch.device":
    """Set threads, silence the libraries, and return the torch device of `hardware`.

    Raises:
        R2RecError: This machine has no such device.
    """
    pin_one_gpu(hardware)
    cores.wait_asleep()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import datasets
    import torch

    datasets.disable_progress_bars()
    upstream.silence()
    resident.release()
    name = device(hardware)
    if name == "cpu":
        _keep_freed_memory()
    if _cuda_in_use():  # otherwise this call would put every process on the first GPU
        torch.cuda.reset_peak_memory_stats()  # forget the peaks of earlier stages and jobs
    if hardware.threads:
        torch.set_num_threads(hardware.threads)
    elif not any(name in os.environ for name in THREADS_SET):
        torch.set_num_threads(cores.free_cores())
    return torch.device(name)


def device(hardware: Hardware) -> str:
    """The name of the device: `hardware.device`, where `auto` is the best one of this machine.

    Raises:
        R2RecError: This machine has no such device.
    """
    pin_one_gpu(hardware)
    import torch

    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if hardware.device == "auto":
        return next(name for name, usable in available.items() if usable)
    if not available[hardware.device]:
        raise R2RecError(
            f"hardware.device={hardware.device}: torch finds no such device on this machine; "
            "try hardware=cpu"
        )
    return hardware.device


def computed_dtype(dtype: str, device: "torch.device | str") -> str:
    """The type that weights stored as `dtype` compute in: float32 on a CPU that lacks the other.

    Such a CPU multiplies matrices of bfloat16 or float16 number by number, seven times as slowly
    as those of float32 where it was measured.
    """
    import torch

    if torch.device(device).type != "cpu" or dtype == "float32":
        return dtype
    has_units = {
        "bfloat16": torch.ops.mkldnn._is_mkldnn_bf16_supported,
        "float16": torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return dtype if has_units[dtype]() else "float32"


def pin_one_gpu(hardware: Hardware) -> None:
    """Let a run of one process see its first GPU alone, before torch looks for any.

    TRL refuses to train where one process sees several, and transformers would share out batches.
    """
    if hardware.processes > 1 or "LOCAL_RANK" in os.environ:
        return
    visible = os.environ.get(VISIBLE)
    if visible is None or "," in visible:
        os.environ[ALL_GPUS] = "" if visible is None else visible
        os.environ[VISIBLE] = (visible or "0").split(",")[0]


def unpinned(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment as it was before `pin_one_gpu`, for a run of several processes."""
    variables = dict(environment)
    before = variables.pop(ALL_GPUS, None)
    if before == "":
        del variables[VISIBLE]
    elif before is not None:
        variables[VISIBLE] = before
    return variables


def gpu_memory() -> dict[str, float]:
    """`memory_gb`: the peak of GPU memory in tensors since `settle`; empty where no GPU is used."""
    if not _cuda_in_use():
        return {}
    import torch

    peak = torch.cuda.max_memory_allocated()
    if not peak:
        return {}
    return {"memory_gb": peak / 1e9}


def _cuda_in_use() -> bool:
    """Whether this process has used a GPU; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def _keep_freed_memory() -> None:
    """Let glibc keep large freed blocks.

    To give them back and map them anew at each step takes a third of the time.
    """
    if platform.system() == "Linux" and platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, 2**30)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
