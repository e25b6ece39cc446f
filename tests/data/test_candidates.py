"""The candidate table as arrays."""

import numpy as np
import polars as pl
import pytest

from r2rec.data.candidates import Candidates

SCHEMA = {"user": pl.UInt32, "positive": pl.UInt32, "items": pl.List(pl.UInt32)}
ROWS = {"user": [7, 2], "positive": [5, 9], "items": [[4, 6, 5], [9, 1, 0]]}


def test_candidates_of_table() -> None:
    table = pl.DataFrame(ROWS, schema=SCHEMA)
    candidates = Candidates.of(table)
    assert candidates.users.tolist() == [7, 2]
    assert candidates.positives.tolist() == [5, 9]
    assert candidates.items.tolist() == ROWS["items"]
    assert candidates.positive_index.tolist() == [2, 0]
    assert candidates.users.dtype == candidates.positives.dtype == np.uint32
    assert candidates.items.dtype == np.uint32
    assert candidates.positive_index.dtype == np.int64
    candidates.items[0, 0] = 1  # a copy: the table stays as it is
    assert table["items"].to_list() == ROWS["items"]


def test_candidates_accept_array_column() -> None:
    as_arrays = {**SCHEMA, "items": pl.Array(pl.UInt32, 3)}
    assert Candidates.of(pl.DataFrame(ROWS, schema=as_arrays)).items.tolist() == ROWS["items"]


def test_candidates_of_empty_table() -> None:
    candidates = Candidates.of(pl.DataFrame(schema=SCHEMA))
    assert candidates.users.shape == candidates.positives.shape == (0,)
    assert candidates.items.shape == (0, 0)
    assert candidates.positive_index.shape == (0,)


def test_candidates_reject_ragged_rows() -> None:
    ragged = pl.DataFrame({**ROWS, "items": [[4, 5], [9, 1, 0]]}, schema=SCHEMA)
    with pytest.raises(pl.exceptions.PolarsError):
        Candidates.of(ragged)
