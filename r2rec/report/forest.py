"""Forest plots: an interval a line, each under its name, one panel per data set and one scale for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base.errors import R2RecError
from r2rec.report.plots import FAINT, HUES, WIDTH, figure
from r2rec.report.tables import Record, over_seeds


class Line(NamedTuple):
    """One interval of a forest plot."""

    label: str
    value: float
    low: float
    high: float
    said: str  # the value in words
    filled: bool = True


def forest(records: Sequence[Record], folder: Path | None = None) -> str:
    """HR@1 of every arm with its 95% interval, averaged over seeds."""
    panels: dict[str, list[Line]] = {}
    for row in over_seeds(records):
        low, high = row["ci95"]["hr@1"]
        line = Line(_label(row), row["hr@1"], low, high, f"{row['hr@1']:.3f}")
        panels.setdefault(row["dataset"], []).append(line)
    if not panels:
        raise R2RecError("forest plot: no results to draw; rank with at least one method first")
    return _forest("forest", panels, "HR@1, with 95% interval over users", folder)


def differences_figure(rows: Sequence[Record], sure: float, folder: Path | None = None) -> str:
    """Paired differences in HR@1, rows of `join.differences`, about 0; filled where p_holm is below `sure`."""
    panels: dict[str, list[Line]] = {}
    for row in rows:
        low, high = row["ci95"]
        said = f"{row['difference']:+.3f}".replace("-", "−")
        label, clear = f"{_short(row['method'])}\n− {_short(row['against'])}", row["p_holm"] < sure
        panels.setdefault(row["dataset"], []).append(
            Line(label, row["difference"], low, high, said, clear)
        )
    if not panels:
        raise R2RecError("forest plot: no differences to draw; compare at least two arms")
    return _forest(
        "differences", panels, "difference in HR@1, with 95% interval", folder, about=0, inches=0.58
    )


def _forest(
    name: str,
    panels: Mapping[str, Sequence[Line]],
    axis: str,
    folder: Path | None,
    about: float | None = None,
    inches: float = 0.42,
) -> str:
    """A panel per data set, each line `inches` high, with an upright at `about`."""

    def draw(canvas: Any) -> None:
        heights = [len(panel) + 0.6 for panel in panels.values()]
        canvas.set_size_inches(WIDTH, 0.55 + inches * sum(heights))
        axes = canvas.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[
            :, 0
        ]
        for ax, (dataset, panel) in zip(axes, panels.items(), strict=True):
            _forest_panel(ax, dataset, panel)
            if about is not None:  # in pieces, for a whole line would cross out the names
                for place in range(len(panel)):
                    ax.plot([about, about], [place - 0.12, place + 0.12], color=FAINT, linewidth=1)
        axes[-1].set_xlabel(axis)

    return figure(name, draw, folder)


def _forest_panel(ax: Any, dataset: str, panel: Sequence[Line]) -> None:
    """One line per arm: its name above the interval, where a narrow screen has room for it."""
    across = ax.get_yaxis_transform()
    for place, line in enumerate(panel):
        ax.plot([0, 1], [place, place], transform=across, color=FAINT, alpha=0.15, linewidth=2)
        ax.plot(
            [line.low, line.high], [place, place], color=HUES[0], linewidth=2, solid_capstyle="butt"
        )
        ax.plot(
            [line.value],
            [place],
            "o",
            color=HUES[0],
            markersize=5,
            fillstyle="full" if line.filled else "none",
        )
        ax.text(0, place - 0.17, line.label, transform=across)
        ax.text(1, place - 0.17, line.said, transform=across, ha="right")
    ax.set_title(dataset, fontweight="bold")
    ax.set(ylim=(len(panel) - 0.6, -0.6), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.04)


def _label(row: Record) -> str:
    source = f", from {row['train_dataset']}" if row["train_dataset"] != row["dataset"] else ""
    return _short(f"{row['method']} {row['variant']}{source}".strip())


def _short(text: str) -> str:
    return text if len(text) <= 42 else text[:41] + "…"
