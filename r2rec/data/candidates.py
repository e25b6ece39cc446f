"""The candidate table as arrays: evaluated users, the items shown, and the positive's index."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows of candidates.parquet, in the order of the table.

    Attributes:
        users: [n] the evaluated users.
        positives: [n] the held-out item of each user.
        items: [n, k] the items to rank, in the order in which they are shown.
    """

    users: NDArray[np.uint32]
    positives: NDArray[np.uint32]
    items: NDArray[np.uint32]

    @classmethod
    def of(cls, table: pl.DataFrame) -> Self:
        """The arrays of a table with the columns user, positive and items.

        Raises:
            polars.exceptions.ComputeError: The rows of `items` differ in length.
        """
        column = table["items"].cast(pl.List(pl.UInt32))
        if table.is_empty():
            items = np.empty((0, 0), np.uint32)
        else:
            items = column.list.to_array(len(column[0])).to_numpy()
        return cls(
            users=table["user"].to_numpy().astype(np.uint32),
            positives=table["positive"].to_numpy().astype(np.uint32),
            items=np.array(items, np.uint32),
        )

    @property
    def positive_index(self) -> NDArray[np.int64]:
        """[n] the column of `items` in which the positive stands."""
        if not len(self.users):
            return np.empty(0, np.int64)
        is_positive = self.items == self.positives[:, None]
        index: NDArray[np.int64] = is_positive.argmax(axis=1)
        return index
