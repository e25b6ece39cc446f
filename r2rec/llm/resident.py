"""The one model that outlives its stage: vLLM's, which takes a minute to load and all of a GPU.

All arms of a run ask it, each with its own adapter. Whatever else works with torch in this process
makes it leave first (`runtime.settle`).
"""

import gc
from collections.abc import Callable
from typing import Any

_resident: list[tuple[dict[str, Any], Any]] = []  # (options, what was loaded with them)


def resident(load: Callable[..., Any], options: dict[str, Any]) -> Any:
    """What `load(**options)` gives, kept from an earlier call if that had the same options."""
    if _resident and _resident[0][0] == options:
        return _resident[0][1]
    release()
    loaded = load(**options)
    _resident.append((options, loaded))
    return loaded


def release() -> None:
    """Let go of what is kept, and of its memory on the GPU."""
    if not _resident:
        return
    _resident.clear()
    gc.collect()  # its processes and memory end with it
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
