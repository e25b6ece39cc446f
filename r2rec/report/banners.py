"""Banners: what a reader must know before any figure of a page."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from r2rec.base.words import enumeration
from r2rec.report.records import Record, over_seeds
from r2rec.report.verdict import FEW_USERS

LEAST_VALID = 0.5  # a smaller share of valid answers is told
LEAST_ACCEPTED = 0.5  # the same of a teacher's thoughts that the audit accepted


def banners(
    records: Sequence[Record], teaching: Mapping[str, Any], more: Iterable[str] = ()
) -> list[str]:
    """Warnings, the gravest first.

    Args:
        teaching: What stage `think` reports of its traces; empty where there is none.
        more: Warnings from elsewhere.
    """
    rows = over_seeds(records)
    silent = [row for row in rows if row["valid_ratio"] == 0]
    told = []
    if silent:
        told.append(
            f"No valid answer from {enumeration(_names(silent))}: zeros there say that nothing "
            "could be read, not how well it ranks."
        )
    for row in rows:
        if 0 < row["valid_ratio"] < LEAST_VALID:
            told.append(
                f"Only {row['valid_ratio']:.0%} of the answers of {row['method']} are valid; all "
                "others count as misses."
            )
    n_users = max((record["n_users"] for record in records), default=FEW_USERS)
    if n_users < FEW_USERS:
        told.append(f"Only {n_users} users were ranked for: no figure here can be relied upon.")
    traces = teaching.get("traces", 0)
    if traces and teaching["accepted"] < LEAST_ACCEPTED * traces:
        rejected = 1 - teaching["accepted"] / traces
        told.append(f"The audit rejected {rejected:.0%} of the teacher’s {traces:,} thoughts.")
    return [*told, *more]


def _names(rows: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in rows))
