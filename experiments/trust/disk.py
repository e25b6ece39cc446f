"""Runs on disks that fill up, are read-only, or go away, and what they say; then room is made and they finish.

    python experiments/trust/disk.py        (as root: it mounts small file systems in memory)

One line a case; the last line is a JSON summary. Ends with status 1 where a run showed a traceback, used what was
broken, or ended with other results than one left alone.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forked
from kill import differences

ROOMS = {"store": ("16k", "128k", "512k", "1m", "2m"), "run": ("4k", "64k")}


def main() -> int:
    forked.ready()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        calm = forked.start(place / "calm" / "store", place / "calm" / "run")
        assert forked.wait(calm) == 0, calm.log.read_text()
        expected = forked.results(calm)
        told: dict[str, list[str]] = {}
        for which, rooms in ROOMS.items():
            for room in rooms:
                told[f"{which} of {room}"] = full(place / f"{which}-{room}", room, which, expected)
        told["read-only store"] = read_only(place / "locked", expected)
        for stage, which in (
            ("backbone", "store"),
            ("sft", "store"),
            ("sft", "run"),
            ("report", "run"),
        ):
            told[f"{which} gone in {stage}"] = gone(
                place / f"gone-{which}-{stage}", stage, which, expected
            )
    faults = {case: found for case, found in told.items() if found}
    print(json.dumps({"cases": len(told), "faults": faults}))
    return int(bool(faults))


@contextmanager
def small_disk(folder: Path, room: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def full(here: Path, room: str, which: str, expected: tuple) -> list[str]:
    """A disk with too little room, then with enough."""
    with small_disk(here / which, room):
        run = forked.start(here / "store" / "s", here / "run" / "r", log=here / "log")
        said = one_line(run, forked.wait(run), "No space left", "could not be written to its end")
        mount("-o", "remount,size=200m", str(here / which))
        return said + again(run, expected)


def read_only(here: Path, expected: tuple) -> list[str]:
    with small_disk(here / "store", "200m"):
        first = forked.start(here / "store" / "s", here / "run" / "r", "until=chain")
        assert forked.wait(first) == 0
        mount("-o", "remount,ro", str(here / "store"))
        run = forked.start(here / "store" / "s", here / "run" / "r", log=here / "log")
        said = one_line(run, forked.wait(run), "Read-only file system")
        mount("-o", "remount,rw", str(here / "store"))
        return said + again(run, expected)


def gone(here: Path, stage: str, which: str, expected: tuple) -> list[str]:
    """A parent folder is removed while a stage is at work."""
    run = forked.start(here / "store" / "s", here / "run" / "r", log=here / "log")
    forked.until(run, lambda: forked.at_work(run, stage))
    shutil.rmtree(here / which, ignore_errors=True)
    return one_line(run, forked.wait(run), "No such file") + again(run, expected)


def one_line(run: forked.Run, status: int, *reasons: str) -> list[str]:
    """What is wrong with how a run ended: it may finish, or say why not in its last line."""
    log = run.log.read_text() if run.log.exists() else ""
    last = log.strip().rpartition("\n")[2]
    print(f"{run.folder.parents[1].name:<16} status {status}  {last[:200]}", flush=True)
    told = (
        last.startswith("error: ")
        and any(reason in last for reason in reasons)
        and "Traceback" not in log
    )
    return [] if status == 0 or (status == 2 and told) else [f"status {status}: {log[-1500:]}"]


def again(run: forked.Run, expected: tuple) -> list[str]:
    next_one = forked.start(run.store, run.folder, log=run.log)
    return differences(next_one, forked.wait(next_one), expected)


if __name__ == "__main__":
    sys.exit(main())
