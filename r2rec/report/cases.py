"""The case browser: each evaluated user's way from chains to answers, under each arm that wrote."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from r2rec.config import Config
from r2rec.config.slices import Arm, QuestionSlice, cut
from r2rec.evaluate.answers import evaluation_cases
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.prompts.cases import Chain, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import clean, clean_attributes, told_in_full
from r2rec.report.links import Link, step_links

MAX_CASES = 1000
MAX_PAGE_TEXT = 6_000_000  # characters of all answers together: a page stays under about 12 MB
MIN_ANSWER_TEXT = 800  # characters of each answer that are shown in any case
CACHED_ITEMS = 1 << 16  # the same items come up in many cases


class ShownAnswer(NamedTuple):
    """What one arm answered for one user. `before` and `tail` are its text around the steps."""

    verdict: str  # "right", "wrong" or "invalid"
    summary: str  # the verdict in words
    ranks: tuple[int, ...]  # of each candidate in the answer, from 1; 0 where it is left out
    before: str
    steps: Sequence[tuple[str, Sequence[Link]]]
    tail: str


class ShownEvidence(NamedTuple):
    """What the prompt says of evidence chains. Candidates go by index, the strongest first."""

    in_full: Sequence[tuple[int, Evidence]]  # of chain n: its candidate, and what it says
    order: Sequence[int]  # all candidates that chains lead to
    unlinked: Sequence[int]  # the others


class Case(NamedTuple):
    """One user. Texts are as the prompt shows them, and untrusted."""

    user: int | str
    profile: str | None
    history: Sequence[Item]  # latest last
    chains: Sequence[Chain]
    candidates: Sequence[Item]  # as shown: candidate k carries LABELS[k]
    positive: int  # index of the held-out item among them
    answers: Sequence[ShownAnswer]  # by arm
    evidence: ShownEvidence | None = None  # None: chains are of another kind
    facts: Sequence[Facts] = ()  # of each candidate; empty: not told


class Browser(NamedTuple):
    """Cases in the order of users, and the one that is open at first."""

    arms: Sequence[str]  # the last is shown at first
    cases: Sequence[Case]
    first: int  # index of the open case
    total: int  # users there are; `cases` are the first of them


def browser(
    config: Config,
    rankings: Mapping[str, pl.DataFrame],
    inputs: Mapping[str, Path],
    limit: int = MAX_CASES,
) -> Browser | None:
    """The cases of all arms that wrote text; None where no arm did.

    A right answer of the last arm is open at first, else a wrong one, else the first case.

    Args:
        rankings: Method -> its rankings table.
        inputs: Folders of `prepare`, `split` and `chain`.
        limit: Users that are shown, at most.
    """
    written = {}
    for method, table in rankings.items():
        if table["completion"].is_not_null().any():
            written[method] = table
    if not written:
        return None
    last_method = list(written)[-1]
    last_table = written[last_method]
    users = last_table.select("user", "positive", items="candidates").head(limit)
    choices = cut(QuestionSlice, config, arm=Arm(last_method))
    questions = evaluation_cases(choices, inputs, users)

    rows = [_by_user(table) for table in written.values()]
    room = max(MIN_ANSWER_TEXT, MAX_PAGE_TEXT // (len(questions) * len(rows)))
    reasoned = config.prompt.reasoning and not config.baseline.endpoint
    cases = []
    for question, (user, positive, items) in zip(questions, users.iter_rows(), strict=True):
        case = as_shown(question, config.prompt.title_length)
        index = items.index(positive)
        in_full = told_in_full(case, config.prompt.detailed)
        answers = [told(case, row.get(user), index, reasoned, room, in_full) for row in rows]
        shown = Case(
            user=user,
            profile=case.profile,
            history=case.history,
            chains=case.chains,
            candidates=case.candidates,
            positive=index,
            answers=answers,
            evidence=_shown_evidence(case, in_full),
            facts=case.facts,
        )
        cases.append(shown)
    return Browser(list(written), cases, _open_at_first(cases), last_table.height)


def told(
    case: RankingCase,
    row: Mapping[str, Any] | None,
    positive: int,
    reasoned: bool,
    room: int,
    in_full: Sequence[int] = (),
) -> ShownAnswer:
    """What an arm answered to a case.

    Args:
        row: Of its rankings table; None where the arm has none for this user.
        positive: Index of the held-out item among the candidates.
        reasoned: A thought was asked for.
        room: Characters of the thought, and of the answer, that are shown.
        in_full: Of `told_in_full`, where the case has evidence.
    """
    count = len(case.candidates)
    if row is None or row["completion"] is None:
        return ShownAnswer("invalid", "invalid: not asked", (0,) * count, "", (), "")
    ranks = _ranks(row["candidates"], row["ranking"])
    verdict, summary = verdict_of(row, ranks[positive], count, reasoned)

    text = row["completion"]
    closed = "</think>" in text
    thought, tail = split_thought(text, reasoned and (closed or not row["valid"]))
    if thought is None:
        thought = ""
    # "Step 0: x" keeps what comes before step 1; without it that text would be lost
    before, *steps = thought_steps(f"Step 0: x\n{_cut(thought, room)}")
    with_links = list(zip(steps, step_links(case, steps, in_full), strict=True))
    before = before.removeprefix("x").strip()
    return ShownAnswer(verdict, summary, ranks, before, with_links, _cut(tail, room).strip())


def _shown_evidence(case: RankingCase, in_full: Sequence[int]) -> ShownEvidence | None:
    """The evidence of a case as its prompt tells it; None where it has none."""
    if not case.evidence:
        return None
    order = []
    unlinked = []
    for index in case.strongest():
        if case.evidence[index].item1 is None:
            unlinked.append(index)
        else:
            order.append(index)
    chains = [(index, case.evidence[index]) for index in in_full]
    return ShownEvidence(chains, order, unlinked)


def _by_user(table: pl.DataFrame) -> dict[int, dict[str, Any]]:
    return {row["user"]: row for row in table.iter_rows(named=True)}


def _open_at_first(cases: Sequence[Case]) -> int:
    """Index of the first right answer of the last arm, else of the first wrong one, else 0."""
    for verdict in ("right", "wrong"):
        for index, case in enumerate(cases):
            if case.answers[-1].verdict == verdict:
                return index
    return 0


def _ranks(candidates: Sequence[int], ranking: Sequence[int]) -> tuple[int, ...]:
    """The rank of each candidate, from 1; 0 where it is left out."""
    rank_of = dict(zip(ranking, range(1, len(ranking) + 1), strict=True))
    return tuple(rank_of.get(item, 0) for item in candidates)


def as_shown(case: RankingCase, length: int) -> RankingCase:
    """The case with its texts cut and cleaned as the prompt does it."""
    profile = None
    if case.profile:
        profile = clean(case.profile)
    chains = []
    for chain in case.chains:
        item1 = _item_as_shown(chain.item1, length)
        item2 = _item_as_shown(chain.item2, length)
        chains.append(chain._replace(item1=item1, item2=item2))
    evidence = []
    for one in case.evidence:
        begins = one.item1 and _item_as_shown(one.item1, length)
        evidence.append(one._replace(item1=begins))
    return case._replace(
        profile=profile,
        history=_items_as_shown(case.history, length),
        chains=tuple(chains),
        candidates=_items_as_shown(case.candidates, length),
        evidence=tuple(evidence),
    )


def _items_as_shown(items: Sequence[Item], length: int) -> tuple[Item, ...]:
    return tuple(_item_as_shown(item, length) for item in items)


@lru_cache(maxsize=CACHED_ITEMS)
def _item_as_shown(item: Item, length: int) -> Item:
    return Item(clean(item.title, length), tuple(clean_attributes(item)))


def _cut(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return f"{text[:room]}… [cut here; rankings.parquet has all of it]"


def verdict_of(row: Mapping[str, Any], rank: int, count: int, reasoned: bool) -> tuple[str, str]:
    """(verdict, the same in words) of a held-out item at `rank`, 0 where the answer left it out."""
    if not row["valid"]:
        problem = parse_ranking(row["completion"], count, reasoned).problem
        return "invalid", f"invalid: {problem}"
    if rank == 0:
        return "wrong", "left out"
    summary = f"ranked {rank} of {count}"
    if rank == 1:
        return "right", summary
    return "wrong", summary
