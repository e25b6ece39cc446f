"""`r2rec runs [WORDS]`"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

from r2rec.base.console import harmless
from r2rec.commands import Parser
from r2rec.evaluate.names import metric_title
from r2rec.results.find import ROOT
from r2rec.results.runs import FINISHED, Listed, run_rows

WIDTH = 80


def list_runs(words: list[str]) -> None:
    """Print what was run, oldest first."""
    parser = Parser("runs", "What was run, oldest first: folder, data, changes, results.")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="only runs with all of these in folder, changes, data, methods or state",
    )
    parser.add_argument(
        "--in",
        dest="root",
        type=Path,
        default=ROOT,
        metavar="FOLDER",
        help=f"where runs are looked for (default: {ROOT})",
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="hr@K, ndcg@K or mrr (default: the first of each run's evaluation.metrics)",
    )
    parser.add_argument("--finished", action="store_true", help="only runs with results")
    parser.add_argument("--last", type=int, metavar="N", help="only the N latest")
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    given = parser.parse_args(words)
    rows = run_rows(given.root, given.words, given.metric)
    if given.finished:
        rows = [row for row in rows if row.results]
    if given.last is not None:
        rows = rows[max(0, len(rows) - given.last) :]
    if given.json:
        print(json.dumps([row.plain() for row in rows], indent=2))
    elif rows:
        print(harmless("\n\n".join("\n".join(_block(row)) for row in rows)))
    else:
        print(f"no such run in {given.root}")


def _block(row: Listed) -> Iterator[str]:
    head = [row.folder, f"{row.started:%d %b %H:%M}", ", ".join(row.datasets)]
    if row.jobs:
        head.append(f"{row.jobs} jobs")
    if row.state != FINISHED:
        head.append(row.state)
    yield "  ".join(head)
    if row.overrides:
        yield from _wrapped(" ".join(row.overrides))
    if row.results:
        results = (f"{method} {value:.3f}" for method, value in row.results.items())
        yield from _wrapped(f"{metric_title(row.metric)}: " + ", ".join(results))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
