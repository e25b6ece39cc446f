"""Which users a filter keeps: a table of filters over arrays of all answers of a run."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError, guess
from r2rec.evaluate.arrays import Floats, Integers
from r2rec.evaluate.metrics import positive_ranks
from r2rec.report.judgements import Judgements

Bools = NDArray[np.bool_]

POPULARITY = "popularity"
BY_CHANCE = "random"  # a rival that is right or wrong by chance tells nothing


class Standings(NamedTuple):
    """All answers of a run: [m] methods, [m, n] what they answered for n users."""

    methods: Sequence[str]
    rank: Floats  # of the held-out item, from 1; NaN: invalid, or left out
    first: Integers  # the item ranked first; -1: the answer is invalid
    false_claims: Integers  # of the thought

    def row(self, method: str) -> int:
        """Where a method stands.

        Raises:
            R2RecError: The run has no such method.
        """
        if method not in self.methods:
            known = ", ".join(self.methods)
            raise R2RecError(f"no method {method}{guess(method, self.methods)}; there are {known}")
        return self.methods.index(method)

    def right(self, method: str) -> Bools:
        """[n] whether the held-out item is first."""
        is_first: Bools = self.rank[self.row(method)] == 1
        return is_first


class Perspective(NamedTuple):
    """What filters are about."""

    model: str
    rivals: Sequence[str]
    sft: str | None = None  # the arm before RL
    rl: str | None = None  # and the one after it


def standings(
    users: Sequence[int], tables: Mapping[str, pl.DataFrame], judgements: Mapping[str, Judgements]
) -> Standings:
    """The standings of rankings tables; a user whom a table lacks has an invalid answer there."""
    order = pl.DataFrame({"user": users}, schema={"user": pl.UInt32})
    ranks, firsts, claims = [], [], []
    for method, table in tables.items():
        rows = order.join(table, on="user", how="left", maintain_order="left").with_columns(
            pl.col("ranking").fill_null([]), pl.col("valid").fill_null(False)
        )
        first = pl.when("valid").then(pl.col("ranking").list.first()).fill_null(-1)
        ranks.append(positive_ranks(rows))
        firsts.append(rows.select(first.cast(pl.Int64)).to_series().to_numpy())
        judged = judgements.get(method, {})
        claims.append([judged[user].wrong if user in judged else 0 for user in users])
    shape = len(tables), len(users)
    return Standings(
        methods=list(tables),
        rank=np.reshape(ranks, shape),
        first=np.reshape(firsts, shape),
        false_claims=np.reshape(np.array(claims, np.int64), shape),
    )


class Filter(NamedTuple):
    """One filter. `keeps` gives [n] which users stay; None where the run cannot tell."""

    title: str
    keeps: Callable[[Standings, Perspective], Bools | None]


def _right_alone(table: Standings, asked: Perspective) -> Bools | None:
    if not asked.rivals:
        return None
    rivals: Bools = np.any([table.right(rival) for rival in asked.rivals], axis=0)
    return table.right(asked.model) & ~rivals


def _rivals_alone(table: Standings, asked: Perspective) -> Bools | None:
    if not asked.rivals:
        return None
    rivals: Bools = np.any([table.right(rival) for rival in asked.rivals], axis=0)
    return rivals & ~table.right(asked.model)


def _fixed_by_rl(table: Standings, asked: Perspective) -> Bools | None:
    if asked.sft is None or asked.rl is None:
        return None
    return table.right(asked.rl) & ~table.right(asked.sft)


def _broken_by_rl(table: Standings, asked: Perspective) -> Bools | None:
    if asked.sft is None or asked.rl is None:
        return None
    return table.right(asked.sft) & ~table.right(asked.rl)


def _popularity_right(table: Standings, asked: Perspective) -> Bools | None:
    if POPULARITY not in table.methods or asked.model == POPULARITY:
        return None
    return table.right(POPULARITY) & ~table.right(asked.model)


def _disagree(table: Standings, asked: Perspective) -> Bools | None:
    if not asked.rivals:
        return None
    chosen = table.first[[table.row(method) for method in (asked.model, *asked.rivals)]]
    differs: Bools = (chosen != chosen[0]).any(axis=0)
    return differs


def _invalid(table: Standings, asked: Perspective) -> Bools:
    is_invalid: Bools = table.first[table.row(asked.model)] < 0
    return is_invalid


def _unfaithful(table: Standings, asked: Perspective) -> Bools:
    has_false_claims: Bools = table.false_claims[table.row(asked.model)] > 0
    return has_false_claims


FILTERS = {
    "right": Filter("right", lambda table, asked: table.right(asked.model)),
    "wrong": Filter("wrong", lambda table, asked: ~table.right(asked.model)),
    "right_alone": Filter("right, and every rival wrong", _right_alone),
    "rivals_alone": Filter("wrong, and some rival right", _rivals_alone),
    "rl_fixed": Filter("RL fixed what SFT had wrong", _fixed_by_rl),
    "rl_broke": Filter("RL broke what SFT had right", _broken_by_rl),
    "popularity_right": Filter("wrong, and popularity right", _popularity_right),
    "disagree": Filter("methods disagree: its first choice is not every rival's", _disagree),
    "invalid": Filter("invalid answer", _invalid),
    "unfaithful": Filter("a false claim in its thought", _unfaithful),
}
"""Name -> filter, about the model that is looked at."""


def kept_by_filter(table: Standings, asked: Perspective) -> dict[str, int]:
    """How many users each filter keeps, of those filters that the run can tell."""
    found = {}
    for name, one in FILTERS.items():
        kept = one.keeps(table, asked)
        if kept is not None:
            found[name] = int(kept.sum())
    return found


def kept(table: Standings, asked: Perspective, names: Sequence[str]) -> Bools:
    """[n] the users that all of these filters keep.

    Raises:
        R2RecError: There is no such filter, or the run cannot tell.
    """
    stay = np.ones(table.rank.shape[1], np.bool_)
    for name in names:
        if name not in FILTERS:
            raise R2RecError(f"no filter {name}{guess(name, FILTERS)}")
        part = FILTERS[name].keeps(table, asked)
        if part is None:
            raise R2RecError(f"filter {name} asks for methods that this run does not have")
        stay &= part
    return stay
