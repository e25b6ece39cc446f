"""Forest plots: one interval per line, one panel per data set, one scale for all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from r2rec.base.errors import R2RecError
from r2rec.evaluate.names import METRICS, metric_title
from r2rec.report.naming import arm_names
from r2rec.report.numbers import signed
from r2rec.report.plots import FAINT, HUES, WIDTH, Told, figure, up_to_one
from r2rec.report.records import Record, over_seeds, shown_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LABEL = 42  # characters of a name
CHANCE_HEIGHT = 0.12  # lines above and below an interval that the line of chance is drawn
LABEL_OFFSET = 0.17  # lines between an interval and the name above it

Interval = tuple[float, float]


class Line(NamedTuple):
    """One interval of a forest plot."""

    label: str
    value: float
    ci95: Interval
    text: str  # the value, as written beside the interval
    fill: str = "full"  # of its marker: "full" or "none"


Panels = Mapping[str, Sequence[Line]]  # by data set


def forest(
    records: Sequence[Record], folder: Path | None = None, chance: Mapping[str, float] | None = None
) -> str:
    """The main metric of every arm with its 95% interval, averaged over seeds, the best first.

    Args:
        chance: Data set -> what a random order has.

    Raises:
        R2RecError: There are no records.
    """
    panels: dict[str, list[Line]] = {}
    main = shown_metrics(records)[0]
    rows = over_seeds(records)
    for row, name in zip(rows, arm_names(rows), strict=True):
        value = row[main]
        low, high = row["ci95"][main]
        line = Line(_shortened(name), value, (low, high), f"{value:.3f}")
        panels.setdefault(row["dataset"], []).append(line)
    if not panels:
        raise R2RecError("forest plot: no results to draw; rank with at least one method first")
    for panel in panels.values():
        panel.sort(key=lambda line: -line.value)
    known = chance or {}
    axis = f"{metric_title(main)}, share of 1, with 95% interval over users"
    if known:
        axis += "; dotted: by chance"

    def draw(canvas: "Figure") -> None:
        axes = _panels(canvas, panels, line_inches=0.42)
        for ax, (dataset, panel) in zip(axes, panels.items(), strict=True):
            if dataset in known:
                for number in range(len(panel)):
                    height = [number - CHANCE_HEIGHT, number + CHANCE_HEIGHT]
                    ax.plot([known[dataset]] * 2, height, color=FAINT, linewidth=1.2, dashes=(1, 1))
        for ax in axes:
            up_to_one(ax, "x")
        axes[-1].set_xlabel(axis)

    told = Told(f"{metric_title(main)} by method", _in_words(panels))
    return figure("forest", draw, folder, told)


def forest_caption(records: Sequence[Record]) -> str:
    """What `forest` shows."""
    main = metric_title(shown_metrics(records)[0])
    return f"{main} with 95% intervals over users, the best first"


def differences_figure(
    rows: Sequence[Record],
    significance: float,
    folder: Path | None = None,
    names: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """Paired differences about 0; filled where Holm's p is below `significance`.

    Args:
        rows: As `compare.paired_differences` returns them.
        names: Of `pairs.long_names`; arms that it lacks keep theirs.

    Raises:
        R2RecError: There are no rows.
    """
    panels: dict[str, list[Line]] = {}
    for row in rows:
        value = row["difference"]
        low, high = row["ci95"]
        one, other = (
            (names or {}).get((row["dataset"], row[arm]), row[arm]) for arm in ("method", "against")
        )
        label = f"{_shortened(one)}\n− {_shortened(other)}"
        line = Line(label, value, (low, high), signed(value))
        if row["p_holm"] >= significance:
            line = line._replace(fill="none")
        panels.setdefault(row["dataset"], []).append(line)
    if not panels:
        raise R2RecError("forest plot: no differences to draw; compare at least two arms")
    metric = rows[0].get("metric", METRICS[0])

    def draw(canvas: "Figure") -> None:
        axes = _panels(canvas, panels, line_inches=0.58)
        for ax, panel in zip(axes, panels.values(), strict=True):
            for number in range(len(panel)):
                # 0 in pieces: one whole line would cross out the names
                ax.plot([0, 0], [number - 0.12, number + 0.12], color=FAINT, linewidth=1)
        axes[-1].set_xlabel(f"difference in {metric_title(metric)}, with 95% interval")

    told = Told(f"Paired differences in {metric_title(metric)}", _in_words(panels))
    return figure("differences", draw, folder, told)


def _in_words(panels: Panels) -> str:
    """All intervals as text."""
    told = []
    for dataset, panel in panels.items():
        for line in panel:
            low, high = line.ci95
            name = line.label.replace("\n", " ")
            told.append(f"{dataset}: {name} {line.text} ({low:.3f} to {high:.3f})")
    return "; ".join(told)


def _panels(canvas: "Figure", panels: Panels, line_inches: float) -> "Sequence[Axes]":
    """Draw a panel per data set; returns the axes."""
    heights = [len(panel) + 0.6 for panel in panels.values()]
    canvas.set_size_inches(WIDTH, 0.55 + line_inches * sum(heights))
    grid = canvas.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)
    axes = list(grid[:, 0])
    for ax, (dataset, panel) in zip(axes, panels.items(), strict=True):
        _draw_intervals(ax, dataset, panel)
    return axes


def _draw_intervals(ax: "Axes", dataset: str, panel: Sequence[Line]) -> None:
    """One line per arm, its name above the interval: a narrow screen has no room beside it."""
    across = ax.get_yaxis_transform()  # x from 0 to 1 over the panel, y in lines
    for number, line in enumerate(panel):
        height = [number, number]
        ax.plot([0, 1], height, transform=across, color=FAINT, alpha=0.15, linewidth=2)
        ax.plot(line.ci95, height, color=HUES[0], linewidth=2, solid_capstyle="butt")
        ax.plot([line.value], [number], "o", color=HUES[0], markersize=5, fillstyle=line.fill)
        ax.text(0, number - LABEL_OFFSET, line.label, transform=across)
        ax.text(1, number - LABEL_OFFSET, line.text, transform=across, ha="right")
    ax.set_title(dataset, fontweight="bold")
    ax.set(ylim=(len(panel) - 0.6, -0.6), yticks=[])
    ax.spines["left"].set_visible(False)
    ax.margins(x=0.04)


def _shortened(text: str) -> str:
    if len(text) <= MAX_LABEL:
        return text
    return text[: MAX_LABEL - 1] + "…"
