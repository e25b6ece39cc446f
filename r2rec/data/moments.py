"""When something was rated, and what had been rated before: `evaluation.temporal`.

A target is asked about at the moment of its rating. What others rated at that moment or later is
unknown to it. Of the target's own user the order of the table decides, as in the split: ratings of
one second stand in the order of the file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import NO_TIMES

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GROWTH = 2.0
"""How many times as many ratings a snapshot has as the one before it."""


class Timeline(NamedTuple):
    """Ratings item by item, those of an item in time order.

    Attributes:
        row: [ratings] their rows in the table that they come from.
        time: [ratings] when they were given.
        start: [items + 1] where the ratings of each item begin in these.
    """

    row: IntArray
    time: IntArray
    start: IntArray

    @classmethod
    def of(cls, item: NDArray[np.integer[Any]], time: IntArray, n_items: int) -> Self:
        """The timeline of a table's columns."""
        row = np.lexsort((time, item))
        start = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=n_items))])
        return cls(row, time[row], start)

    def end(self, item: IntArray, moment: IntArray) -> IntArray:
        """[n] where the ratings of items [n] end that were given before moments [n]."""
        return first_from(self.time, self.start[item], self.start[item + 1], moment)


def first_from(time: IntArray, begin: IntArray, end: IntArray, moment: IntArray) -> IntArray:
    """[n] the first place in each stretch of `time` that is not before its moment.

    Args:
        begin, end: [n] the stretches; each is in time order.
        moment: [n]
    """
    low = begin.copy()
    high = end.copy()
    while (low < high).any():
        middle = (low + high) // 2
        # Where a stretch is exhausted, low == high: any valid place may be read there.
        is_before = time[np.minimum(middle, len(time) - 1)] < moment
        goes_on = low < high
        low = np.where(goes_on & is_before, middle + 1, low)
        high = np.where(goes_on & ~is_before, middle, high)
    return low


def snapshots(
    time: IntArray, moment: NDArray[np.integer[Any]]
) -> Iterator[tuple[IntArray, BoolArray]]:
    """Few sets of early ratings in place of one for each moment, for what is dear to compute.

    A moment gets the first m ratings in time, all of them before it: at least 1 / GROWTH of those
    before it. Which ones follows from these alone, whatever comes later.

    Args:
        time: [ratings] when each was given.
        moment: [n]

    Yields:
        Numbers of the moments that share a snapshot, and [ratings] whether each is in it.
    """
    order = np.argsort(time, kind="stable")
    n_before = np.searchsorted(time[order], moment)
    powers = np.arange(np.log(max(len(time), 1)) / np.log(GROWTH) + 1)
    sizes = np.unique(np.concatenate([[0], GROWTH**powers]).astype(np.int64))
    size = sizes[np.searchsorted(sizes, n_before, side="right") - 1]
    for one in np.unique(size):
        is_in = np.zeros(len(time), bool)
        is_in[order[:one]] = True
        yield np.flatnonzero(size == one), is_in


def positive_times(prepare: Path, candidates: pl.DataFrame) -> IntArray:
    """[n] when the users of these rows rated their positives, in seconds.

    Args:
        prepare: Folder of the artefact of stage `prepare`.
        candidates: Has the columns user and positive.
    """
    rated = pl.read_parquet(prepare / "interactions.parquet", columns=["user", "item", "timestamp"])
    pairs = candidates.select("user", item="positive")
    found = pairs.join(rated, on=["user", "item"], how="left", maintain_order="left")
    return found["timestamp"].to_numpy().astype(np.int64)


def refuse_without_times(facts: Mapping[str, Any], name: str) -> None:
    """Refuse a data set whose files tell no times.

    Args:
        facts: What stage `prepare` reports.
        name: Of the data set.

    Raises:
        R2RecError: It has no times.
    """
    if any(NO_TIMES in note for note in facts.get("notes", [])):
        raise R2RecError(
            f"evaluation.temporal=true needs the time of each rating, and dataset={name} has none: "
            "give a file with times, or leave evaluation.temporal out"
        )
