"""What happens beside a training: a bar, clocked log rows, sealed checkpoints, an early stop.

A listener has methods named like the events of transformers' TrainerCallback;
`compat.trl.trainer_callback` passes the events on to it.
"""

from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from r2rec.base import processes, signals, tracking
from r2rec.base.checkpoint import seal
from r2rec.compat import trl as hooks
from r2rec.train.clock import Clock

SHOWN = ("loss", "reward")  # columns of the log that the bar shows


class ProgressBar:
    """One bar over all steps, with the latest loss and reward."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc=self.name,
            leave=False,
            disable=None,
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.bar.update()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
    ) -> None:
        shown = {}
        for column in SHOWN:
            if column in logs:
                shown[column] = f"{float(logs[column]):.3f}"
        if shown:
            self.bar.set_postfix(shown, refresh=False)

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


class StopOnSignal:
    """Ends a training after the step in which a signal came (`signals.deferred`).

    A checkpoint of that step is kept, however far apart checkpoints are otherwise.
    """

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if signals.pending() is not None:
            control.should_save = True
            control.should_training_stop = True
