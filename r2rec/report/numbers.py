"""Numbers as reports write them: differences with their sign, p-values, shares with intervals."""

from collections.abc import Sequence
from math import isfinite

from r2rec.evaluate.statistics import wilson

UNKNOWN = "–"  # of a number that was not measured
MINUS = "−"


def value_text(value: float | None) -> str:
    """Three digits, as of a metric."""
    if value is None or not isfinite(value):
        return UNKNOWN
    return f"{value:.3f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference. One that rounds to zero has no sign."""
    if value is None or not isfinite(value):
        return UNKNOWN
    text = f"{value:+.{digits}f}".replace("-", MINUS)
    return text.lstrip(f"+{MINUS}") if float(f"{value:.{digits}f}") == 0 else text


def interval(ends: Sequence[float]) -> str:
    """The interval of a difference: "−0.012 to +0.030"."""
    low, high = ends
    return f"{signed(low)} to {signed(high)}"


def p_value(value: float) -> str:
    """A p-value; below what resampling can tell it is only bounded."""
    if value < 0.0001:
        return "< 0.0001"
    return f"{value:.4f}"


def p_is(value: float) -> str:
    """The same inside a sentence: "p 0.012", "p < 0.0001"."""
    return f"p {p_value(value)}" if value < 0.0001 else f"p {value:.2g}"


def valid_interval(ratio: float, n_users: int) -> str:
    """Wilson's interval of the share of valid answers: "72–100%"."""
    low, high = wilson(ratio, n_users)
    return f"{100 * low:.0f}–{100 * high:.0f}%"


def seconds(value: float) -> str:
    """A span of time: "4.2 s", "95 s", "16 min", "2 h 05 min"."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def large(value: float) -> str:
    """A count to three digits: "812", "41.3K", "0.81M" of a parameter count, "7.24B"."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size or (letter == "M" and value >= size / 2):
            return f"{value / size:.3g}{letter}"
    return f"{value:.0f}"
