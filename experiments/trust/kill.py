"""Kill a run with -9 at random moments in every stage, start it again, and compare it with one left alone.

    python experiments/trust/kill.py --kills 100

One line a kill; the last line is a JSON summary. Ends with status 1 where anything differed.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forked


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--kills", type=int, default=100)
    given.add_argument("--each", type=int, default=4, help="kills before a run may finish")
    given.add_argument("--seed", type=int, default=0)
    asked = given.parse_args()
    forked.ready()
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        return campaign(Path(name), asked.kills, asked.each, draw)


def campaign(place: Path, kills: int, each: int, draw: random.Random) -> int:
    begin = time.perf_counter()
    calm = forked.start(place / "calm" / "store", place / "calm" / "run")
    if status := forked.wait(calm):
        print(calm.log.read_text())
        return status
    expected, lasted = forked.results(calm), forked.seconds(calm)
    print(
        f"undisturbed: {time.perf_counter() - begin:.1f} s; "
        + ", ".join(f"{k} {v:.2f}" for k, v in lasted.items())
    )
    done, resumed, wrong, rounds = Counter(), 0, [], 0
    while done.total() < kills and not wrong:
        rounds += 1
        here = place / f"round-{rounds}"
        stages = sorted(
            draw.choices(forked.STAGES, k=min(each, kills - done.total())), key=forked.STAGES.index
        )
        for stage in stages:
            if killed(here, stage, draw.uniform(0, 1.1 * lasted[stage])):
                done[stage] += 1
                resumed += bool(list((here / "store").glob("*/*.part/checkpoints/*")))
        wrong += finished(here, expected)
        if draw.random() < 0.2:
            wrong += both(here / "two", expected)
        shutil.rmtree(here)
        print(
            f"round {rounds}: {done.total()} kills so far {dict(done)}, {len(wrong)} faults",
            flush=True,
        )
    told = {
        "kills": done.total(), "by_stage": dict(done), "with_checkpoints": resumed, "rounds": rounds,
        "faults": wrong, "seconds": round(time.perf_counter() - begin, 1),
    }  # fmt: skip
    print(json.dumps(told))
    return int(bool(wrong))


def killed(here: Path, stage: str, delay: float) -> bool:
    """Start a run and kill it so long after a stage began; False where it had ended before."""
    if stage == "report":
        (here / "run" / "rankings.parquet").unlink(missing_ok=True)
    run = forked.start(here / "store", here / "run")
    if forked.until(run, lambda: forked.at_work(run, stage)):
        time.sleep(delay)
    return forked.kill(run) == -9


def finished(here: Path, expected: tuple) -> list[str]:
    """Let the run end; what is otherwise than in one that was left alone."""
    run = forked.start(here / "store", here / "run")
    return differences(run, forked.wait(run), expected)


def both(here: Path, expected: tuple) -> list[str]:
    """Two runs at once on one store, of which one is killed half-way, and comes again."""
    runs = [forked.start(here / "store", here / name) for name in ("one", "two")]
    forked.until(runs[0], lambda: forked.at_work(runs[0], "sft"))
    forked.kill(runs[0])
    runs[0] = forked.start(here / "store", here / "one")
    return [fault for run in runs for fault in differences(run, forked.wait(run), expected)]


def differences(run: forked.Run, status: int, expected: tuple) -> list[str]:
    if status:
        return [f"status {status}: {run.log.read_text()[-2000:]}"]
    metrics, sums, left = forked.results(run)
    other = [
        name for name in sums.keys() | expected[1].keys() if sums.get(name) != expected[1].get(name)
    ]
    return (
        [f"differ: {other}"] * bool(other)
        + ["metrics differ"] * (metrics != expected[0])
        + [f"left: {left}"] * bool(left)
    )


if __name__ == "__main__":
    sys.exit(main())
