"""What a diagnostic found, as text and as a picture."""

import json
from collections.abc import Mapping
from math import nan
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.report.plots import HUES, WIDTH, figure
from r2rec.report.tables import aligned, write_text

LEVELS = ("hr@1", "right", "first moved")
"""What may be drawn of a table's rows, where it has them."""


def diagnosis(name: str, found: Mapping[str, Path], folder: Path) -> tuple[str, dict[str, str]]:
    """(text, caption -> SVG) of one diagnostic; leaves tables/<name>.csv and plots/<name>.svg and .png.

    Args:
        found: Method -> its `diagnose` artefact.
    """
    tables = {method: pl.read_parquet(path / "diagnosis.parquet") for method, path in found.items()}
    joined = pl.concat(
        [
            table.select(pl.lit(method).alias("method"), pl.all())
            for method, table in tables.items()
        ],
        how="diagonal_relaxed",
    )
    write_text(folder / "tables" / f"{name}.csv", joined.write_csv())
    cells = [joined.columns, *([_short(value) for value in row] for row in joined.iter_rows())]
    facts = [
        f"{method}: {fact}: {'not measured' if value is None else _short(value)}"
        for method, path in found.items()
        for fact, value in json.loads((path / "facts.json").read_text()).items()
    ]
    text = "\n".join([f"diagnostic {name}", aligned(cells, texts=2), *facts])
    about = joined.columns[1]
    figures = {
        f"{name}: {level} by {about}": _bars(
            {method: dict(zip(map(str, table[about]), table[level], strict=True)) for method, table in tables.items()},
            level, f"{name}_{level.replace('@', '').replace(' ', '_')}", folder / "plots",
        )
        for level in LEVELS if level in joined.columns
    }  # fmt: skip
    return text, figures


def _bars(
    values: Mapping[str, Mapping[str, float | None]], title: str, name: str, folder: Path
) -> str:
    """A bar for each row, side by side for each method."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = list(dict.fromkeys(row for of in values.values() for row in of))

    def draw(sheet: Any) -> None:
        height = 0.8 / len(values)
        sheet.set_size_inches(WIDTH, 0.8 + 0.2 * len(rows) * len(values))
        ax = sheet.subplots()
        for n, (method, of) in enumerate(values.items()):
            places = [k + n * height for k in range(len(rows))]
            ax.barh(
                places,
                [nan if of.get(row) is None else of[row] for row in rows],
                height,
                color=HUES[n % len(HUES)],
                label=method,
            )
        ax.set(
            yticks=[k + 0.4 - height / 2 for k in range(len(rows))], yticklabels=rows, xlabel=title
        )
        ax.invert_yaxis()
        if len(values) > 1:
            sheet.legend(loc="outside upper left", ncols=2)

    return figure(name, draw, folder)


def _short(value: object) -> str:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
