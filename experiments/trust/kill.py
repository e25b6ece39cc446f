"""Kill runs with -9 at random moments in every stage, restart them, and compare the results.

    python experiments/trust/kill.py --kills 100

The results must be those of an undisturbed run, byte for byte. Prints one line per round; the last
line is a JSON summary. Exits with status 1 if anything differs.
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
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))
import forked

OVERTIME = 1.1  # kills come up to this share of a stage's seconds after its start
BOTH_SHARE = 0.2  # of rounds that also test two runs on one store


class Undisturbed(NamedTuple):
    """The run that the others are compared with."""

    results: forked.Results
    seconds: dict[str, float]  # by stage


class Campaign:
    """Kills in rounds: each round has a store of its own and kills its run several times."""

    def __init__(self, folder: Path, expected: Undisturbed, draw: random.Random) -> None:
        self.folder = folder
        self.expected = expected
        self.draw = draw
        self.kills: Counter[str] = Counter()  # by stage
        self.with_checkpoints = 0  # kills that left a checkpoint
        self.rounds = 0
        self.faults: list[str] = []

    def do_round(self, kills: int) -> None:
        """Start a run, kill it up to `kills` times, let it finish, and compare."""
        self.rounds += 1
        folder = self.folder / f"round-{self.rounds}"
        stages = self.draw.choices(forked.STAGES, k=kills)
        for stage in sorted(stages, key=forked.STAGES.index):
            delay = self.draw.uniform(0, OVERTIME * self.expected.seconds[stage])
            if killed(folder, stage, delay):
                self.kills[stage] += 1
                if any((folder / "store").glob("*/*.part/checkpoints/*")):
                    self.with_checkpoints += 1
        self.faults += finish(folder, self.expected.results)
        if self.draw.random() < BOTH_SHARE:
            self.faults += kill_one_of_two(folder / "two", self.expected.results)
        shutil.rmtree(folder)
        print(
            f"round {self.rounds}: {self.kills.total()} kills so far {dict(self.kills)}, "
            f"{len(self.faults)} faults",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--each", type=int, default=4, help="kills before a run may finish")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    forked.import_all()
    with tempfile.TemporaryDirectory() as name:
        begin = time.perf_counter()
        folder = Path(name)
        expected = undisturbed(folder / "calm")
        campaign = Campaign(folder, expected, random.Random(args.seed))
        while campaign.kills.total() < args.kills and not campaign.faults:
            campaign.do_round(min(args.each, args.kills - campaign.kills.total()))
        summary = {
            "kills": campaign.kills.total(),
            "by_stage": dict(campaign.kills),
            "with_checkpoints": campaign.with_checkpoints,
            "rounds": campaign.rounds,
            "faults": campaign.faults,
            "seconds": round(time.perf_counter() - begin, 1),
        }
        print(json.dumps(summary))
        return int(bool(campaign.faults))


def undisturbed(folder: Path) -> Undisturbed:
    """Let a run finish without a kill."""
    begin = time.perf_counter()
    run = forked.start(folder / "store", folder / "run")
    status = forked.wait(run)
    if status:
        print(run.log.read_text())
        sys.exit(status)
    seconds = forked.stage_seconds(run)
    shown = ", ".join(f"{stage} {value:.2f}" for stage, value in seconds.items())
    print(f"undisturbed: {time.perf_counter() - begin:.1f} s; {shown}", flush=True)
    return Undisturbed(forked.results(run), seconds)


def killed(folder: Path, stage: str, delay: float) -> bool:
    """Start a run and kill it in a stage; return False if it had ended before.

    Args:
        delay: Seconds between the start of the stage and the kill.
    """
    if stage == "report":
        (folder / "run" / "rankings.parquet").unlink(missing_ok=True)
    run = forked.start(folder / "store", folder / "run")
    if forked.wait_until(run, lambda: forked.is_in_stage(run, stage)):
        time.sleep(delay)
    return forked.kill(run) == -9


def finish(folder: Path, expected: forked.Results) -> list[str]:
    """Let the run finish; return its differences from the undisturbed one."""
    run = forked.start(folder / "store", folder / "run")
    return forked.differences(run, forked.wait(run), expected)


def kill_one_of_two(folder: Path, expected: forked.Results) -> list[str]:
    """Two runs at once on one store, of which one is killed in SFT and restarted."""
    store = folder / "store"
    first = forked.start(store, folder / "one")
    second = forked.start(store, folder / "two")
    forked.wait_until(first, lambda: forked.is_in_stage(first, "sft"))
    forked.kill(first)
    first = forked.start(store, folder / "one")
    faults = []
    for run in (first, second):
        faults += forked.differences(run, forked.wait(run), expected)
    return faults


if __name__ == "__main__":
    sys.exit(main())
