"""Device, threads and quiet: what every stage that touches torch settles first."""

import os
import warnings

from omegaconf import DictConfig


def settle(hardware: DictConfig):  # type: ignore[no-untyped-def]
    """Set threads, hush the libraries' own chatter, and return the torch device."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", message=".*pin_memory.*", category=UserWarning)
    if hardware.threads:
        torch.set_num_threads(hardware.threads)
    return torch.device(device(hardware))


def device(hardware: DictConfig) -> str:
    """`hardware.device`, with `auto` as the best there is."""
    import torch

    if hardware.device != "auto":
        return hardware.device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
