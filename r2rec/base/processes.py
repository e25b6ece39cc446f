"""Several processes as one run: the first runs the pipeline, the others join it in the stages that use them all.

`python -m r2rec hardware=ddp` composes once and starts `accelerate launch` on what it composed (`launch`);
`accelerate launch -m r2rec ...` by hand comes to the same. The first process has the run's folder, logger and store.
It calls the others, with the stage's own choices and folders, and they wait for calls as long as it takes.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from omegaconf import DictConfig

PATIENCE = timedelta(
    days=30
)  # of processes that wait for a call; one that dies ends all, so nobody waits in vain
KEPT = "checkpoints"
Row = TypeVar("Row")
Result = TypeVar("Result")

_joined = False  # whether all processes are at work on one stage now


def count() -> int:
    """How many processes this run has, by the environment that a launcher sets."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process runs the pipeline."""
    return int(os.environ.get("RANK", "0")) == 0


def end_with_parent() -> None:
    """From now on, end when the parent does, however that ends (Linux): nobody else would end a process that waits."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def run_in_all(
    stage: Callable[..., Any], cfg: DictConfig, folders: Mapping[str, Path], folder: Path
) -> Any:
    """Run a stage's function in all processes; what it returns here, where it has left its files.

    Raises what it raises here. Where it raises elsewhere that process ends, and with it the run.
    """
    if count() == 1:
        return stage(cfg, folders, folder)
    (folder / KEPT).mkdir(exist_ok=True)
    _told([stage, cfg, dict(folders), folder])
    facts = _at_work(stage, cfg, folders, folder)
    _settled()
    with suppress(OSError):
        (folder / KEPT).rmdir()  # nothing in it: the stage has no checkpoints
    return facts


def run_here(stage: Callable[..., Any], *given: Any) -> Any:
    """Run a stage's function in this process, while the others wait."""
    return stage(*given)


def follow() -> None:
    """Join the first process in each stage that it calls for, until it has no more."""
    while (call := _told(None)) is not None:
        stage, cfg, folders, folder = call
        with TemporaryDirectory() as name:
            # What a stage writes is the first's to write. Checkpoints are the trainer's, which all processes share.
            own = Path(name) / stage.__name__ / "part"
            own.mkdir(parents=True)
            (own / KEPT).symlink_to(folder.absolute() / KEPT)
            _at_work(stage, cfg, folders, own)
        _settled()
    _parted()


def dismiss() -> None:
    """Tell the others that the run is over."""
    if count() > 1 and is_main():
        _told([None])
        _parted()


def _parted() -> None:
    """Close what connects the processes: its threads, where they live to see the interpreter's end, abort a process."""
    import torch.distributed as dist

    dist.destroy_process_group()
    _group.cache_clear()


def map_rows(rows: Sequence[Row], do: Callable[[list[Row]], Sequence[Result]]) -> list[Result]:
    """What `do` makes of each row, in order; where all processes are at work, each does its part of them."""
    if not _joined:
        return list(do(list(rows)))
    import torch.distributed as dist

    n, own = count(), int(os.environ["RANK"])
    parts: list[Any] = [None] * n
    dist.all_gather_object(parts, list(do(list(rows[own::n]))), group=_group())
    merged: list[Any] = [None] * len(rows)
    for at, part in enumerate(parts):
        merged[at::n] = part
    return merged


def own_part(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """This process's rows of a batch's tensors; the first row, where there are fewer rows than processes."""
    if not _joined:
        return batch
    n, own = count(), int(os.environ["RANK"])
    return tuple(rows[own::n] if len(rows) > own else rows[:1] for rows in batch)


def average(tensors: Iterable[Any]) -> None:
    """Put the mean over all processes at work in the place of each one's tensors."""
    if _joined:
        import torch.distributed as dist

        for tensor in tensors:
            dist.all_reduce(tensor)  # where the tensors are; `_group` is on the CPU
            tensor /= count()


def broadcast(value: Result) -> Result:
    """The first process's value, in all that are at work: what a GPU sums up differs in the last digit."""
    if not _joined:
        return value
    import torch.distributed as dist

    said = [value]
    dist.broadcast_object_list(said, src=0, group=_group())
    return said[0]


def _at_work(stage: Callable[..., Any], *given: Any) -> Any:
    global _joined
    _joined = True
    try:
        return stage(*given)
    finally:
        _joined = False


@cache
def _group() -> Any:
    """All processes, on the CPU, apart from what a trainer sends between them."""
    import torch.distributed as dist
    from accelerate import PartialState

    on_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes")
    PartialState(cpu=on_cpu, timeout=PATIENCE)
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _told(call: list[Any] | None) -> list[Any] | None:
    """What the first process tells all; None when it has no more to tell."""
    import torch.distributed as dist

    said = [call]
    dist.broadcast_object_list(said, src=0, group=_group())
    return None if said[0] == [None] else said[0]


def wait_for_all() -> None:
    """Wait until all processes are here, where all are at work on a stage."""
    if _joined:
        _settled()


def _settled() -> None:
    """Wait until all processes are here."""
    import torch.distributed as dist

    dist.barrier(group=_group())


def report_error(text: str) -> None:
    """Leave what ended this process where the one that launched it looks, and say it."""
    if place := os.environ.get("R2REC_ERRORS"):
        Path(place, f"{os.environ.get('RANK', 0)}.txt").write_text(text)
    print(text, file=sys.stderr)
