"""Timed calls, and the table in which `run.py` shows them."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

PACKAGES = ("polars", "numpy", "scipy", "pandas", "hydra-core")

HEADERS = (
    "case",
    "what",
    "count",
    "min",
    "median",
    "us each",
    "reference",
    "ratio",
    "the reference is",
    "asked for",
)
WIDTHS = (8, 30, 7, 9, 9, 8, 9, 13, 38, 0)
LEFT_ALIGNED = ("case", "what", "the reference is", "asked for")


class Row(NamedTuple):
    """One line of the table.

    `times` and `reference` are seconds of calls that took turns, so they can be compared in pairs.
    """

    what: str
    count: int  # things done in one call
    times: list[float]
    reference_name: str = ""
    reference: list[float] | None = None
    max_seconds: float | None = None  # bound on the median time
    min_ratio: float | None = None  # bound on `ratio()`

    def ratio(self) -> float | None:
        """The median of reference / time over all pairs: above 1 is faster than the reference."""
        if self.reference is None:
            return None
        pairs = zip(self.reference, self.times, strict=True)
        return statistics.median(reference / seconds for reference, seconds in pairs)

    def bounds(self) -> list[tuple[str, bool]]:
        """(a bound in words, whether it holds) for each bound of this row."""
        bounds = []
        if self.max_seconds is not None:
            holds = statistics.median(self.times) < self.max_seconds
            bounds.append((f"< {self.max_seconds:g} s", holds))
        ratio = self.ratio()
        if ratio is not None and self.min_ratio is not None:
            if self.min_ratio >= 1:
                words = f">= {self.min_ratio:g}x faster"
            else:
                words = f"<= {1 / self.min_ratio:g}x slower"
            bounds.append((words, ratio >= self.min_ratio))
        return bounds


def timed(repeats: int, *calls: Callable[[], Any]) -> list[list[float]]:
    """Seconds of each call, repeated in turns (A B A B); the first turn is a warm-up."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, seconds in zip(calls, times, strict=True):
            begin = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begin)
    return times


def machine() -> str:
    """Cores, load and versions, in one line."""
    load = ""
    if hasattr(os, "getloadavg"):
        load = f", load {os.getloadavg()[0]:.1f} before the first case"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}){load}; "
        f"Python {platform.python_version()}, {packages}"
    )


def record(case: str, row: Row) -> dict[str, Any]:
    """A row for the JSON file."""
    reference_seconds = None
    if row.reference:
        reference_seconds = statistics.median(row.reference)
    return {
        "case": case,
        "what": row.what,
        "count": row.count,
        "min_s": min(row.times),
        "median_s": statistics.median(row.times),
        "repeats": len(row.times),
        "reference": row.reference_name or None,
        "reference_s": reference_seconds,
        "ratio": row.ratio(),
        "bounds": dict(row.bounds()),
    }


def cells(case: str, row: Row) -> list[str]:
    """A row as text, one entry per column."""
    median = statistics.median(row.times)
    count = ""
    microseconds_each = ""
    if row.count > 1:
        count = f"{row.count:,}"
        microseconds_each = f"{median / row.count * 1e6:,.1f}"
    reference = ""
    if row.reference:
        reference = seconds_text(statistics.median(row.reference))
    ratio = row.ratio()
    bounds = [text if holds else f"{text} MISSED" for text, holds in row.bounds()]
    return [
        case,
        row.what,
        count,
        seconds_text(min(row.times)),
        seconds_text(median),
        microseconds_each,
        reference,
        ratio_text(ratio) if ratio else "",
        row.reference_name,
        ", ".join(bounds),
    ]


def line(texts: list[str]) -> str:
    """One line of the table."""
    padded = []
    for header, width, text in zip(HEADERS, WIDTHS, texts, strict=True):
        if header in LEFT_ALIGNED:
            padded.append(text.ljust(width))
        else:
            padded.append(text.rjust(width))
    return "  ".join(padded).rstrip()


def seconds_text(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.1f} ms"


def ratio_text(ratio: float) -> str:
    if ratio >= 1:
        return f"{ratio:.3g}x faster"
    return f"{1 / ratio:.3g}x slower"
