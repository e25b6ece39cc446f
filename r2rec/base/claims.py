"""A folder belongs to one run: a new one gets a name of its own, one in use is refused."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from omegaconf import OmegaConf

from r2rec.base.errors import R2RecError

RUNNING = ".running"  # locked while a run or a sweep works in the folder; removed when it ends


def new_folder(wanted: str) -> str:
    """Make a folder that did not exist: `wanted`, or `wanted-2`, `wanted-3`, ... where it is taken.

    Making a folder is atomic on every file system, so two runs never get the same one.
    """
    for number in count(1):
        folder = Path(wanted if number == 1 else f"{wanted}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return str(folder)
    raise AssertionError("unreachable")


def register_resolver() -> None:
    """Make `${new_folder:NAME}` known to configurations; a configuration resolves it once."""
    OmegaConf.register_new_resolver("new_folder", new_folder, use_cache=True, replace=True)


def in_use(folder: Path) -> bool:
    """Whether a run or a sweep is working in a folder."""
    from filelock import FileLock, Timeout

    if not (folder / RUNNING).exists():
        return False
    try:
        with FileLock(folder / RUNNING, blocking=False):
            return False
    except Timeout:
        return True


@contextmanager
def claimed(folder: Path, setting: str) -> Iterator[None]:
    """Hold a folder as long as the block runs.

    Args:
        setting: The override that names another folder, for the error message.

    Raises:
        R2RecError: Another run is using the folder.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / RUNNING)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise R2RecError(
            f"{folder} is in use by another run; choose another folder: {setting}=FOLDER"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / RUNNING).unlink()
        lock.release()
