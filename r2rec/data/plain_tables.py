"""Tables without surprises, the usual case: whole numbers are read as numbers, which is faster.

That a column holds nothing but whole numbers in their usual writing ("7"; not "07", "+7" or " 7")
is seen from the length of the file: numbers need so many characters in that writing, any other
takes more. A file that is longer than that, or that Polars cannot read so, is left to the tolerant
reader (`tables`); of all others that one would make the same rows.
"""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

SAMPLE = 1 << 14  # bytes at the start of a file that tell which columns hold numbers
NUMBER = re.compile(rb"[0-9]+")


def plain_table(
    data: bytes, separator: str, header: Sequence[str], quoted: bool
) -> pl.DataFrame | None:
    """The rows of a text (i64 where whole numbers are, else text); None if it is not plain.

    Args:
        data: Rows without a line of names; they end in line feeds.
        separator: Of fields: one character, or one that is written twice.
        header: Names of the columns.
        quoted: Whether a field may stand between double quotes. A plain one doesn't.
    """
    if quoted and b'"' in data:
        return None
    first_lines = data[:SAMPLE].split(b"\n")[:-1]
    sample = [line.split(separator.encode()) for line in first_lines]
    if not sample or any(len(fields) != len(header) for fields in sample):
        return None
    are_numbers = [all(map(NUMBER.fullmatch, column)) for column in zip(*sample, strict=True)]
    rows = _parsed_plainly(data, separator, are_numbers)
    if rows is None or sum(rows.null_count().row(0)):
        return None
    # Between two rows a line end, which the last one may lack.
    n_ends = rows.height - (not data.endswith(b"\n"))
    n_separators = (len(header) - 1) * len(separator) * rows.height
    if len(data) != sum(map(_length, rows)) + n_separators + n_ends:
        return None
    rows.columns = list(header)
    return rows


def _parsed_plainly(data: bytes, separator: str, are_numbers: list[bool]) -> pl.DataFrame | None:
    """A column for each field; None if Polars cannot read numbers where they should be."""
    # "::" is too long for a csv parser: it is taken as ":", an empty field, and another ":".
    between = [pl.String] * (len(separator) - 1)
    kinds: list[type[pl.DataType]] = []
    used = []
    for is_number in are_numbers:
        kinds += between if kinds else []
        used.append(len(kinds))
        kinds.append(pl.Int64 if is_number else pl.String)
    try:
        return pl.read_csv(
            data,
            has_header=False,
            separator=separator[0],
            quote_char=None,
            schema={f"column_{n}": kind for n, kind in enumerate(kinds)},
            columns=used,
        )
    except pl.exceptions.PolarsError:
        return None


def _length(column: pl.Series) -> int:
    """Bytes of all values in their usual writing; -1 if a number is negative."""
    if column.dtype == pl.String:
        return int(column.str.len_bytes().sum())
    values = column.to_numpy()
    low, high = int(values.min()), int(values.max())
    if low < 0:
        return -1
    digits = len(values) * len(str(low))
    for more in range(len(str(low)), len(str(high))):
        digits += int(np.count_nonzero(values >= 10**more))
    return digits
