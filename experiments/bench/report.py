"""Time the case browser at 1,000 cases in headless Chromium: writing, loading, and each filter until it is painted.

    python experiments/bench/report.py [--cases 1000] [--arms 1] [--keep FILE]

Cases are invented, at the length that titles and template thoughts have; the bound is 100 ms for a filter.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.report import cases, page
from tests.report import chromium

LIMIT = 100  # ms
FILTER = """new Promise(done => { const start = performance.now(); document.getElementById('%s').click();
requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))); })"""


def invented(count: int, arms: int) -> cases.Browser:
    """Users whose answers are right, wrong or invalid at random."""
    rng = random.Random(0)
    items = [
        Item(f"The {rng.choice(WORDS)} {rng.choice(WORDS)} ({n})", ("Drama", "1990s"))
        for n in range(500)
    ]
    made = []
    for user in range(count):
        picked = rng.sample(items, 35)
        chains = tuple(Chain(picked[2 * n], 4, 5, 3, picked[2 * n + 1], 2) for n in range(5))
        case = RankingCase(
            "female, 25-34, artist", tuple(picked[10:15]), chains, tuple(picked[15:])
        )
        told = [
            cases.told(case, row, 0, reasoned=True, room=2000)
            for row in (_row(rng) for _ in range(arms))
        ]
        made.append(cases.Case(user, *case, 0, told))
    return cases.Browser([f"arm {n}" for n in range(arms)], made, 0, count)


WORDS = "Silent Hidden Crimson Robot Unicorn Harbour Wedding Velvet Letter Kingdom Distant Heist".split()
STEP = "Chain {0}: user 4 liked: Comedy 2, Drama 1, 2010s 3; neighbour gave 4, agrees; then 3; user 2 disliked: Drama."


def _row(rng: random.Random) -> dict[str, object]:
    order = rng.sample(range(20), 20)
    steps = [f"Step {n}: {STEP.format(n)}" for n in range(1, 6)]
    steps.append(
        f"Step 6: Candidates: {'; '.join(f'{label} Drama 1, 1990s 2 = 3' for label in LABELS[:20])}."
    )
    text = render_completion("\n".join(steps), render_ranking([LABELS[k] for k in order]))
    if rng.random() < 0.3:
        return {"completion": text + " > A", "valid": False, "candidates": range(20), "ranking": []}
    return {"completion": text, "valid": True, "candidates": range(20), "ranking": order}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--arms", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="leave the page there")
    args = parser.parse_args()
    if not chromium.FOUND:
        sys.exit("error: no chromium found; install it (Debian, Ubuntu: apt install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or Path(folder) / "report.html"
        begin = time.perf_counter()
        browser = invented(args.cases, args.arms)
        read = time.perf_counter()
        page.write_page(
            path, title="bench", records=[], published=[], figures={}, browser=browser, facts={}, notes=[]
        )  # fmt: skip
        print(f"{args.cases:,} cases, {args.arms} arms: {path.stat().st_size / 1e6:.1f} MB")
        print(f"read {read - begin:.2f} s, written {time.perf_counter() - read:.2f} s")
        with chromium.tab() as tab:
            begin = time.perf_counter()
            tab.open(path)
            print(f"loaded {time.perf_counter() - begin:.2f} s")
            for verdict in ("right", "wrong", "invalid", "all"):
                before = "right" if verdict == "all" else "all"
                others = [tab.ask(FILTER % name) for _ in range(9) for name in (before, verdict)][
                    1::2
                ]
                middle, worst = statistics.median(others), max(others)
                missed = "" if worst < LIMIT else f" MISSED: over {LIMIT} ms"
                print(f"filter {verdict:<8} median {middle:.0f} ms, worst {worst:.0f} ms{missed}")


if __name__ == "__main__":
    main()
