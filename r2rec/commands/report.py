"""`r2rec report RUN`"""

from r2rec.base import console
from r2rec.commands import Parser
from r2rec.results.load import load


def report_run(words: list[str]) -> None:
    """Write tables, plots and page of a run or a sweep again."""
    parser = Parser(
        "report",
        "Write the tables, plots and page of a run or a sweep again, from what the store has.\n"
        "One that was stopped is reported as far as it came.",
    )
    parser.add_argument("run", metavar="RUN", help="a folder, a part of its name, or last")
    given = parser.parse_args(words)
    from r2rec.results.again import report_again

    report_again(load(given.run), console.say)
