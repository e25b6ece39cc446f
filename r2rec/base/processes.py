"""Several processes as one run: the first one runs the pipeline, the others join it stage by stage.

`python -m r2rec hardware=ddp` composes the configuration once and starts `accelerate launch` on it
(`run.launch`); `accelerate launch -m r2rec ...` by hand does the same. The main process owns the
run folder, the logger and the store. It sends the others each stage that all of them run, with the
stage's choices and folders; between such stages they wait, however long that takes.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from r2rec.base.workspace import Workspace

PATIENCE = timedelta(days=30)  # for a call; a process that dies ends all, so none waits in vain
CHECKPOINTS = "checkpoints"  # folder of a stage's checkpoints, which all processes share
GRACE = 10  # seconds to end in order after the parent's death
PR_SET_PDEATHSIG = 1  # of Linux' prctl

Row = TypeVar("Row")
Result = TypeVar("Result")
StageFunction = Callable[[Any, Mapping[str, Path], Workspace], Any]
Call = tuple[StageFunction, Any, dict[str, Path], Workspace]

_joined = False  # whether all processes are running one stage at this moment


def count() -> int:
    """How many processes this run has, from the environment that a launcher sets."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process runs the pipeline."""
    return rank() == 0


def terminate_with_parent() -> None:
    """Ask Linux to send SIGTERM to this process if its parent dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end_with_parent() -> None:
    """End this process if its parent dies; otherwise it would wait forever.

    SIGTERM lets it end in order. Python handles no signal while a library waits for the other
    processes, so a thread ends it `GRACE` seconds later.
    """
    terminate_with_parent()
    threading.Thread(target=_exit_after_parent, args=(os.getppid(),), daemon=True).start()


def _exit_after_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def join_accelerate() -> None:
    """Set up accelerate's state for this process, which its trackers and loggers ask for."""
    from accelerate import PartialState

    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes")
    PartialState(cpu=on_cpu, timeout=PATIENCE)


def run_in_all(
    stage: StageFunction, choices: Any, inputs: Mapping[str, Path], work: Workspace
) -> Any:
    """Run a stage's function in all processes; return what it returns in this one.

    An error in this process is raised. An error in another one ends that process, and so the run.
    """
    if count() == 1:
        return stage(choices, inputs, work)
    shared = work.folder / CHECKPOINTS
    shared.mkdir(exist_ok=True)
    _send_call((stage, choices, dict(inputs), work))
    facts = _run_joined(stage, choices, inputs, work)
    _barrier()
    with suppress(OSError):
        shared.rmdir()  # empty where the stage keeps no checkpoints
    return facts


def run_here(
    stage: StageFunction, choices: Any, inputs: Mapping[str, Path], work: Workspace
) -> Any:
    """Run a stage's function in this process, while the others wait."""
    return stage(choices, inputs, work)


def follow() -> None:
    """Join the main process in each stage that it sends, until the run is over."""
    while True:
        call = _receive_call()
        if call is None:
            break
        stage, choices, inputs, work = call
        with TemporaryDirectory() as name:
            # Files of a stage are the main process's to write; checkpoints belong to the trainer.
            scratch = Path(name, stage.__name__, "part")
            scratch.mkdir(parents=True)
            (scratch / CHECKPOINTS).symlink_to(work.folder.absolute() / CHECKPOINTS)
            _run_joined(stage, choices, inputs, replace(work, folder=scratch))
        _barrier()
    _leave_group()


def dismiss() -> None:
    """Tell the other processes that the run is over."""
    if count() > 1 and is_main():
        _broadcast_object([None])
        _leave_group()


def map_rows(rows: Sequence[Row], do: Callable[[list[Row]], Sequence[Result]]) -> list[Result]:
    """The result of `do` for each row, in order; the processes that are at work share the rows."""
    if not _joined:
        return list(do(list(rows)))
    import torch.distributed as dist

    n = count()
    parts: list[Any] = [None] * n
    own_results = list(do(list(rows[rank() :: n])))
    dist.all_gather_object(parts, own_results, group=_group())
    merged: list[Any] = [None] * len(rows)
    for index, part in enumerate(parts):
        merged[index::n] = part
    return merged


def own_part(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """This process's rows of each tensor; the first row where there are too few for everyone."""
    if not _joined:
        return batch
    parts = []
    for tensor in batch:
        if len(tensor) > rank():
            parts.append(tensor[rank() :: count()])
        else:
            parts.append(tensor[:1])
    return tuple(parts)


def average(tensors: Iterable[Any]) -> None:
    """Replace each tensor, in place, by its mean over all processes at work."""
    if not _joined:
        return
    import torch.distributed as dist

    for tensor in tensors:
        dist.all_reduce(tensor)  # on the tensors' own device; `_group` is on the CPU
        tensor /= count()


def broadcast(value: Result) -> Result:
    """The main process's value, in all processes: sums on a GPU differ in their last digits."""
    if not _joined:
        return value
    result: Result = _broadcast_object([value])
    return result


def wait_for_all() -> None:
    """Wait until all processes have come here, if all are running a stage."""
    if _joined:
        _barrier()


def report_error(text: str) -> None:
    """Leave what ended this process where the launching process looks, and print it."""
    folder = os.environ.get("R2REC_ERRORS")
    if folder:
        Path(folder, f"{rank()}.txt").write_text(text)
    print(text, file=sys.stderr)


def _run_joined(
    stage: StageFunction, choices: Any, inputs: Mapping[str, Path], work: Workspace
) -> Any:
    global _joined
    _joined = True
    try:
        return stage(choices, inputs, work)
    finally:
        _joined = False


@cache
def _group() -> Any:
    """A group of all processes on the CPU, apart from what trainers send between them."""
    import torch.distributed as dist

    join_accelerate()
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _send_call(call: Call) -> None:
    _broadcast_object([call])


def _receive_call() -> Call | None:
    """The next stage to run; None when the run is over."""
    call: Call | None = _broadcast_object([None])
    return call


def _broadcast_object(message: list[Any]) -> Any:
    import torch.distributed as dist

    dist.broadcast_object_list(message, src=0, group=_group())
    return message[0]


def _barrier() -> None:
    import torch.distributed as dist

    dist.barrier(group=_group())


def _leave_group() -> None:
    """Close the connections; threads that live until the interpreter exits would abort it."""
    import torch.distributed as dist

    dist.destroy_process_group()
    _group.cache_clear()
