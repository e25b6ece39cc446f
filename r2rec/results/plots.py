"""Pictures of results, for notebooks and papers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from r2rec.report.compare import SIGNIFICANCE
from r2rec.report.forest import differences_figure, forest
from r2rec.report.records import Record
from r2rec.report.tables import write_text

if TYPE_CHECKING:
    import polars as pl


class Picture(str):
    """An SVG, as text. A notebook shows it as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def save(self, path: str | Path) -> None:
        """Write the SVG to a file."""
        write_text(Path(path), self)


def plot_metrics(records: Sequence[Record]) -> Picture:
    """The main metric of every method with its 95% interval, averaged over seeds.

    Args:
        records: As metrics.json has them.
    """
    return Picture(forest(records))


def differences_picture(differences: "pl.DataFrame") -> Picture:
    """Differences about 0, filled where Holm's p is below 0.05.

    Args:
        differences: What `r2rec.compare` returns.
    """
    rows = []
    for row in differences.iter_rows(named=True):
        rows.append(row | {"ci95": [row["low"], row["high"]]})
    return Picture(differences_figure(rows, SIGNIFICANCE))
