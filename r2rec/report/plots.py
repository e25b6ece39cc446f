"""Figures as SVG text, drawn to be read on a phone as on paper.

Each function returns the SVG, and with `folder` also leaves <name>.svg and <name>.png there. The
ink is `currentColor`, so a figure inside a page follows its light or dark theme; alone it has inks
of its own for both.
Colour-blind readers can tell the hues apart, and lines differ in their dashes too. The same data
give the same bytes.
"""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.report.tables import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 4.4  # inches: at the width of a phone, text of 9 pt is still about 10 px
INK = "#010203"  # stands for the page's own colour until the SVG is written
FAINT = "#040506"  # the same, for axes and rules
# After Okabe and Ito, for white and for black paper.
HUES = ("#3d7fc4", "#d5702a", "#1f9d7a", "#b46aa8", "#8a8f98")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (2, 2)))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,  # a method may be called a$b$
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    # Text stays text: it can be read aloud and searched, and takes the page's typeface.
    "svg.fonttype": "none",
    "svg.hashsalt": "r2rec",
}
MAX_MARKED_POINTS = 12  # curves of more points than this show a trend instead of markers
PANEL_INCHES = {1: 2.2, 2: 1.5}  # height of a panel, by how many stand side by side
TREND_SHARE = 8  # the trend is a mean over one part in this many of the steps

# Of a file of its own; inside a page `svg` is not the root, and these rules do not hold.
INKS = (
    "<style>svg:root{color:#1c2126}"
    "@media (prefers-color-scheme:dark){svg:root{color:#e3e6e9}}</style>"
)


class Told(NamedTuple):
    """A figure in words. Names in it are untrusted."""

    title: str
    description: str


NamedLogs = Mapping[str, pl.DataFrame]
Logs = pl.DataFrame | NamedLogs

PROBES = {
    "probe/hr@1": "HR@1, validation",
    "probe/valid": "valid answers, validation",
}
HEALTH = {  # what tells whether rewards can be trusted
    "frac_reward_zero_std": "groups that teach nothing",
    "kl": "KL to the reference",
    "entropy": "entropy",
    "completions/mean_length": "completion tokens",
    "completions/clipped_ratio": "completions cut off",
    "clip_ratio/region_mean": "tokens with a clipped ratio",
}
LOSSES = {
    "loss": "loss",
    "mean_token_accuracy": "next token right",
    **PROBES,
    "ndcg": "NDCG, validation",
    "hr@1": "HR@1, validation",
}
REWARD_PART = re.compile(r"rewards/(.+)/mean")  # rewards/ndcg/mean


def reward_curve(log: Logs, folder: Path | None = None, name: str = "reward_curve") -> str:
    """Small multiples of a GRPO log over `step`: rewards, then their health (Figure 5).

    Columns may be missing, and null on steps that reuse a generation. The band is one `reward_std`
    to each side. Several logs, by name, share the panels.

    Raises:
        R2RecError: There is nothing to draw.
    """
    logs = _named(log)
    titles = {"reward": "reward"}
    for frame in logs.values():
        for column in frame.columns:
            part = REWARD_PART.fullmatch(column)
            if part:
                titles[column] = f"reward: {part[1]}"
    return _curves(name, "reward", logs, titles | HEALTH | PROBES, folder)


def loss_curve(log: Logs, folder: Path | None = None, name: str = "loss_curve") -> str:
    """Training loss over `step`, of one log or several by name; steps without a loss are left out.

    Raises:
        R2RecError: There is nothing to draw.
    """
    return _curves(name, "loss", _named(log), LOSSES, folder)


def figure(name: str, draw: Callable[["Figure"], None], folder: Path | None, told: "Told") -> str:
    """Draw in the style of this module, without a display and without matplotlib's global state.

    Args:
        name: Of the files, and the prefix of every id in the SVG.
        draw: Gets an empty `matplotlib.figure.Figure`.
        told: For those who cannot see it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        canvas = Figure(layout="constrained")
        draw(canvas)
        text = StringIO()
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(text, format="svg", transparent=True, metadata=no_metadata)
        svg = _told(_themed(text.getvalue(), name), name, told)
        if folder is not None:
            write_text(folder / f"{name}.svg", svg)
            canvas.set_layout_engine("none")  # places are found; finding them takes half the time
            picture = folder / f"{name}.png"
            canvas.savefig(picture, dpi=200, facecolor="white", metadata={"Software": None})
    return svg


def _curves(
    name: str, kind: str, logs: NamedLogs, titles: Mapping[str, str], folder: Path | None
) -> str:
    """A panel for each column of `titles` that has values, two side by side; a line per log."""
    panels = {}
    for column, title in titles.items():
        if any(len(_points(frame, column)) for frame in logs.values()):
            panels[column] = title
    if not panels:
        raise R2RecError(
            f"{kind} curve: the log holds no finite {kind}; train first, and log every step"
        )
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)

    def draw(canvas: "Figure") -> None:
        canvas.set_size_inches(WIDTH, 0.35 + PANEL_INCHES[columns] * rows)
        axes = canvas.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        used = axes[: len(panels)]
        for ax, (column, title) in zip(used, panels.items(), strict=True):
            _draw_panel(ax, column, logs)
            ax.set_title(title)
        for ax in axes[len(panels) :]:
            ax.remove()
        for ax in used[-columns:]:
            ax.set_xlabel("step")
            ax.tick_params(labelbottom=True)
        if len(logs) > 1:
            canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    described = "; ".join(_described(column, title, logs) for column, title in panels.items())
    return figure(name, draw, folder, Told(f"Training curve: {kind} by step", described))


def _described(column: str, title: str, logs: NamedLogs) -> str:
    """A panel in words: where each line begins and ends."""
    told = []
    for label, frame in logs.items():
        points = _points(frame, column)
        if len(points):
            values = points[column]
            name = f" ({label})" if len(logs) > 1 else ""
            told.append(f"{title}{name} from {values[0]:.3g} to {values[-1]:.3g}")
    return ", ".join(told)


def _draw_panel(ax: "Axes", column: str, logs: NamedLogs) -> None:
    for number, (label, frame) in enumerate(logs.items()):
        color = HUES[number % len(HUES)]
        dashes = DASHES[number % len(DASHES)]
        _draw_line(ax, column, _points(frame, column), label, color, dashes)
        if column == "reward" and "reward_std" in frame.columns:
            _draw_band(ax, frame, color)
    values: set[float] = set()
    for frame in logs.values():
        values.update(_points(frame, column)[column])
    if len(values) == 1:
        # A flat line: matplotlib would put half of the panel below 0, where nothing is.
        value = values.pop()
        if value > 0:
            ax.set_ylim(0, 2 * value)
        elif value == 0:
            ax.set_ylim(0, 1)
    ax.locator_params(axis="both", nbins=4)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)


def _draw_line(
    ax: "Axes", column: str, points: pl.DataFrame, label: str, color: str, dashes: Any
) -> None:
    steps = points["step"]
    values = points[column]
    if len(points) <= MAX_MARKED_POINTS:
        # A probe asks at few steps, and a line alone would not show at which.
        look = {"color": color, "linestyle": dashes}
        ax.plot(steps, values, label=label, marker="o", markersize=4, **look)
        return
    # Every step has other prompts, so single values are noise around the trend.
    window = max(2, len(points) // TREND_SHARE)
    trend = values.rolling_mean(window, min_samples=1, center=True)
    ax.plot(steps, values, color=color, alpha=0.35, linewidth=0.8)
    ax.plot(steps, trend, label=label, color=color, linestyle=dashes)


def _draw_band(ax: "Axes", frame: pl.DataFrame, color: str) -> None:
    """One standard deviation of the rewards of a group to each side."""
    rewards = frame.select("step", "reward", spread="reward_std")
    band = _points(rewards, "reward").fill_null(0)
    low = band["reward"] - band["spread"]
    high = band["reward"] + band["spread"]
    ax.fill_between(band["step"], low, high, color=color, alpha=0.18, linewidth=0)


def _points(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """The steps that have a finite value of `column`; none where there is no such column."""
    if column not in frame.columns:
        return pl.DataFrame(schema={"step": pl.Float64, column: pl.Float64})
    values = pl.col(column).cast(pl.Float64)
    return frame.filter(values.is_finite()).with_columns(values).sort("step")


def _named(log: Logs) -> NamedLogs:
    logs: NamedLogs
    if isinstance(log, pl.DataFrame):
        logs = {"run": log}
    else:
        logs = log
    for frame in logs.values():
        if "step" not in frame.columns:
            raise R2RecError("training log: no column 'step'; write one row per logged step")
    return logs


def _told(svg: str, name: str, told: Told) -> str:
    """The SVG with its words, and its inks, behind its first tag."""
    title = escape(told.title)
    words = f'<title id="{name}-title">{title}</title><desc>{escape(told.description)}</desc>'
    tag, end, rest = svg.partition(">")
    return f'{tag} role="img" aria-labelledby="{name}-title"{end}{words}{INKS}{rest}'


def _themed(svg: str, name: str) -> str:
    """The SVG from its tag on, in the page's ink, with ids that differ from another figure's."""
    svg = svg[svg.index("<svg") :]
    # id="a", href="#a" and url(#a) become id="name-a", href="#name-a" and url(#name-a)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace(INK, "currentColor").replace(FAINT, "currentColor")
