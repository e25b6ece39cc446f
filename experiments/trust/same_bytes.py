"""Compare the artefacts of two stores byte for byte, for example before and after a refactoring.

    python experiments/trust/same_bytes.py STORE STORE

Artefacts are matched by their files, because a refactoring may change keys. Manifests, model cards
and the times in training logs are left out. Exits with status 1 if any file differs.
"""

import hashlib
import sys
from collections import Counter
from pathlib import Path

import polars as pl

LEFT_OUT = ("manifest.json", "README.md")
TIMES = ("seconds", "step_time", "runtime", "per_second", "memory")  # in names of log columns


def digest(path: Path) -> str:
    """SHA-256 of a file; for a training log, without the columns that measure time."""
    if path.name != "log.parquet":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    log = pl.read_parquet(path)
    kept = [name for name in log.columns if not any(word in name for word in TIMES)]
    return hashlib.sha256(log.select(sorted(kept)).write_csv().encode()).hexdigest()


def files_of(store: Path, stage: str) -> Counter[tuple[str, str]]:
    """(name, digest) of all files of a stage's artefacts."""
    files: Counter[tuple[str, str]] = Counter()
    for path in sorted(store.glob(f"{stage}/*/**/*")):
        if path.is_file() and path.name not in LEFT_OUT and path.suffix != ".lock":
            files[path.name, digest(path)] += 1
    return files


def main(first: Path, second: Path) -> int:
    """Print a line per stage; return 1 if any file differs."""
    stages = sorted({path.name for store in (first, second) for path in store.iterdir()})
    n_changed = 0
    for stage in stages:
        before = files_of(first, stage)
        after = files_of(second, stage)
        different = (before - after) + (after - before)
        changed = sorted({name for name, _ in different})
        same = sum((before & after).values())
        words = "".join(f", {name} differs" for name in changed)
        print(f"{stage:10} {same:3} files the same{words}")
        n_changed += len(changed)
    return int(n_changed > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
