"""Figures as SVG text, drawn to be read on a phone as on paper.

Each function returns the SVG, and with `folder` also leaves <name>.svg and <name>.png there. The
ink is `currentColor`, so a figure inside a page follows its light or dark theme; alone it has inks
and paper of its own for both.
Colour-blind readers can tell the hues apart, and lines differ in their dashes too. The same data
give the same bytes.
"""

import re
import textwrap
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
FLAT_WIDTH = 72  # letters of a line below a figure
TREND_SHARE = 8  # the trend is a mean over one part in this many of the steps

# Of a file of its own; inside a page `svg` is not the root, and these rules do not hold.
INKS = (
    "<style>svg:root{color:#1c2126;background:#fcfcfa}"
    "@media (prefers-color-scheme:dark){svg:root{color:#e3e6e9;background:#14171a}}</style>"
)


class Told(NamedTuple):
    """A figure in words. Names in it are untrusted."""

    title: str
    description: str


NamedLogs = Mapping[str, pl.DataFrame]
Logs = pl.DataFrame | NamedLogs

PROBES = {
    "probe/hr@1": "HR@1 on validation, share",
    "probe/valid": "valid on validation, share",
}
HEALTH = {  # what tells whether rewards can be trusted
    "frac_reward_zero_std": "equal-reward groups, share",
    "kl": "KL to the reference, nats",
    "entropy": "entropy, nats per token",
    "completions/mean_length": "length of answers, tokens",
    "completions/clipped_ratio": "answers cut off, share",
    "clip_ratio/region_mean": "tokens clipped, share",
}
LOSSES = {
    "loss": "loss",
    "mean_token_accuracy": "next token right, share",
    **PROBES,
    "ndcg": "NDCG on validation, 0 to 1",
    "hr@1": "HR@1 on validation, share",
}
UP_TO_ONE = (", share", ", 0 to 1")  # what titles of panels end with whose axis ends at 1
HATCHES = ("////", "\\\\\\\\", "....", "xxxx", "----")  # of areas and bars, beside their hues
REWARD_PART = re.compile(r"rewards/(.+)/mean")  # rewards/ndcg/mean


def reward_curve(log: Logs, folder: Path | None = None, name: str = "reward_curve") -> str:
    """Small multiples of a GRPO log over `step`: rewards, then their health (Figure 5).

    Columns may be missing, and null on steps that reuse a generation. The band is one `reward_std`
    to each side. Several logs, by name, share the panels. What never changes is told in a line.

    Raises:
        R2RecError: There is nothing to draw.
    """
    logs = _named(log)
    titles = {"reward": "reward, points"}
    for frame in logs.values():
        for column in frame.columns:
            part = REWARD_PART.fullmatch(column)
            if part:
                titles[column] = f"reward for {part[1]}, points"
    return _curves(name, "reward", logs, titles | HEALTH | PROBES, folder)


def loss_curve(
    log: Logs, folder: Path | None = None, name: str = "loss_curve", step: str = "step"
) -> str:
    """Training loss over `step`, of one log or several by name; steps without a loss are left out.

    Args:
        step: What the axis of steps is called.

    Raises:
        R2RecError: There is nothing to draw.
    """
    return _curves(name, "loss", _named(log), LOSSES, folder, step)


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
    name: str,
    kind: str,
    logs: NamedLogs,
    titles: Mapping[str, str],
    folder: Path | None,
    step: str = "step",
) -> str:
    """A panel for each column of `titles` that has values, two side by side; a line per log."""
    panels, flat = _panels(logs, titles)
    if not panels:
        raise R2RecError(
            f"{kind} curve: the log holds no finite {kind}; train first, and log every step"
        )
    told_flat = textwrap.fill(f"at every {step}: {'; '.join(flat)}", FLAT_WIDTH) if flat else ""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)

    def draw(canvas: "Figure") -> None:
        below = 0.16 * len(told_flat.splitlines())
        canvas.set_size_inches(WIDTH, 0.35 + PANEL_INCHES[columns] * rows + below)
        if told_flat:
            canvas.supxlabel(told_flat, x=0.01, ha="left", fontsize=8)
        axes = canvas.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        used = axes[: len(panels)]
        for ax, (column, title) in zip(used, panels.items(), strict=True):
            _draw_panel(ax, column, logs)
            ax.set_title(title)
            if title.endswith(UP_TO_ONE):
                up_to_one(ax, "y")
        for ax in axes[len(panels) :]:
            ax.remove()
        for ax in used[-columns:]:
            ax.set_xlabel(step)
            ax.tick_params(labelbottom=True)
        if len(logs) > 1:
            canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    described = [_described(column, title, logs) for column, title in panels.items()]
    told = "; ".join([*described, *flat])
    return figure(name, draw, folder, Told(f"Training curve: {kind} by {step}", told))


def _panels(logs: NamedLogs, titles: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Columns with their titles that are drawn, and in words those that never change.

    Where nothing changes, all is drawn.
    """
    there = {}
    flat = {}
    for column, title in titles.items():
        values: set[float] = set()
        for frame in logs.values():
            values.update(_points(frame, column)[column])
        if values:
            there[column] = title
        if len(values) == 1:
            flat[column] = f"{title} {values.pop():.3g}"
    changing = {column: title for column, title in there.items() if column not in flat}
    return (changing, list(flat.values())) if changing else (there, [])


def up_to_one(ax: "Axes", which: str) -> None:
    """End an axis of shares at 1, and let what lies on its end be whole."""
    low, high = ax.get_ylim() if which == "y" else ax.get_xlim()
    ends = (max(low, 0), min(high, 1))
    ax.set(**{f"{which}lim": ends})
    for artist in (*ax.lines, *ax.collections):
        artist.set_clip_on(False)


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
            _draw_band(ax, frame, color, HATCHES[number % len(HATCHES)] if len(logs) > 1 else "")
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


def _draw_band(ax: "Axes", frame: pl.DataFrame, color: str, hatch: str) -> None:
    """One standard deviation of the rewards of a group to each side; hatched it is no mud."""
    rewards = frame.select("step", "reward", spread="reward_std")
    band = _points(rewards, "reward").fill_null(0)
    low = band["reward"] - band["spread"]
    high = band["reward"] + band["spread"]
    if hatch:
        look: Any = {"facecolor": "none", "edgecolor": color, "hatch": hatch, "alpha": 0.45}
    else:
        look = {"color": color, "alpha": 0.18}
    ax.fill_between(band["step"], low, high, linewidth=0, **look)


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
