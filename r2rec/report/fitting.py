"""Tables for a terminal of 80 columns."""

import textwrap
from collections.abc import Sequence

WIDTH = 80
GAP = "  "
LEAST_TEXT = 12  # columns that a text keeps, however wide the table
LONGEST_WORD = 24  # a longer word may be broken
COUNTS = ("users", "seeds")  # columns of numbers that say what was measured

Cells = Sequence[Sequence[str]]


def aligned(cells: Cells, texts: int) -> str:
    """Lines of a table, header first; the first `texts` columns are texts, the others numbers."""
    widths = _widths(cells)
    header, *rows = cells
    rule = ["-" * width for width in widths]
    lines = []
    for row in (header, rule, *rows):
        padded = []
        for column, cell in enumerate(row):
            if column < texts:
                padded.append(cell.ljust(widths[column]))
            else:
                padded.append(cell.rjust(widths[column]))
        lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def fitted(cells: Cells, texts: int, width: int = WIDTH) -> str:
    """The same within `width` columns, as far as numbers allow.

    What is equal in all rows moves below the table, then long texts take several lines, then
    numbers that have no room left follow in a table of their own.
    """
    if _total(cells) <= width:
        return aligned(cells, texts)
    common, cells, texts = _without_constants(cells, texts)
    parts = [_wrapped(part, texts, width) for part in _in_parts(cells, texts, width)]
    if common:
        parts[-1] += "\n" + textwrap.fill(f"all rows: {common}", width, subsequent_indent="  ")
    return "\n\n".join(parts)


def _without_constants(cells: Cells, texts: int) -> tuple[str, Cells, int]:
    """A line on the columns that are equal in all rows, the other ones, and how many are texts.

    The first column always stays.
    """
    header, *rows = cells
    constant = {
        column
        for column, name in enumerate(header)
        if len({row[column] for row in rows}) == 1
        and column > 0
        and (column < texts or name in COUNTS)
    }
    said = [_said(header[column], rows[0][column]) for column in sorted(constant)]
    common = ", ".join(filter(None, said))
    kept = [column for column in range(len(header)) if column not in constant]
    rest = [[row[column] for column in kept] for row in cells]
    return common, rest, sum(column < texts for column in kept)


def _said(name: str, value: str) -> str:
    if name in COUNTS:
        return f"{value} {name}"
    return f"{name} {value}" if value else ""


def _in_parts(cells: Cells, texts: int, width: int) -> list[Cells]:
    """The table in as many as it takes for the numbers of each to fit beside short texts."""
    widths = _widths(cells)
    taken = sum(least + len(GAP) for least in _least_widths(cells, texts))
    parts: list[list[int]] = [[]]
    free = width - taken + len(GAP)
    for column in range(texts, len(widths)):
        needed = widths[column] + len(GAP)
        if needed > free and parts[-1]:
            parts.append([])
            free = width - taken + len(GAP)
        parts[-1].append(column)
        free -= needed
    return [[[row[column] for column in (*range(texts), *part)] for row in cells] for part in parts]


def _wrapped(cells: Cells, texts: int, width: int) -> str:
    """The table, with texts on as many lines as it takes to fit."""
    limits = _text_widths(cells, texts, width)
    lines = []
    for row in cells:
        columns = [_lines(cell, limit) for cell, limit in zip(row, limits, strict=False)]
        height = max(map(len, columns), default=1)
        for number in range(height):
            said = [column[number] if number < len(column) else "" for column in columns]
            numbers = row[texts:] if number == 0 else [""] * (len(row) - texts)
            lines.append([*said, *numbers])
    return aligned(lines, texts)


def _text_widths(cells: Cells, texts: int, width: int) -> list[int]:
    """The widths of the texts, those with most room to spare narrowed until the table fits."""
    limits = _widths(cells)[:texts]
    least = _least_widths(cells, texts)
    for _ in range(_total(cells) - width):
        spare = [limit - floor for limit, floor in zip(limits, least, strict=True)]
        if not spare or max(spare) <= 0:
            break
        limits[spare.index(max(spare))] -= 1
    return limits


def _least_widths(cells: Cells, texts: int) -> list[int]:
    """The widths that texts keep, however wide the table: that of their longest words."""
    least = []
    for column, width in enumerate(_widths(cells)[:texts]):
        words = [word for row in cells for word in row[column].split()]
        longest = min(LONGEST_WORD, max(map(len, words), default=0))
        least.append(min(width, max(LEAST_TEXT, longest)))
    return least


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(1, width), break_on_hyphens=False) or [""]


def _widths(cells: Cells) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def _total(cells: Cells) -> int:
    widths = _widths(cells)
    return sum(widths) + len(GAP) * (len(widths) - 1)
