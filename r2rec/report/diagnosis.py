"""The result of a diagnostic, as text and as pictures."""

import json
from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from r2rec.evaluate.names import metric_title
from r2rec.report.fitting import aligned
from r2rec.report.plots import FAINT, HATCHES, HUES, WIDTH, Told, figure, up_to_one
from r2rec.report.tables import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Those that a diagnostic's table has get a picture.
DRAWN_COLUMNS = ("hr@1", "right", "first moved")
BARS_HEIGHT = 0.8  # of a group of bars; the rest of 1 is the gap to the next group

Bars = Mapping[str, float | None]  # row of a table -> value; None: not measured


class DiagnosisText(NamedTuple):
    """A diagnostic as a report shows it."""

    text: str
    figures: dict[str, str]  # caption -> SVG


def diagnosis(name: str, artefacts: Mapping[str, Path], folder: Path) -> DiagnosisText:
    """Tables and figures of one diagnostic; leaves tables/<name>.csv, plots/<name>_*.svg and .png.

    Args:
        artefacts: Method -> folder of its `diagnose` artefact.
        folder: Of the run.
    """
    tables = {}
    with_method = []
    for method, path in artefacts.items():
        table = pl.read_parquet(path / "diagnosis.parquet")
        tables[method] = table
        with_method.append(table.select(pl.lit(method).alias("method"), pl.all()))
    joined = pl.concat(with_method, how="diagonal_relaxed")
    write_text(folder / "tables" / f"{name}.csv", joined.write_csv())

    subject = joined.columns[1]  # what the rows are about, for example "change"
    figures = {}
    for column in DRAWN_COLUMNS:
        if column in joined.columns:
            bars = {}
            for method, table in tables.items():
                bars[method] = _bars(table, subject, column)
            file = f"{name}_{column.replace('@', '').replace(' ', '_')}"
            drawn = _bar_chart(bars, column, file, folder / "plots")
            figures[f"{name}: {column} by {subject}"] = drawn
    lines = [f"diagnostic {name}", _as_text(joined), *_facts(artefacts)]
    return DiagnosisText("\n".join(lines), figures)


def _as_text(table: pl.DataFrame) -> str:
    cells: list[Sequence[str]] = [table.columns]
    for row in table.iter_rows():
        cells.append(list(map(_short, row)))
    return aligned(cells, texts=2)


def _facts(artefacts: Mapping[str, Path]) -> list[str]:
    """Lines such as "R2Rec: agreement: 0.250"."""
    lines = []
    for method, path in artefacts.items():
        facts = json.loads((path / "facts.json").read_text())
        for fact, value in facts.items():
            text = "not measured"
            if value is not None:
                text = _short(value)
            lines.append(f"{method}: {fact}: {text}")
    return lines


def _bars(table: pl.DataFrame, subject: str, column: str) -> Bars:
    names = map(str, table[subject])
    return dict(zip(names, table[column], strict=True))


def _bar_chart(bars_of: Mapping[str, Bars], title: str, name: str, folder: Path) -> str:
    """A group of bars per row of the tables, one bar in it per method."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, None] = {}  # in order, each once
    for bars in bars_of.values():
        rows |= dict.fromkeys(bars)

    axis = f"{metric_title(title) if '@' in title else title}, share of users"

    def draw(canvas: "Figure") -> None:
        height = BARS_HEIGHT / len(bars_of)
        canvas.set_size_inches(WIDTH, 0.8 + 0.2 * len(rows) * len(bars_of))
        ax = canvas.subplots()
        groups = np.arange(len(rows))
        for number, (method, bars) in enumerate(bars_of.items()):
            lengths = []
            for row_name in rows:
                value = bars.get(row_name)
                if value is None:
                    value = nan
                lengths.append(value)
            look: Any = {"color": HUES[number % len(HUES)], "label": method}
            if number:  # beside the first one they differ by more than their hues
                look |= {"hatch": HATCHES[number % len(HATCHES)], "edgecolor": FAINT}
            ax.barh(groups + number * height, lengths, height, linewidth=0, **look)
        ticks = groups + BARS_HEIGHT / 2 - height / 2
        ax.set(
            yticks=ticks, yticklabels=list(rows), xlabel=f"{metric_title(title)}, share of users"
        )
        ax.invert_yaxis()
        up_to_one(ax, "x")
        if len(bars_of) > 1:
            canvas.legend(loc="outside upper left", ncols=2)

    told = []
    for method, bars in bars_of.items():
        told += [f"{method}: {row} {value:.3f}" for row, value in bars.items() if value is not None]
    return figure(name, draw, folder, Told(axis, "; ".join(told)))


def _short(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)
