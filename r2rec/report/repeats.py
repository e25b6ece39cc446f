"""Runs of one method again: which seeds they had, and what differs between them.

A record of metrics.json has its `seed`, and `seeds` (data, train, answer) where a run set one of
them apart. Two repeats of one data seed ranked the same candidates for the same users.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from r2rec.base.words import enumeration

WORDS = {"data": "candidates and users", "train": "training", "answer": "answers"}


class Repeat(NamedTuple):
    """The seeds of a result; None: it is the same whichever this one is."""

    data: int
    train: int | None
    answer: int | None

    def text(self) -> str:
        """ "seed 0", or "data 0, train 1, answer 0"."""
        if len(set(self)) == 1:
            return f"seed {self.data}"
        parts = zip(SIDES, self, strict=True)
        return ", ".join(f"{side} {seed}" for side, seed in parts if seed is not None)


SIDES = Repeat._fields  # as in `config.run.SIDES`


def repeat_of(record: Mapping[str, Any]) -> Repeat:
    """The seeds of a record of metrics.json."""
    apart = record.get("seeds")
    if apart is None:
        return Repeat(*[record["seed"]] * len(SIDES))
    return Repeat(*(apart[side] for side in SIDES))


def seed_columns(record: Mapping[str, Any]) -> dict[str, int | None]:
    """seed_data, seed_train and seed_answer of a record that has them apart."""
    if record.get("seeds") is None:
        return {}
    return {f"seed_{side}": seed for side, seed in repeat_of(record)._asdict().items()}


def seeds_text(records: Iterable[Mapping[str, Any]]) -> str:
    """The seeds of some records: "0, 1", or "data 0, train 0, answer 0; data 0, train 1, ..."."""
    repeats = list(dict.fromkeys(map(repeat_of, records)))
    if all(len(set(repeat)) == 1 for repeat in repeats):
        return ", ".join(map(str, sorted(repeat.data for repeat in repeats)))
    return "; ".join(repeat.text() for repeat in repeats if None not in repeat)


def varied_sides(repeats: Iterable[Repeat]) -> list[str]:
    """Which of `SIDES` differ between repeats of one method."""
    columns = zip(*repeats, strict=True)
    values = [{seed for seed in column if seed is not None} for column in columns]
    return [side for side, seeds in zip(SIDES, values, strict=False) if len(seeds) > 1]


def varied_in(table: pl.DataFrame) -> list[str]:
    """Which of `SIDES` differ between the rows of a table with such columns."""
    return [side for side in SIDES if table[side].drop_nulls().n_unique() > 1]


def varied_text(sides: Sequence[str], n: int) -> str:
    """What differs between n repeats: "3 runs on the same candidates and users: only ..."."""
    if n < 2 or not sides:
        return ""
    if "data" in sides:
        parts = ["candidates", "users", *(WORDS[side] for side in sides if side != "data")]
        return f"{n} seeds: {enumeration(parts)} differ"
    same = f"{n} runs on the same {WORDS['data']}"
    if len(sides) == 1:
        return f"{same}: only {WORDS[sides[0]]} {'differs' if sides == ['train'] else 'differ'}"
    return f"{same}: {enumeration([WORDS[side] for side in sides])} differ"


def with_shared(
    results: Sequence[tuple[Mapping[str, Any], Any]],
) -> list[Mapping[str, Any]]:
    """Records in which a seed is null where it does not matter: the very same result had others.

    Args:
        results: (record, what says that two are the same result; falsy: nothing does).
    """
    shared: dict[Any, list[Repeat]] = {}
    for record, same in results:
        if same:
            shared.setdefault(same, []).append(repeat_of(record))
    records: list[Mapping[str, Any]] = []
    for record, same in results:
        no_matter = [side for side in varied_sides(shared[same]) if side != "data"] if same else []
        if no_matter:
            seeds = repeat_of(record)._asdict() | dict.fromkeys(no_matter)
            record = {**record, "seeds": seeds}
        records.append(record)
    return records


def repeats_in(table: pl.DataFrame) -> int:
    """How many repeats the rows of a table are from."""
    return table.select(SIDES).n_unique()


def independent(table: pl.DataFrame) -> pl.Series:
    """[rows] the seed that statistics take for a draw of its own.

    Runs on one draw of data share what that draw brings, so where data differ, all runs on one
    draw count together; where they are the same, each training counts, with all its answers.
    """
    for side in SIDES:
        if table[side].drop_nulls().n_unique() > 1:
            return table[side]
    return table["data"]


def paired_rows(table: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """The rows of two tables of scores that belong together: one user, the same candidates.

    A result that does not depend on a seed is paired with each of the other method's results.

    Args:
        table: user, positive, shown (the candidates as text), score, and `SIDES`.

    Returns:
        Such a table, with the other one's score in `score_before`.
    """
    both = table.join(other, on=["data", "user", "positive", "shown"], suffix="_before")
    for side in SIDES[1:]:
        before = f"{side}_before"
        same = pl.col(side) == pl.col(before)
        both = both.filter(same.fill_null(value=True))
        both = both.with_columns(pl.coalesce(side, before)).drop(before)
    return both
