"""`r2rec compare RUN [RUN ...]`"""

from r2rec.base.console import harmless
from r2rec.commands import Parser
from r2rec.results.load import load


def compare_runs(words: list[str]) -> None:
    """Print paired differences between methods of one run, or between those of several."""
    parser = Parser(
        "compare",
        "Paired differences in a metric, with 95% intervals, p, and p after Holm's\n"
        "correction. Of one run or sweep, its methods are compared; of several, those of\n"
        "different runs, and runs that ranked other candidates are refused.\n"
        "'*': Holm's p is below 0.05. 'found from': a true difference of that size would be\n"
        "found in 4 of 5 trials.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a folder, a part of it, or last")
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="only this one; may repeat"
    )
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="hr@K, ndcg@K or mrr (default: the first of the runs' evaluation.metrics)",
    )
    parser.add_argument(
        "--every", action="store_true", help="compare the methods of each run too, not only across"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    given = parser.parse_args(words)
    from r2rec.results.compare import differences_text, run_differences

    runs = [load(run) for run in given.runs]
    differences = run_differences(runs, given.method, given.every, given.metric)
    print(differences.write_json() if given.json else harmless(differences_text(differences)))
