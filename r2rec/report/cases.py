"""What the case browser shows: every evaluated user's way from chain to answer, under each arm that wrote text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from omegaconf import DictConfig

from r2rec.evaluate.rank import evaluation_cases
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.prompts.cases import Chain, Item, RankingCase
from r2rec.prompts.render import clean
from r2rec.report.grounds import Ground, grounds

CASES = 1000  # shown at most
TEXT = 6_000_000  # characters that all answers may take together: a page stays under about 12 MB
LEAST = 800  # of each answer's text are shown in any case


class Told(NamedTuple):
    """What one arm said of one user. `before` and `tail` are its text around the steps."""

    verdict: str  # "right", "wrong" or "invalid"
    about: str  # the verdict in words
    places: tuple[int, ...]  # of each candidate in the answer, from 1; 0 where it is left out
    before: str
    steps: Sequence[tuple[str, Sequence[Ground]]]
    tail: str


class Case(NamedTuple):
    """One user; texts as the prompt had them, all untrusted."""

    user: int | str
    profile: str | None
    history: Sequence[Item]  # latest last
    chains: Sequence[Chain]
    candidates: Sequence[Item]  # as shown: candidate k carries LABELS[k]
    positive: int  # the held-out item's place among them, from 0
    told: Sequence[Told]  # by arm


class Browser(NamedTuple):
    """The cases, in the order of users, and which of them is open at first."""

    arms: Sequence[str]  # the last is shown at first
    cases: Sequence[Case]
    first: int
    total: int  # users there are; `cases` are the first of them


def browser(
    cfg: DictConfig,
    rankings: Mapping[str, pl.DataFrame],
    inputs: Mapping[str, Path],
    limit: int = CASES,
) -> Browser | None:
    """The cases of all arms that wrote (name -> rankings table); None where none did.

    At first a right answer of the last arm is open, else a valid one, else the first.
    """
    written = {
        name: table for name, table in rankings.items() if table["completion"].is_not_null().any()
    }
    if not written:
        return None
    *_, last = written.values()
    users = last.select("user", "positive", items="candidates").head(limit)
    shown = [
        _as_shown(case, cfg.prompt.title_length)
        for case in evaluation_cases(cfg, dict(inputs), users)
    ]
    rows = [{row["user"]: row for row in table.iter_rows(named=True)} for table in written.values()]
    room = max(LEAST, TEXT // (len(shown) * len(rows)))
    reasoned = cfg.prompt.reasoning and not cfg.baseline.endpoint
    cases = []
    for case, (user, positive, items) in zip(shown, users.iter_rows(), strict=True):
        place = items.index(positive)
        answers = [told(case, row.get(user), place, reasoned, room) for row in rows]
        cases.append(Case(user, *case, place, answers))
    verdicts = [case.told[-1].verdict for case in cases]
    first = next((verdicts.index(v) for v in ("right", "wrong") if v in verdicts), 0)
    return Browser(list(written), cases, first, last.height)


def _as_shown(case: RankingCase, length: int) -> RankingCase:
    """The case with its texts cut and cleaned as the prompt does it."""
    known: dict[Item, Item] = {}

    def item(one: Item) -> Item:
        if one not in known:
            attributes = tuple(filter(None, (clean(a, 40) for a in one.attributes)))
            known[one] = Item(clean(one.title, length), attributes)
        return known[one]

    return RankingCase(
        clean(case.profile) if case.profile else None,
        tuple(map(item, case.history)),
        tuple(c._replace(item1=item(c.item1), item2=item(c.item2)) for c in case.chains),
        tuple(map(item, case.candidates)),
    )


def told(
    case: RankingCase, row: Mapping[str, Any] | None, positive: int, reasoned: bool, room: int
) -> Told:
    """What a row of a rankings table says, None where the arm has none; thought and answer are cut at `room`."""
    count = len(case.candidates)
    if row is None or row["completion"] is None:
        return Told("invalid", "invalid: not asked", (0,) * count, "", (), "")
    at = {item: place for place, item in enumerate(row["ranking"], 1)}
    places = tuple(at.get(item, 0) for item in row["candidates"])
    verdict, about = _verdict(row, places[positive], count, reasoned)
    text = row["completion"]
    thought, tail = split_thought(text, reasoned and ("</think>" in text or not row["valid"]))
    before, *steps = thought_steps(
        f"Step 0: x\n{_cut(thought or '', room)}"
    )  # step 0 keeps what precedes step 1
    pairs = list(zip(steps, grounds(case, steps), strict=True))
    return Told(
        verdict, about, places, before.removeprefix("x").strip(), pairs, _cut(tail, room).strip()
    )


def _cut(text: str, room: int) -> str:
    return (
        text if len(text) <= room else f"{text[:room]}… [cut here; rankings.parquet has all of it]"
    )


def _verdict(row: Mapping[str, Any], place: int, count: int, reasoned: bool) -> tuple[str, str]:
    if not row["valid"]:
        return "invalid", f"invalid: {parse_ranking(row['completion'], count, reasoned).problem}"
    if not place:
        return "wrong", "left out"
    return ("right" if place == 1 else "wrong"), f"ranked {place} of {count}"
