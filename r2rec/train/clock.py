"""Where a trainer's time goes: seconds of its parts, step by step, for its log."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from r2rec.compat import trl as hooks
from r2rec.llm.runtime import gpu_memory


class Clock:
    """Measures the parts of a trainer's steps (`hooks.GRPO_PARTS`, and "backward")."""

    def __init__(self, trainer: Any) -> None:
        self._spent: dict[str, float] = defaultdict(float)  # seconds in this step, by part
        missing = hooks.time_methods(trainer, self._timed)
        for part in missing:
            tqdm.write(
                f"  note: the log has no seconds/{part}: TRL {hooks.trl_version()} does that part "
                "under another name (r2rec/compat/trl.py)"
            )
        self._begin = _now()

    def start(self) -> None:
        """A step begins."""
        self._spent.clear()
        self._begin = _now()

    def read(self) -> dict[str, float]:
        """Columns for the log of the step that began at `start`.

        Returns:
            `seconds` of the step, `seconds/PART` of its parts, and on a GPU `memory_gb`, the most
            memory in use.
        """
        columns = {"seconds": _now() - self._begin}
        for part, seconds in self._spent.items():
            columns[f"seconds/{part}"] = seconds
        return columns | gpu_memory()

    def _timed(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            begin = _now()
            try:
                return method(*arguments, **options)
            finally:
                self._spent[part] += _now() - begin

        return call


def _now() -> float:
    """Seconds, once a GPU has done all the work that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
