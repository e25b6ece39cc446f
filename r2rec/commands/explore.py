"""`r2rec explore RUN [RUN ...]`"""

import os

from r2rec.base.errors import R2RecError
from r2rec.commands import Parser
from r2rec.results.load import load

MAX_PORT = 65535


def explore_runs(words: list[str]) -> None:
    """Serve a page over runs on this machine, until Ctrl-C."""
    parser = Parser(
        "explore",
        "A page over one run or several: search users, filter them, read what was told,\n"
        "asked and answered, and ask the run's model again with something changed.\n"
        "It is for a browser on this machine; nothing else can reach it, and nothing is\n"
        "fetched. Ctrl-C ends it.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a folder, a part of it, or last")
    parser.add_argument(
        "--port", type=int, default=0, metavar="N", help="of the address (default: a free one)"
    )
    given = parser.parse_args(words)
    if not 0 <= given.port <= MAX_PORT:
        raise R2RecError(f"--port {given.port}: ports go from 1 to {MAX_PORT}")
    runs = [load(run) for run in given.runs]
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when transformers is imported
    from r2rec.explore.server import serve

    serve(runs, given.port)
