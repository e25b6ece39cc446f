"""Figures as SVG text, drawn to be read on a phone as on paper.

Each function returns the SVG, and with `folder` also leaves <name>.svg and <name>.png there. The ink is
`currentColor`, so a figure inside a page follows its light or dark theme (alone it is black); colour-blind
readers can tell the hues apart, and lines differ in their dashes too. The same data give the same bytes.
"""

import re
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base.errors import R2RecError
from r2rec.report.tables import write_text

WIDTH = 4.4  # inches: at the width of a phone, text of 9 pt is still about 10 px
INK, FAINT = "#010203", "#040506"  # stand for the page's own colours until the SVG is written
HUES = (
    "#3d7fc4",
    "#d5702a",
    "#1f9d7a",
    "#b46aa8",
    "#8a8f98",
)  # after Okabe and Ito, for white and for black
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
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and takes the page's typeface
    "svg.hashsalt": "r2rec",
}

FEW = 12  # points of a curve that are marked one by one

NamedLogs = Mapping[str, pl.DataFrame]
Logs = pl.DataFrame | NamedLogs
TITLES = {
    "reward": "reward",
    "frac_reward_zero_std": "groups that teach nothing",
    "kl": "KL to the reference",
    "entropy": "entropy",
    "completions/mean_length": "completion tokens",
    "completions/clipped_ratio": "completions cut off",
    "clip_ratio/region_mean": "tokens with a clipped ratio",
    "probe/hr@1": "HR@1, validation",
    "probe/valid": "valid answers, validation",
}


def reward_curve(log: Logs, folder: Path | None = None) -> str:
    """Small multiples of a GRPO log over `step`: rewards, then what tells if they can be trusted (Figure 5).

    Columns may be missing, and null on steps that reuse a generation. The band is one `reward_std` to each
    side. Several logs, by name, share the panels. Raises R2RecError where there is nothing to draw.
    """
    logs = _named(log)
    names = dict.fromkeys(name for frame in logs.values() for name in frame.columns)
    parts = [name for name in names if name.startswith("rewards/") and name.endswith("/mean")]
    shown = [name for name in ("reward", *parts, *list(TITLES)[1:]) if name in names]
    titles = {name: TITLES.get(name, f"reward: {name[8:-5]}") for name in shown}
    return _curves("reward", logs, titles, folder)


def loss_curve(log: Logs, folder: Path | None = None) -> str:
    """Training loss over `step`, of one log or of several by name; steps without a loss are left out."""
    probed = {name: title for name, title in TITLES.items() if name.startswith("probe/")}
    validated = {"ndcg": "NDCG, validation", "hr@1": "HR@1, validation"}
    return _curves(
        "loss",
        _named(log),
        {"loss": "loss", "mean_token_accuracy": "next token right", **probed, **validated},
        folder,
    )


def _curves(kind: str, logs: NamedLogs, titles: Mapping[str, str], folder: Path | None) -> str:
    """A panel per column of `titles`, two side by side, a line per log."""
    filled = {name for name in titles for frame in logs.values() if len(_points(frame, name))}
    drawn = {name: title for name, title in titles.items() if name in filled}
    if not drawn:
        raise R2RecError(
            f"{kind} curve: the log holds no finite {kind}; train first, and log every step"
        )
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)

    def draw(canvas: Any) -> None:
        canvas.set_size_inches(WIDTH, 0.35 + (1.5 if columns == 2 else 2.2) * rows)
        axes = canvas.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for ax, (name, title) in zip(axes, drawn.items(), strict=False):
            _curve_panel(ax, name, logs)
            ax.set_title(title)
        for ax in axes[len(drawn) :]:
            ax.remove()
        for ax in axes[: len(drawn)][-columns:]:
            ax.set_xlabel("step")
            ax.tick_params(labelbottom=True)
        if len(logs) > 1:
            canvas.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)

    return figure(f"{kind}_curve", draw, folder)


def _curve_panel(ax: Any, name: str, logs: NamedLogs) -> None:
    for place, (label, frame) in enumerate(logs.items()):
        points = _points(frame, name)
        look = {"color": HUES[place % len(HUES)], "linestyle": DASHES[place % len(DASHES)]}
        if len(points) <= FEW:  # as a probe's: a line alone would not say where it asked
            ax.plot(points["step"], points[name], label=label, marker="o", markersize=4, **look)
        else:  # every step is of other prompts: the trend is in the mean over an eighth of them
            ax.plot(points["step"], points[name], color=look["color"], alpha=0.35, linewidth=0.8)
            trend = points[name].rolling_mean(max(2, len(points) // 8), min_samples=1, center=True)
            ax.plot(points["step"], trend, label=label, **look)
        if name == "reward" and "reward_std" in frame.columns:
            band = _points(frame.select("step", name, spread="reward_std"), name).fill_null(0)
            low, high = band[name] - band["spread"], band[name] + band["spread"]
            ax.fill_between(band["step"], low, high, color=look["color"], alpha=0.18, linewidth=0)
    flat = {value for frame in logs.values() for value in _points(frame, name)[name]}
    if (
        len(flat) == 1 and min(flat) >= 0
    ):  # nothing here is below 0, where matplotlib would put half of the panel
        ax.set_ylim(0, 2 * min(flat) or 1)
    ax.locator_params(axis="both", nbins=4)
    ax.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)


def _points(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """The steps that have a finite value of `name`; none where the column is missing."""
    if name not in frame.columns:
        return pl.DataFrame({"step": [], name: []}, schema={"step": pl.Float64, name: pl.Float64})
    values = pl.col(name).cast(pl.Float64)
    return frame.filter(values.is_finite()).with_columns(values).sort("step")


def _named(log: Logs) -> NamedLogs:
    logs: NamedLogs = {"run": log} if isinstance(log, pl.DataFrame) else log
    if any("step" not in frame.columns for frame in logs.values()):
        raise R2RecError("training log: no column 'step'; write one row per logged step")
    return logs


def figure(name: str, draw: Callable[[Any], None], folder: Path | None) -> str:
    """Draw in our style, without touching matplotlib's own state or needing a display."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        canvas = Figure(layout="constrained")
        draw(canvas)
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(text, format="svg", transparent=True, metadata=nothing)
        svg = _theme(text.getvalue(), name)
        if folder is not None:
            write_text(folder / f"{name}.svg", svg)
            canvas.savefig(
                folder / f"{name}.png", dpi=200, facecolor="white", metadata={"Software": None}
            )
    return svg


def _theme(svg: str, name: str) -> str:
    """From `<svg` on, the page's ink for ours, and ids that stay unique beside another figure's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace(INK, "currentColor").replace(FAINT, "currentColor")
