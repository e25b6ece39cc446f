"""Where a trainer's time goes: seconds of its parts, step by step, into its log."""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from r2rec.llm.runtime import gpu_memory

PARTS = {  # of GRPOTrainer, in the order of a step; an SFTTrainer has none of them
    "_generate": "generation",
    "_calculate_rewards": "rewards",
    "_get_per_token_logps_and_entropies": "log_probabilities",
}


class Clock:
    """Seconds of a trainer's parts since they were last asked for."""

    def __init__(self, trainer: Any) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        for name, part in PARTS.items():
            if hasattr(trainer, name):
                setattr(trainer, name, self._clocked(part, getattr(trainer, name)))
        trainer.accelerator.backward = self._clocked("backward", trainer.accelerator.backward)
        self.begin = _now()

    def start(self) -> None:
        """A step begins."""
        self.spent.clear()
        self.begin = _now()

    def taken(self) -> dict[str, float]:
        """Columns for the log: seconds of the step, of its parts, and on a GPU the most memory in use, in GB."""
        parts = {f"seconds/{part}": n for part, n in self.spent.items()}
        return {"seconds": _now() - self.begin} | parts | gpu_memory()

    def _clocked(self, part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            begin = _now()
            try:
                return method(*args, **options)
            finally:
                self.spent[part] += _now() - begin

        return call


def _now() -> float:
    """Seconds, when all that was given to a GPU is done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
