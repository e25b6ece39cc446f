"""Tables as files have them: csv, tsv, Parquet and what MovieLens writes, packed or not.

Every value of a text file is text here. Rows that cannot be read are left out and counted; a file
that is no table at all is named for what it is.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import counted
from r2rec.data.packed import BOM, GZIP_MAGIC, UNPACKING_ERRORS, gunzipped
from r2rec.data.plain_tables import plain_table

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
PARQUET_MAGIC = b"PAR1"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
WRONG = {  # how a file begins -> what it is
    b"pk\x03\x04": "a zip archive or an Excel file",
    b"%pdf": "a PDF",
    b"sqlite format 3": "an SQLite database",
    b"\x89hdf": "an HDF5 file",
    b"bzh": "a bzip2 archive",
    b"\xfd7zxz": "an xz archive",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "an XML document",
    b"{": "made of JSON objects",
    b"[": "a JSON list",
}
SEPARATORS = "\t,;|"
INNER_SEPARATOR = "\x1f"  # in place of "::", which is too long for a csv parser
# Well-formed characters of UTF-8 that take several bytes; rare in text of one byte per character.
WIDE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
MAX_NULLS = 10  # one in so many characters of a text may be null
EXCESS = ""  # the column of what a row has beyond its fields; no other column is called so
MAX_QUOTED = 60  # characters of a file that a message shows


class Table(NamedTuple):
    """Rows of a file, and one line per reason for which others were left out."""

    rows: pl.DataFrame
    notes: list[str]


def sift(rows: pl.DataFrame, source: str, faults: Mapping[str, pl.Expr]) -> Table:
    """The rows without a fault. A row that has several is counted under the first.

    Args:
        source: What messages call the rows' origin.
        faults: What is wrong -> where it is.
    """
    numbered = [
        pl.when(is_wrong).then(pl.lit(n, pl.UInt8)) for n, is_wrong in enumerate(faults.values())
    ]
    fault = rows.select(fault=pl.coalesce(numbered))["fault"]
    if fault.null_count() == rows.height:
        return Table(rows, [])
    counts = dict(fault.drop_nulls().value_counts().iter_rows())
    notes = [
        f"{counted(counts[n], 'row')} of {source} left out: {words}"
        for n, words in enumerate(faults)
        if n in counts
    ]
    return Table(rows.filter(fault.is_null()), notes)


def read_table(
    path: Path,
    *,
    separator: str | None = None,
    header: Sequence[str] | None = None,
    quoted: bool = True,
    numbers: bool = False,
) -> Table:
    """The table in a file: Parquet with its types, or delimited text with text in every column.

    Text is UTF-8, UTF-16 or Windows-1252 (latin-1 is part of it), packed by gzip or zstd or not.

    Args:
        separator: Of fields. None: whatever is most frequent in the first line.
        header: Names of the columns of a file without a line of names.
        quoted: Whether a field may stand between double quotes.
        numbers: Whether columns of whole numbers in their usual writing may come as i64.

    Raises:
        R2RecError: The file cannot be read to its end, is empty, or is no table.
    """
    data = unpacked(path)
    if data.startswith(PARQUET_MAGIC):
        return _parquet(path)
    kind = kind_of(data)
    if kind:
        raise R2RecError(f"{path} is {kind}, but should be a table of text or Parquet: replace it")
    text, has_damage = _utf8(data)
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
    text = text.lstrip(b"\n")
    first, _, rest = text.partition(b"\n")
    first_line = first.decode()
    separator = separator or max(SEPARATORS, key=first_line.count)
    inner = INNER_SEPARATOR if separator == "::" else separator
    if header is None:
        header = _names(path, first_line.replace(separator, inner), inner, quoted)
        text = rest
    has_inner = inner != separator and inner.encode() in text
    if numbers and not has_damage and not has_inner:
        plain = plain_table(text, separator, header, quoted)
        if plain is not None:
            return Table(plain, [])
    if inner != separator:
        text = text.replace(separator.encode(), inner.encode())
    rows, n_broken = _parsed(path, text, inner, header, quoted)
    faults = {"more fields than columns": pl.col(EXCESS).is_not_null()}
    if has_damage:
        replaced = pl.all().str.contains("\N{REPLACEMENT CHARACTER}", literal=True)
        faults["text that cannot be decoded"] = pl.any_horizontal(replaced)
    table = sift(rows, path.name, faults)
    notes = list(table.notes)
    if n_broken:
        lines = counted(n_broken, "line")
        notes.append(f"{lines} of {path.name} left out: a quote that is never closed")
    return Table(table.rows.drop(EXCESS), notes)


def unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked if they are packed by gzip or zstd, without a byte-order mark.

    Raises:
        R2RecError: The file cannot be read to its end, or is empty.
    """
    try:
        data = path.read_bytes()
        if data.startswith(GZIP_MAGIC):
            data = gunzipped(data)
        elif data.startswith(ZSTD_MAGIC):
            import pyarrow

            with pyarrow.input_stream(str(path), compression="zstd") as stream:
                data = stream.read()
    except UNPACKING_ERRORS as error:
        raise R2RecError(f"{path} cannot be read to its end ({error}): get it again") from None
    data = data.removeprefix(BOM)
    if not data.strip():
        raise R2RecError(f"{path} is empty: get it again")
    return data


def kind_of(data: bytes) -> str | None:
    """What a file is that begins so, if that is no table of text."""
    start = data[:200].lstrip().lower()
    for mark, kind in WRONG.items():
        if start.startswith(mark):
            return kind
    if start.count(b"\0") > len(start) / MAX_NULLS and not data.startswith(UTF_16):
        return "no text"
    return None


def _parquet(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            return Table(pl.read_parquet(file), [])
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0][:MAX_QUOTED]
        raise R2RecError(f"{path} cannot be read as Parquet ({reason}): get it again") from None


def _utf8(data: bytes) -> tuple[bytes, bool]:
    """Text as UTF-8; and whether some of it could not be decoded and is replaced."""
    if data.startswith(UTF_16):
        text = data.decode("utf-16", "replace")
    else:
        try:
            data.decode()
            return data, False
        except UnicodeDecodeError:
            encoding = "utf-8" if WIDE.search(data) else "cp1252"
            text = data.decode(encoding, "replace")
    return text.encode(), "\N{REPLACEMENT CHARACTER}" in text


def _names(path: Path, line: str, separator: str, quoted: bool) -> list[str]:
    """The names of columns in the first line."""
    fields = line.split(separator)
    mended = _mended(line, separator)
    if quoted and mended:
        fields = next(csv.reader([mended], delimiter=separator))
    names = [name.strip() or f"column {n}" for n, name in enumerate(fields, start=1)]
    if all(re.fullmatch(r"[-+.\d]+", name) for name in names):
        raise R2RecError(
            f"{path} has no line with names of columns, but starts with "
            f"{line[:MAX_QUOTED]!r}: add one"
        )
    for name in names:
        if names.count(name) > 1:
            raise R2RecError(f"{path} has several columns {name[:MAX_QUOTED]!r}: rename them")
    return names


def _parsed(
    path: Path, text: bytes, separator: str, names: Sequence[str], quoted: bool
) -> tuple[pl.DataFrame, int]:
    """The fields of all rows, in EXCESS what is beyond them; and how many lines are left out."""
    rows = _fields(text, separator, names, quoted)
    n_broken = 0
    if quoted and (rows is None or _spans_lines(rows)):
        # Either text of several lines, or a quote that is never closed and swallows what follows.
        # Then each line is a row.
        lines = [
            _mended(line, separator) if '"' in line else line for line in text.decode().split("\n")
        ]
        mended = "\n".join(line for line in lines if line is not None)
        others = _fields(mended.encode(), separator, names, quoted)
        if _whole_rows(others) > _whole_rows(rows):
            rows = others
            n_broken = lines.count(None)
    if rows is None:
        raise R2RecError(f"{path} cannot be read as a table: repair it")
    return rows.filter(~pl.all_horizontal(pl.all().is_null())), n_broken


def _mended(line: str, separator: str) -> str | None:
    """A row with its quotes where a csv has them; None if they do not match."""
    try:
        [fields] = csv.reader([line], delimiter=separator, strict=True)
    except (csv.Error, ValueError):
        return None
    mended = io.StringIO()
    csv.writer(mended, delimiter=separator, lineterminator="").writerow(fields)
    return mended.getvalue()


def _fields(text: bytes, separator: str, names: Sequence[str], quoted: bool) -> pl.DataFrame | None:
    """The fields of all rows; None if Polars cannot make sense of them."""
    header = separator.join(str(n) for n in range(len(names) + 1))
    try:
        rows = pl.read_csv(
            header.encode() + b"\n" + text,
            separator=separator,
            quote_char='"' if quoted else None,
            infer_schema=False,
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError:
        return None
    rows.columns = [*names, EXCESS]
    return rows


def _spans_lines(rows: pl.DataFrame) -> bool:
    """Whether some field has several lines."""
    several = pl.any_horizontal(pl.all().str.contains("\n", literal=True))
    return bool(rows.select(several.any()).item())


def _whole_rows(rows: pl.DataFrame | None) -> int:
    """How many rows have neither too few nor too many fields, as far as can be seen."""
    if rows is None:
        return 0
    first, last = rows.columns[0], rows.columns[-2]  # before EXCESS
    has_all = pl.col(first).is_not_null() & pl.col(last).is_not_null()
    return rows.filter(has_all & pl.col(EXCESS).is_null()).height
