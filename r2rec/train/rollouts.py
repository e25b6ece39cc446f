"""What the policy writes during GRPO, for trackers: a few answers, and what each was paid."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from r2rec.base import tracking

EVERY = 10  # steps from one table to the next
SHOWN = 8  # answers of a table

RewardFunction = Callable[..., list[float]]


class RolloutLog:
    """Keeps the latest answers and their rewards, and sends some of them to trackers.

    A listener (`train.listeners`). Without a tracker it keeps nothing.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.prompts: Sequence[str] = ()
        self.answers: Sequence[str] = ()
        self.rewards: dict[str, Sequence[float]] = {}  # of each part of the reward

    def watch(self, functions: Sequence[RewardFunction]) -> list[RewardFunction]:
        """The parts of a reward, what each pays noted."""
        return [self._noting(function) for function in functions]

    def _noting(self, function: RewardFunction) -> RewardFunction:
        @wraps(function)
        def named(completions: Sequence[Any], **columns: Any) -> list[float]:
            rewards = function(completions=completions, **columns)
            if tracking.has_trackers():
                self.prompts = [messages[-1]["content"] for messages in columns["prompts"][:SHOWN]]
                self.answers = [messages[-1]["content"] for messages in completions[:SHOWN]]
                self.rewards[function.__name__] = rewards[:SHOWN]
            return rewards

        return named

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
    ) -> None:
        """Every so many steps, and at the first one."""
        if self.answers and state.global_step % EVERY in (1, 0):
            step = [state.global_step] * len(self.answers)
            paid = [f"paid for {name}" for name in self.rewards]
            columns = ("step", "prompt", "answer", *paid)
            rows = zip(step, self.prompts, self.answers, *self.rewards.values(), strict=True)
            tracking.log_table(f"{self.stage}/rollouts", columns, list(rows))
            self.answers = ()
