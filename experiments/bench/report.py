"""Time the case browser of a report in headless Chromium: writing, loading, filtering.

    python experiments/bench/report.py [--cases 1000] [--arms 1] [--keep FILE]

The cases are invented, with titles and thoughts of realistic length. A filter is timed from the
click until it is painted; the bound is 100 ms.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from r2rec.prompts.answer import render_completion, render_ranking
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase
from r2rec.report import cases, page
from tests.report import chromium

LIMIT_MS = 100
CLICKS = 9  # of each filter
VERDICTS = ("right", "wrong", "invalid", "all")
SHOWN_CHARACTERS = 2000  # of each thought, and of each answer
CANDIDATES = 20
INVALID_SHARE = 0.3

# Clicks the button %s; gives the milliseconds until the next frame is painted.
FILTER = """new Promise(done => {
    const start = performance.now();
    document.getElementById('%s').click();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
WORDS = (
    "Silent Hidden Crimson Robot Unicorn Harbour Wedding Velvet Letter Kingdom Distant Heist"
).split()
STEP = (
    "Chain {0}: user 4 liked: Comedy 2, Drama 1, 2010s 3; neighbour gave 4, agrees; then 3; "
    "user 2 disliked: Drama."
)


def invented(count: int, arms: int) -> cases.Browser:
    """Cases of `count` users, with answers that are right, wrong or invalid at random."""
    rng = random.Random(0)
    items = []
    for number in range(500):
        title = f"The {rng.choice(WORDS)} {rng.choice(WORDS)} ({number})"
        items.append(Item(title, ("Drama", "1990s")))
    made = []
    for user in range(count):
        picked = rng.sample(items, 15 + CANDIDATES)
        chains = []
        for number in range(5):
            chains.append(Chain(picked[2 * number], 4, 5, 3, picked[2 * number + 1], 2))
        history = tuple(picked[10:15])
        candidates = tuple(picked[15:])
        case = RankingCase("female, 25-34, artist", history, tuple(chains), candidates)
        answers = []
        for _ in range(arms):
            row = ranking_row(rng)
            answers.append(cases.told(case, row, 0, reasoned=True, room=SHOWN_CHARACTERS))
        made.append(cases.Case(user, *case, 0, answers))
    names = [f"arm {number}" for number in range(arms)]
    return cases.Browser(names, made, 0, count)


def ranking_row(rng: random.Random) -> dict[str, Any]:
    """A row of a rankings table with a random order and a thought."""
    order = rng.sample(range(CANDIDATES), CANDIDATES)
    labels = LABELS[:CANDIDATES]
    steps = [f"Step {number}: {STEP.format(number)}" for number in range(1, 6)]
    counted = "; ".join(f"{label} Drama 1, 1990s 2 = 3" for label in labels)
    steps.append(f"Step 6: Candidates: {counted}.")
    answer = render_ranking([labels[index] for index in order])
    text = render_completion("\n".join(steps), answer)
    candidates = range(CANDIDATES)
    if rng.random() < INVALID_SHARE:
        repeated = text + " > A"
        return {"completion": repeated, "valid": False, "candidates": candidates, "ranking": []}
    return {"completion": text, "valid": True, "candidates": candidates, "ranking": order}


def time_filters(tab: Any) -> None:
    """Print the median and the worst time of each filter."""
    for verdict in VERDICTS:
        before = "right" if verdict == "all" else "all"
        milliseconds = []
        for _ in range(CLICKS):
            tab.ask(FILTER % before)
            milliseconds.append(tab.ask(FILTER % verdict))
        median = statistics.median(milliseconds)
        worst = max(milliseconds)
        missed = "" if worst < LIMIT_MS else f" MISSED: over {LIMIT_MS} ms"
        print(f"filter {verdict:<8} median {median:.0f} ms, worst {worst:.0f} ms{missed}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--arms", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write the page to this file")
    args = parser.parse_args()
    if not chromium.FOUND:
        sys.exit("error: no chromium found; install it (Debian, Ubuntu: apt install chromium)")
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or Path(folder) / "report.html"
        begin = time.perf_counter()
        browser = invented(args.cases, args.arms)
        read = time.perf_counter()
        page.write_page(
            path,
            title="bench",
            records=[],
            published=[],
            figures={},
            browser=browser,
            facts={},
            notes=[],
        )
        written = time.perf_counter()
        print(f"{args.cases:,} cases, {args.arms} arms: {path.stat().st_size / 1e6:.1f} MB")
        print(f"read {read - begin:.2f} s, written {written - read:.2f} s")
        with chromium.tab() as tab:
            begin = time.perf_counter()
            tab.open(path)
            print(f"loaded {time.perf_counter() - begin:.2f} s")
            time_filters(tab)


if __name__ == "__main__":
    main()
