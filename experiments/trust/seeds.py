"""Which artefacts each seed changes: every stage of the smoke run at one seed after another.

    python experiments/trust/seeds.py [--folder FOLDER] [OVERRIDE ...]

The run is made once with all seeds 0, then with each of `seed`, `seeds.data`, `seeds.train` and
`seeds.answer` at 1, in one store. The table says of each artefact whether its files differ from
those of the first run: "changed"; "as before", made anew and yet the same bytes; or "-", the very
same artefact. The last line names what has changed and should not have; exits with status 1 then.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from same_bytes import LEFT_OUT, digest

import r2rec

SMOKE = (
    "+experiment=smoke",
    *("baseline@fusion=sasrec", "fusion.fit.epochs=2"),
    *("diagnostic=consistency", "diagnostic.users=4", "diagnostic.params.samples=2"),
)
SEEDS = ("seed", "seeds.data", "seeds.train", "seeds.answer")
RUNS = ("", *SEEDS)  # the first one has all seeds 0
CHANGED, AS_BEFORE, SAME = "changed", "as before", "-"

# What an artefact may depend on, by the beginning of its name; the first that fits holds.
SIDES = {
    "backbone": (),  # the tiny backbone has a seed of its own, for runs to share
    **dict.fromkeys(("prepare", "split", "weigh", "chain", "rank counter "), ("data",)),
    **dict.fromkeys(("fit", "witness", "think", "sft"), ("data", "train")),
    **dict.fromkeys(("rl", "regress"), ("data", "train")),
    "rank counter_fitted": ("data", "train"),
    **dict.fromkeys(("rank random", "rank popularity", "rank backbone"), ("data", "answer")),
    "diagnose backbone": ("data", "answer"),
    "": ("data", "train", "answer"),
}
MUST_CHANGE = {
    "seeds.data": ("prepare", "split", "weigh", "chain"),
    "seeds.train": ("fit", "think", "sft", "rl", "regress"),
    "seeds.answer": ("rank random",),
}

Changes = Mapping[str, Mapping[str, str]]  # artefact -> seed -> what came of it


def artefacts(folder: Path) -> dict[str, Path]:
    """Name -> folder of every artefact of a run, with one entry for each method."""
    stages = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["stages"]
    found = {}
    for stage, record in stages.items():
        if "arms" in record:
            found |= {f"{stage} {arm}": Path(own["path"]) for arm, own in record["arms"].items()}
        elif stage != "report":
            found[stage] = Path(record["path"])
    return found


def content(folder: Path) -> dict[str, str]:
    """Digests of an artefact's files, without what measures time or names the artefact."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if path.name not in LEFT_OUT and path.suffix != ".lock"]
    return {str(path.relative_to(folder)): digest(path) for path in kept}


def changes(
    folder: Path, overrides: Sequence[str], say: Callable[[str], None] = lambda line: None
) -> Changes:
    """Run at every seed of `SEEDS`, in this folder, and compare."""
    runs = {}
    for name in RUNS:
        words = [*overrides, f"artefacts={folder / 'store'}"]
        words += [f"hydra.run.dir={folder / (name or 'first')}", *([f"{name}=1"] if name else [])]
        runs[name] = r2rec.run(words, say=say).folder
    return compared(runs)


def compared(folders: Mapping[str, Path]) -> Changes:
    """What came of each artefact in these runs, by the name of the seed; "" is the first run."""
    runs = {name: artefacts(folder) for name, folder in folders.items()}
    table: dict[str, dict[str, str]] = {}
    for artefact, first in runs[""].items():
        table[artefact] = {}
        for name in SEEDS:
            other = runs[name][artefact]
            same = SAME if other == first else AS_BEFORE
            table[artefact][name] = same if content(other) == content(first) else CHANGED
    return table


def sides_of(artefact: str) -> tuple[str, ...]:
    """What an artefact may depend on; rankings that are fused with a baseline's: on all."""
    if " + " in artefact:
        return SIDES[""]
    return next(sides for start, sides in SIDES.items() if f"{artefact} ".startswith(start))


def faults(table: Changes) -> list[str]:
    """What changed with a seed that it has nothing to do with, and what should have changed."""
    found = []
    for artefact, by_seed in table.items():
        sides = sides_of(artefact)
        for seed, came in by_seed.items():
            if seed != "seed" and seed.removeprefix("seeds.") not in sides and came != SAME:
                found.append(f"{artefact} is made anew with {seed}")
            if artefact in MUST_CHANGE.get(seed, ()) and came != CHANGED:
                found.append(f"{artefact} does not change with {seed}")
    return found


def markdown(table: Changes) -> str:
    """The table for a README."""
    lines = [f"| artefact | {' | '.join(f'`{seed}`' for seed in SEEDS)} |", "|---" * 5 + "|"]
    for artefact, by_seed in table.items():
        lines.append(f"| {artefact} | {' | '.join(by_seed.values())} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="for runs and store; default: one that goes")
    parser.add_argument("overrides", nargs="*", default=list(SMOKE))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        table = changes(given.folder or Path(temporary), given.overrides)
    print(markdown(table))
    wrong = faults(table)
    print(f"\n{'; '.join(wrong) or 'each seed changed what it should, and nothing else'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
