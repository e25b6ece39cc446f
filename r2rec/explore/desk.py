"""What the page can ask for: the runs, a run's users, one user's case, an answer to a changed case.

Requests and replies are JSON objects. Texts in both are untrusted.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.evaluate.changes import Changes
from r2rec.explore.filters import FILTERS, kept_by_filter
from r2rec.explore.opened import OpenRun, UnknownError
from r2rec.explore.whatif import Policy, ask_again, load_policy, why_not
from r2rec.prompts.render import told_in_full
from r2rec.results.load import RANKINGS, Run
from r2rec.results.show import plain

Values = dict[str, Any]  # a JSON object

MAX_SEED = 2**32


class BusyError(R2RecError):
    """An answer is being written."""


class Desk:
    """Runs by name, and what of them has been read so far. Threads may share it."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = _named(_with_results(runs))
        self.opened: dict[str, OpenRun] = {}
        self.policy: tuple[tuple[str, str, bool], Policy] | None = None
        self.reading = threading.Lock()
        self.asking = threading.Lock()

    def open(self, name: str) -> OpenRun:
        """A run by its name, read the first time.

        Raises:
            R2RecError: There is no such run, or it cannot be read.
        """
        if name not in self.runs:
            raise UnknownError(f"no run {name[:80]}; there are {', '.join(self.runs)}")
        with self.reading:
            if name not in self.opened:
                self.opened[name] = OpenRun(self.runs[name])
        return self.opened[name]

    def reply(self, what: str, request: Values) -> Values:
        """The reply to a request.

        Raises:
            R2RecError: It asks for what is not there, or is no request.
        """
        if what not in REPLIES:
            raise UnknownError(f"nothing answers {what[:80]}")
        return REPLIES[what](self, request)


def _with_results(runs: Sequence[Run]) -> list[Run]:
    """These runs, and the jobs of sweeps that have ranked."""
    found = []
    for run in runs:
        if not run.jobs:
            found.append(run)
            continue
        ranked = [job for job in run.jobs if (job.folder / RANKINGS).exists()]
        if not ranked:
            raise R2RecError(f"{run.folder} has no results yet: no job has finished")
        found += ranked
    return found


def _named(runs: Sequence[Run]) -> dict[str, Run]:
    """Runs by the last parts of their folders, as few as tell them apart."""
    folders = {run.folder.resolve(): run for run in runs}
    depth = 1
    while len({_ending(folder, depth) for folder in folders}) < len(folders):
        depth += 1
    return {_ending(folder, depth): run for folder, run in folders.items()}


def _ending(folder: Path, depth: int) -> str:
    return "/".join(folder.parts[-depth:])


def _list_runs(desk: Desk, request: Values) -> Values:
    return {"runs": list(desk.runs)}


def _show_run(desk: Desk, request: Values) -> Values:
    """The methods of a run, and its filters."""
    opened = desk.open(_text(request, "run"))
    models = opened.models()
    methods = []
    for method in opened.tables:
        about = {"method": method, "variant": opened.variants.get(method, "")}
        methods.append(about | {"why_not": why_not(opened, method)})
    return {
        "dataset": opened.config.dataset.name,
        "methods": methods,
        "chosen": models[-1] if models else list(opened.tables)[-1],
        "filters": {name: one.title for name, one in FILTERS.items()},
        "users": len(opened.cases),
    }


def _list_users(desk: Desk, request: Values) -> Values:
    """The users that filters keep and a search finds, with where the held-out item stands."""
    opened = desk.open(_text(request, "run"))
    rivals = _texts(request, "rivals")
    asked = opened.asked(_text(request, "method"), rivals)
    row = opened.standings.row(asked.model)
    for rival in rivals:
        opened.standings.row(rival)
    found = opened.found(asked, _texts(request, "filters"), _text(request, "text", ""))
    ranks = opened.standings.rank[row]
    users = []
    for place in found.tolist():
        case = opened.cases[place]
        rank = None if ranks[place] != ranks[place] else int(ranks[place])
        users.append([case.raw_id, case.candidates[case.positive].title, rank])
    return {
        "users": users,
        "counts": kept_by_filter(opened.standings, asked),
        "rivals": asked.rivals,
    }


def _show_case(desk: Desk, request: Values) -> Values:
    """One user: what was told, asked and answered, and what was right."""
    opened = desk.open(_text(request, "run"))
    case = opened.case(_text(request, "user"))
    in_full = told_in_full(opened.question(case), opened.config.prompt.detailed)
    values: Values = plain(case._replace(answers=()))
    answers = list(opened.answers(case))
    return values | {"truth": case.truth, "in_full": in_full, "answers": answers}


def _ask(desk: Desk, request: Values) -> Values:
    """A model's answer to a changed case, beside its answer to the case as it was."""
    name = _text(request, "run")
    opened = desk.open(name)
    case = opened.case(_text(request, "user"))
    method = _text(request, "method")
    greedy = request.get("greedy", True)
    if not isinstance(greedy, bool):
        raise R2RecError("greedy must be true or false")
    changes = _changes(request.get("changes", {}))
    if not desk.asking.acquire(blocking=False):
        raise BusyError("an answer is being written: wait for it, then ask again")
    try:
        key = (name, method, greedy)
        if desk.policy is None or desk.policy[0] != key:
            desk.policy = None  # one model at a time is held in memory
            desk.policy = key, load_policy(opened, method, greedy)
        return ask_again(opened, desk.policy[1], case, changes)
    finally:
        desk.asking.release()


REPLIES: dict[str, Callable[[Desk, Values], Values]] = {
    "runs": _list_runs,
    "run": _show_run,
    "users": _list_users,
    "case": _show_case,
    "ask": _ask,
}
"""Word -> the function that answers it."""


def _text(request: Values, name: str, default: str | None = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str):
        raise R2RecError(f"{name} must be a text")
    return value


def _texts(request: Values, name: str) -> list[str]:
    values = request.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise R2RecError(f"{name} must be a list of texts")
    return values


def _changes(values: Any) -> Changes:
    """The changes that a request asks for."""
    if not isinstance(values, dict) or not values.keys() <= set(Changes._fields):
        raise R2RecError(f"changes must be an object of {', '.join(Changes._fields)}")
    left_out = values.get("leave_out", [])
    if not isinstance(left_out, list) or not all(type(number) is int for number in left_out):
        raise R2RecError("leave_out must be a list of numbers of chains")
    titles = values.get("titles", {})
    if not isinstance(titles, dict) or not all(isinstance(text, str) for text in titles.values()):
        raise R2RecError("titles must be an object of texts")
    seed = values.get("shuffle")
    if seed is not None and (type(seed) is not int or not 0 <= seed < MAX_SEED):
        raise R2RecError(f"shuffle must be a whole number from 0 to {MAX_SEED - 1}")
    return Changes(left_out, _texts(values, "flip"), titles, seed)
