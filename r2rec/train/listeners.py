"""What happens beside a training: a bar, clocked log rows, sealed checkpoints, an early stop.

A listener has methods named like the events of transformers' TrainerCallback;
`compat.trl.trainer_callback` passes the events on to it.
"""

from collections.abc import Mapping
from typing import Any

from r2rec.base import processes, signals, tracking
from r2rec.base.checkpoint import between_saves, seal
from r2rec.base.progress import Bar, note
from r2rec.compat import trl as hooks
from r2rec.train.clock import Clock

SHOWN = ("loss", "reward")  # columns of the log that the bar shows


class ProgressBar:
    """One bar over all steps, with the latest loss, reward and share of valid answers."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar = Bar(self.name, state.max_steps, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
    ) -> None:
        note(**{name: float(logs[name]) for name in SHOWN if name in logs})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.close()


class StepLog:
    """Adds the clock's columns to each row of the log, and passes the row on to the trackers.

    Args:
        first_step: Steps of the stage before this training; trackers count from there.
    """

    def __init__(self, stage: str, clock: Clock, first_step: int) -> None:
        self.stage = stage
        self.clock = clock
        self.first_step = first_step
        self.columns: dict[str, float] = {}  # the clock's, of the step that ended last

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.clock.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.columns = self.clock.read()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
    ) -> None:
        if not hooks.is_summary(logs):
            hooks.extend_log(state, self.columns)
        tracking.log_step(self.stage, self.first_step + state.global_step, logs)


class SealedCheckpoints:
    """Seals each checkpoint once it is whole, so that an interrupted run knows what it can use."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        processes.wait_for_all()  # each process writes a part
        if state.is_world_process_zero:
            seal(hooks.checkpoint_path(args.output_dir, state.global_step))


class OftenEnough:
    """Keeps a few checkpoints of a training that has fewer steps than lie between two of them."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        state.save_steps = between_saves(state.save_steps, state.max_steps)


class StopOnSignal:
    """Ends a training after the step in which a signal came (`signals.deferred`).

    A checkpoint of that step is kept, however far apart checkpoints are otherwise.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if signals.pending() is not None:
            control.should_save = True
            control.should_training_stop = True
