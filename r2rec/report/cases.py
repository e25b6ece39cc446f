"""The case browser: each evaluated user's way from chains to answers, under each arm that wrote."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from r2rec.config import Config
from r2rec.config.slices import Arm, QuestionSlice, cut
from r2rec.evaluate.answers import evaluation_cases
from r2rec.evaluate.metrics import positive_ranks
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.prompts.cases import Chain, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import clean, clean_attributes, told_in_full
from r2rec.report.drawn import Drawing, neighbourhood
from r2rec.report.judgements import Judgements, judge, outcome_kind
from r2rec.report.links import Link, step_links
from r2rec.report.marks import WHY, Mark, claims_text, marks
from r2rec.thoughts.judged import Judgement

MAX_CASES = 4_000  # of more users the page lists the first
MAX_ANSWER_TEXT = 6_000  # characters of a thought, and of what is around it, that are shown
CACHED_ITEMS = 1 << 16  # the same items come up in many cases


class ShownAnswer(NamedTuple):
    """What one arm answered for one user. `before` and `tail` are its text around the steps."""

    verdict: str  # "right", "wrong" or "invalid"
    summary: str  # the verdict in words
    ranks: tuple[int, ...]  # of each candidate in the answer, from 1; 0 where it is left out
    before: str
    steps: Sequence[tuple[str, Sequence[Link]]]
    tail: str
    marks: Sequence[Mark] = ()  # of each step; empty: claims were not judged
    claims: str = ""  # how many are right, in words
    why: str = ""  # what the claims make of a hit or a miss

    def told(self) -> tuple[object, ...]:
        """All that is shown of its text."""
        return self.before, self.steps, self.tail, self.marks, self.claims


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
    graph: Drawing | None = None  # all chains together; None: there are none
    places: Sequence[int] = ()  # of the held-out item, by method; 0: left out

    @property
    def kind(self) -> tuple[str, ...]:
        """What it is an example of: how each arm answered, and why so."""
        return tuple(f"{answer.verdict} {answer.why}" for answer in self.answers)

    @property
    def split(self) -> bool:
        """Whether one arm has the held-out item first and another one has not."""
        return len({answer.verdict == "right" for answer in self.answers}) > 1

    def distinct_answers(self) -> list[tuple[ShownAnswer, list[int]]]:
        """Each text that was written once, with the arms, by index, that did not write it."""
        groups: list[tuple[ShownAnswer, list[int]]] = []
        for arm, answer in enumerate(self.answers):
            for first, arms in groups:
                if first.told() == answer.told():
                    arms.append(arm)
                    break
            else:
                groups.append((answer, [arm]))
        every = range(len(self.answers))
        return [(answer, [arm for arm in every if arm not in arms]) for answer, arms in groups]


class Browser(NamedTuple):
    """Cases in the order of users, and the one that is open at first."""

    arms: Sequence[str]  # the last is shown at first
    cases: Sequence[Case]
    first: int  # index of the open case
    total: int  # users there are; `cases` are the first of them
    methods: Sequence[str] = ()  # of `Case.places`

    def by_rarity(self) -> list[int]:
        """Indices of all cases, in the order in which a page with little room tells them.

        The open one is first, then one of each kind in turn, the rarest kind first: of whatever
        there is, the page has examples.
        """
        kinds: dict[tuple[str, ...], list[int]] = {}
        for index, case in enumerate(self.cases):
            kinds.setdefault(case.kind, []).append(index)
        rarest_first = sorted(kinds.values(), key=len)
        turns = [
            index for turn in zip_longest(*rarest_first) for index in turn if index is not None
        ]
        return list(dict.fromkeys([self.first, *turns]))


class WrittenArms(NamedTuple):
    """The arms of a run that wrote text, and what they were asked."""

    tables: Mapping[str, pl.DataFrame]  # method -> rankings, all of the same users
    questions: Sequence[RankingCase]  # of each user
    judgements: Mapping[str, Judgements]  # of each method
    places: Mapping[int, Mapping[str, int]]  # user -> method, also of those that write nothing ->
    # where it has the held-out item; 0: left out


def written_arms(
    config: Config, rankings: Mapping[str, pl.DataFrame], inputs: Mapping[str, Path]
) -> WrittenArms | None:
    """All arms that wrote text, their thoughts judged; None where no arm did.

    Args:
        rankings: Method -> its rankings table.
        inputs: Folders of `prepare`, `split` and `chain`.
    """
    tables = {}
    for method, table in rankings.items():
        if table["completion"].is_not_null().any():
            tables[method] = table
    if not tables:
        return None
    method, table = list(tables.items())[-1]
    choices = cut(QuestionSlice, config, arm=Arm(method))
    users = table.select("user", "positive", items="candidates")
    questions = evaluation_cases(choices, inputs, users)
    told = dict(zip(users["user"], questions, strict=True))
    judgements = {}
    for method, table in tables.items():
        rows = table.filter(pl.col("user").is_in(list(told)))
        cases = [told[user] for user in rows["user"]]
        judgements[method] = judge(rows, cases, _reasoned(config))
    return WrittenArms(tables, questions, judgements, _places(rankings))


def _places(rankings: Mapping[str, pl.DataFrame]) -> dict[int, dict[str, int]]:
    places: dict[int, dict[str, int]] = {}
    for method, table in rankings.items():
        for user, rank in zip(table["user"], positive_ranks(table), strict=True):
            places.setdefault(user, {})[method] = 0 if isnan(rank) else int(rank)
    return places


def _reasoned(config: Config) -> bool:
    """Whether methods were asked for a thought."""
    return config.prompt.reasoning and not config.baseline.endpoint


def browser(config: Config, written: WrittenArms | None, limit: int = MAX_CASES) -> Browser | None:
    """The cases of all arms that wrote text; None where no arm did.

    A right answer of the last arm is open at first, else a wrong one, else the first case.

    Args:
        limit: Users that are shown, at most.
    """
    if written is None:
        return None
    last_table = list(written.tables.values())[-1]
    users = last_table.select("user", "positive", items="candidates").head(limit)
    questions = written.questions[:limit]

    rows = {method: _by_user(table) for method, table in written.tables.items()}
    methods = list(dict.fromkeys(name for of_user in written.places.values() for name in of_user))
    cases = []
    for question, (user, positive, items) in zip(questions, users.iter_rows(), strict=True):
        case = as_shown(question, config.prompt.title_length)
        index = items.index(positive)
        in_full = told_in_full(case, config.prompt.detailed)
        answers = []
        for method, row in rows.items():
            judgement = written.judgements[method].get(user)
            asked = Asked(case, index, _reasoned(config), in_full)
            answers.append(told(asked, row.get(user), judgement, MAX_ANSWER_TEXT))
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
            graph=neighbourhood(case, index, in_full),
            places=[written.places[user].get(method, 0) for method in methods],
        )
        cases.append(shown)
    first = _open_at_first(cases)
    return Browser(list(written.tables), cases, first, last_table.height, methods)


class Asked(NamedTuple):
    """A question to all arms."""

    case: RankingCase  # as shown
    positive: int  # index of the held-out item among the candidates
    reasoned: bool  # a thought was asked for
    in_full: Sequence[int] = ()  # of `told_in_full`, where the case has evidence


def told(
    asked: Asked, row: Mapping[str, Any] | None, judgement: Judgement | None, room: int
) -> ShownAnswer:
    """What an arm answered to a case.

    Args:
        row: Of its rankings table; None where the arm has none for this user.
        judgement: Of its thought.
        room: Characters of the thought, and of the answer, that are shown.
    """
    case, positive, reasoned, in_full = asked
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
    links = step_links(case, steps, in_full)
    return ShownAnswer(
        verdict=verdict,
        summary=summary,
        ranks=ranks,
        before=before.removeprefix("x").strip(),
        steps=list(zip(steps, links, strict=True)),
        tail=_cut(tail, room).strip(),
        marks=marks(steps, links, judgement, in_full) if judgement else (),
        claims=claims_text(judgement) if judgement else "",
        why=WHY.get(outcome_kind(judgement, row["valid"], verdict == "right") or "", ""),
    )


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
