"""What the thoughts of a run are worth: how many claims are right, and how hits and misses came."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from r2rec.evaluate.metrics import positive_ranks
from r2rec.prompts.answer import split_thought
from r2rec.prompts.cases import RankingCase
from r2rec.report.naming import variant_text
from r2rec.report.numbers import valid_interval
from r2rec.report.records import THOUGHT_METRICS, Record, Row
from r2rec.thoughts.judged import Judgement, judged

KINDS = [name for name in THOUGHT_METRICS if not name.startswith("claims")]

Judgements = Mapping[int, Judgement]
"""User -> the judgement of what was written for them."""


def judge(
    table: pl.DataFrame, cases: Sequence[RankingCase], reasoned: bool
) -> dict[int, Judgement]:
    """Judge the thoughts of an arm; users for whom there is none are left out.

    Args:
        table: Its rankings table.
        cases: What the prompt told of each row.
        reasoned: A thought was asked for.
    """
    found = {}
    rows = zip(cases, table["user"], table["completion"], table["valid"], strict=True)
    for case, user, text, valid in rows:
        thought = thought_of(text, valid, reasoned)
        if thought:
            found[user] = judged(case, thought)
    return found


def thought_of(text: str | None, valid: bool, reasoned: bool) -> str | None:
    """The thought of a completion; of an invalid one also a thought that never ends."""
    if text is None:
        return None
    return split_thought(text, reasoned and ("</think>" in text or not valid))[0]


def outcome_kind(judgement: Judgement | None, valid: bool, hit: bool) -> str | None:
    """Which of `KINDS` an answer is; None: it is invalid, or no claim of it can be read."""
    if judgement is None or judgement.is_true is None or not valid:
        return None
    if hit:
        return "hits_faithful" if judgement.is_true else "hits_by_luck"
    return "misses_by_judgement" if judgement.is_true else "misses_by_misreading"


def judged_metrics(table: pl.DataFrame, judgements: Judgements) -> dict[str, float | None]:
    """`THOUGHT_METRICS` of an arm that writes: shares of claims, and shares of all users.

    A hit has the held-out item first. None where no claim can be read.
    """
    right = sum(judgement.right for judgement in judgements.values())
    wrong = sum(judgement.wrong for judgement in judgements.values())
    unread = sum(judgement.unread for judgement in judgements.values())
    if not right + wrong:
        return dict.fromkeys(THOUGHT_METRICS) | {"claims_unread": 1.0 if unread else None}
    counts: dict[str | None, int] = {}
    for user, valid, rank in zip(table["user"], table["valid"], positive_ranks(table), strict=True):
        kind = outcome_kind(judgements.get(user), valid, rank == 1)
        counts[kind] = counts.get(kind, 0) + 1
    return {
        "claims_right": right / (right + wrong),
        "claims_unread": unread / (right + wrong + unread),
        **{kind: counts.get(kind, 0) / table.height for kind in KINDS},
    }


def judged_cells(records: Sequence[Record]) -> list[Row]:
    """Rows of the page's table: an arm that writes and its `THOUGHT_METRICS` as text."""
    rows = []
    for record in records:
        if record.get("claims_right") is None:
            continue
        about: dict[str, Any] = {
            "method": record["method"],
            "variant": variant_text(record["variant"]),
        }
        users = record["fewest_users"]
        for name in THOUGHT_METRICS:
            about[name] = _share(record.get(name), users if name in KINDS else None)
        rows.append(about)
    return rows


def _share(value: float | None, users: int | None) -> str:
    """A share, with its 95% interval where it is one of users."""
    if value is None:
        return "–"
    share = f"{value:.1%}"
    return f"{share} ({valid_interval(value, users)})" if users else share
