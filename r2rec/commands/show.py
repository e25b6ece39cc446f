"""`r2rec show RUN [--user ID]`"""

import json
from collections.abc import Sequence

from r2rec.base.console import harmless
from r2rec.base.errors import R2RecError
from r2rec.commands import Parser
from r2rec.report.records import Record
from r2rec.results.cases import UserCase
from r2rec.results.load import Run, load
from r2rec.results.show import PARTS, case_text, plain

MAX_USERS = 10  # whose ids are told


def show_run(words: list[str]) -> None:
    """Print the results of a run, or one user's case."""
    parser = Parser(
        "show",
        "The results of a run, or one user's case: what was told, asked, answered, and right.",
    )
    parser.add_argument("run", metavar="RUN", help="a folder, a part of its name, or last")
    parser.add_argument(
        "--user", metavar="ID", help="the id in the original files, else the number in tables"
    )
    parser.add_argument(
        "--index", type=int, metavar="N", help="the number in tables and on the page"
    )
    parser.add_argument("--method", metavar="NAME", help="only the answer of this method")
    parser.add_argument("--only", choices=PARTS, help="only this part, such as the literal prompt")
    parser.add_argument(
        "--metrics", metavar="NAMES", help="other ones in the table: hr@5,ndcg@10,mrr"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for programs")
    given = parser.parse_args(words)
    run = load(given.run)
    if given.user is None and given.index is None:
        records = run.with_metrics(given.metrics.split(",")) if given.metrics else run.records
        print(json.dumps(records, indent=2) if given.json else _overview(run, records))
        return
    case = run.case(given.index) if given.user is None else _case(run, given.user)
    if given.method:
        answers = [answer for answer in case.answers if answer.method == given.method]
        if not answers:
            known = ", ".join(answer.method for answer in case.answers)
            raise R2RecError(f"no method {given.method}; there are {known}")
        case = case._replace(answers=answers)
    if given.json:
        print(json.dumps(plain(case) | {"truth": case.truth}, indent=2))
    else:
        print(case_text(case, [given.only] if given.only else PARTS))


def _case(run: Run, user: str) -> UserCase:
    """The case of a user by the id in the original files, else by the number in tables."""
    try:
        return run.case(user)
    except R2RecError:
        if not user.isdecimal() or int(user) not in run.rankings["user"]:
            raise
    return run.case(int(user))


def _overview(run: Run, records: Sequence[Record]) -> str:
    """The table of results, and whose cases there are."""
    from r2rec.report.tables import results_table

    parts = [str(run.folder), results_table(records)]
    if run.jobs:
        parts.append(_jobs(run))
    else:
        parts.append(_users(run))
    page = run.folder / "report.html"
    if page.exists():
        parts.append(f"page: {page}")
    return "\n\n".join(parts)


def _users(run: Run) -> str:
    """Whose cases there are."""
    try:
        ids = run.user_ids()
    except R2RecError as error:
        return f"no cases: {error}"
    more = ", ..." if len(ids) > MAX_USERS else ""
    return harmless(f"{len(ids)} users, for --user: {', '.join(ids[:MAX_USERS])}{more}")


def _jobs(run: Run) -> str:
    """A line for each job of a sweep, with what not all of them have."""
    overrides = [job.manifest.get("overrides", []) for job in run.jobs]
    common = set(overrides[0]).intersection(*overrides)
    lines = ["jobs:"]
    for job, words in zip(run.jobs, overrides, strict=True):
        own = " ".join(word for word in words if word not in common)
        lines.append(f"  {job.folder}  {own}")
    return "\n".join(lines)
