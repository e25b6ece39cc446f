"""Runs on disks that fill up, are read-only or disappear; then they can finish.

    python experiments/trust/disk.py        (as root: it mounts small file systems in memory)

Prints one line per case; the last line is a JSON summary. Exits with status 1 if a run shows a
traceback, uses a broken file, or ends with other results than an undisturbed one.
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

DISK_SIZES = {"store": ("16k", "128k", "512k", "1m", "2m"), "run": ("4k", "64k")}
LARGE_DISK = "200m"
REMOVALS = (("backbone", "store"), ("sft", "store"), ("sft", "run"), ("report", "run"))


def main() -> int:
    forked.import_all()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calm = forked.start(folder / "calm" / "store", folder / "calm" / "run")
        assert forked.wait(calm) == 0, calm.log.read_text()
        expected = forked.results(calm)
        faults: dict[str, list[str]] = {}
        for which, sizes in DISK_SIZES.items():
            for size in sizes:
                case = folder / f"{which}-{size}"
                faults[f"{which} of {size}"] = full_disk(case, size, which, expected)
        faults["read-only store"] = read_only_store(folder / "locked", expected)
        for stage, which in REMOVALS:
            case = folder / f"gone-{which}-{stage}"
            faults[f"{which} gone in {stage}"] = removed(case, stage, which, expected)
    with_faults = {case: found for case, found in faults.items() if found}
    print(json.dumps({"cases": len(faults), "faults": with_faults}))
    return int(bool(with_faults))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def start(case: Path, *overrides: str) -> forked.Run:
    """Start the run of a case."""
    return forked.start(case / "store" / "s", case / "run" / "r", *overrides, log=case / "log")


def full_disk(case: Path, size: str, which: str, expected: forked.Results) -> list[str]:
    """A disk with too little space, then with enough.

    Args:
        which: What is on that disk: "store" or "run".
    """
    with small_disk(case / which, size):
        run = start(case)
        faults = ending_faults(run, "No space left", "could not be written to its end")
        mount("-o", f"remount,size={LARGE_DISK}", str(case / which))
        return faults + finish(run, expected)


def read_only_store(case: Path, expected: forked.Results) -> list[str]:
    """A store that becomes read-only after stage `chain`."""
    with small_disk(case / "store", LARGE_DISK):
        first = forked.start(case / "store" / "s", case / "run" / "r", "until=chain")
        assert forked.wait(first) == 0
        mount("-o", "remount,ro", str(case / "store"))
        run = start(case)
        faults = ending_faults(run, "Read-only file system")
        mount("-o", "remount,rw", str(case / "store"))
        return faults + finish(run, expected)


def removed(case: Path, stage: str, which: str, expected: forked.Results) -> list[str]:
    """The parent folder of the store or of the run is removed during a stage."""
    run = start(case)
    forked.wait_until(run, lambda: forked.is_in_stage(run, stage))
    shutil.rmtree(case / which, ignore_errors=True)
    return ending_faults(run, "No such file") + finish(run, expected)


def ending_faults(run: forked.Run, *reasons: str) -> list[str]:
    """Wait for the end of a run; return what is wrong with it.

    It may succeed, or fail with one of these reasons in its last line.
    """
    status = forked.wait(run)
    log = run.log.read_text() if run.log.exists() else ""
    last_line = log.strip().rpartition("\n")[2]
    print(f"{run.folder.parents[1].name:<16} status {status}  {last_line[:200]}", flush=True)
    names_reason = any(reason in last_line for reason in reasons)
    in_one_line = last_line.startswith("error: ") and "Traceback" not in log
    if status == 0 or (status == 2 and names_reason and in_one_line):
        return []
    return [f"status {status}: {log[-1500:]}"]


def finish(run: forked.Run, expected: forked.Results) -> list[str]:
    """Run the same command again; return its differences from the undisturbed run."""
    again = forked.start(run.store, run.folder, log=run.log)
    return forked.differences(again, forked.wait(again), expected)


if __name__ == "__main__":
    sys.exit(main())
