"""All that is measured in this folder, anew and one after the other; `make trust` calls it.

    python experiments/trust/run.py [--size small|full] [PART ...]

Each part is a command of its own; its output goes to outputs/trust/PART.txt. The last lines are a
table of what each found. Exits with status 1 if one found a fault. Parts that this machine cannot
do (no root, no atheris) are left out, and named.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
HERE = Path("experiments/trust")
LOGS = ROOT / "outputs" / "trust"
SMOKE = ("+experiment=smoke",)

# Why so many, at full size. Kills: each hits one of nine stages, so 40 miss none of them with a
# probability above 1 - 9 (8/9)^40 = 0.92. Fuzzing: the slowest readers take about 15 inputs a
# second, so two minutes are some 1,800. A disk, a killed process, a rotten byte either breaks a run
# or does not: each case once. Small says that the parts work, and no more.
KILLS = {"small": 2, "full": 40}
FUZZ_SECONDS = {"small": 5, "full": 120}
TARGETS = (
    "ml_1m",
    "ml_100k",
    "movielens",
    "amazon",
    "csv",
    "events",
    "recbole",
    "answer",
    "audit",
    "config",
    "reply",
    "template",
    "commands",
)
TESTS = {
    "rot": ("tests/base/test_rot.py", "tests/base/test_checkpoint.py"),
    "full-disks": ("tests/base/test_disk.py",),
    "endpoints": ("tests/llm/test_hostile.py", "tests/llm/test_replies.py"),
    "templates": ("tests/prompts/test_own_templates.py",),
    "secrets": ("tests/base/test_secrets.py", "tests/base/test_environment.py"),
}


class Part(NamedTuple):
    """One measurement."""

    command: Sequence[str]
    left_out: str = ""  # why this machine cannot do it


def parts(size: str) -> dict[str, Part]:
    """Name -> command, in the order in which they run."""
    found = {name: Part(("-m", "pytest", "-q", "-n", "0", *files)) for name, files in TESTS.items()}
    kills = ("--kills", str(KILLS[size]), "--each", "10")
    found["kills"] = Part((f"{HERE}/kill.py", *kills))
    no_root = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "it mounts disks: needs root"
    found["disks"] = Part((f"{HERE}/disk.py",), no_root)
    overrides = SMOKE if size == "small" else ()
    found["seeds"] = Part((f"{HERE}/seeds.py",))
    found["processes"] = Part((f"{HERE}/processes.py", *overrides))
    no_fuzzer = "" if find_spec("atheris") else "needs pip install atheris"
    limits = ("-timeout=20", "-rss_limit_mb=2048", "-len_control=0", "-max_len=200")
    for target in TARGETS:
        words = (target, f"-max_total_time={FUZZ_SECONDS[size]}", *limits)
        kept = f"-artifact_prefix={LOGS}/"
        found[f"fuzz-{target}"] = Part((f"{HERE}/fuzz.py", *words, kept), no_fuzzer)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=list(KILLS), default="full")
    parser.add_argument("names", nargs="*", metavar="PART", help="only these; fuzz: all of fuzzing")
    given = parser.parse_args()
    known = parts(given.size)
    wanted = {}
    for name, part in known.items():
        if not given.names or name in given.names or name.partition("-")[0] in given.names:
            wanted[name] = part
    if not wanted:
        parser.error(f"no part {' '.join(given.names)}; there are {', '.join(known)}")
    LOGS.mkdir(parents=True, exist_ok=True)
    rows = [measured(name, part) for name, part in wanted.items()]
    print("\n".join(f"{name:<16} {found:<9} {text}" for name, found, text in rows))
    return int(any(found == "FAULT" for _, found, _ in rows))


def measured(name: str, part: Part) -> tuple[str, str, str]:
    """Run a part; return its name, what came of it, and its last line."""
    if part.left_out:
        return name, "left out", part.left_out
    print(f"{name} ...", file=sys.stderr, flush=True)
    begin = time.perf_counter()
    log = LOGS / f"{name}.txt"
    with log.open("w") as file:
        command = [sys.executable, *part.command]
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False)
    lines = log.read_text(errors="replace").strip().splitlines() or [""]
    took = f"{time.perf_counter() - begin:.0f} s"
    found = "FAULT" if done.returncode else "no fault"
    return name, found, f"{took}; {lines[-1][:100]}; {log.relative_to(ROOT)}"


if __name__ == "__main__":
    sys.exit(main())
