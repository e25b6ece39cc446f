"""How fields of a configuration are declared: bounds, choices, and what no key contains.

What is declared here stands in the field's metadata. `run.rules` checks it, `run.keys` reads it.
"""

from dataclasses import Field, dataclass, field
from typing import Any

TOLD = object()  # no value of a configuration: whatever a field has is in the key


@dataclass(frozen=True)
class Bounds:
    """The numbers a field accepts. None means no bound on that side."""

    above: float | None = None
    least: float | None = None
    below: float | None = None
    most: float | None = None

    def broken(self, value: float) -> bool:
        """Whether `value` is out of bounds; NaN always is."""
        inside = [
            self.above is None or value > self.above,
            self.least is None or value >= self.least,
            self.below is None or value < self.below,
            self.most is None or value <= self.most,
            abs(value) < float("inf"),
        ]
        return not all(inside)

    def words(self) -> str:
        """The bounds as an error message says them, for example "0 or more, and below 1"."""
        parts = []
        if self.least is not None:
            parts.append(f"{self.least:g} or more")
        if self.above is not None:
            parts.append(f"above {self.above:g}")
        if self.most is not None:
            parts.append(f"at most {self.most:g}")
        if self.below is not None:
            parts.append(f"below {self.below:g}")
        return ", and ".join(parts)


def number(
    default: float | None,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
    in_key: bool = True,
) -> Any:
    """A number within bounds. With `in_key=False` it never changes the key of an artefact."""
    bounds = Bounds(above, least, below, most)
    return field(default=default, metadata={"bounds": bounds, "in_key": in_key})


def choice(default: str, *options: str) -> Any:
    """A text that is one of `options`."""
    return field(default=default, metadata={"options": options})


def local_path(default: str | None = None) -> Any:
    """A local path or a hub id. What is local enters a key by checksums, not its name."""
    return field(default=default, metadata={"local": True})


def not_in_key(default: Any) -> Any:
    """A field that changes how a result is obtained, never what it is."""
    return field(default=default, metadata={"in_key": False})


def at(path: str, *, local: bool = False, untold: Any = TOLD) -> Any:
    """A field of a slice (`config.slices`): where the configuration has it, as a dotted path.

    Args:
        local: As `local_path`.
        untold: A value that no key contains: a choice that came later keeps earlier keys with it.
    """
    return field(metadata={"at": path, "local": local, "untold": untold})


def at_other(path: str, field_name: str) -> Any:
    """As `at`; keys contain it only where it is not what another field of the slice is."""
    return field(metadata={"at": path, "unlike": field_name})


def is_told(owner: Any, spec: Field[Any]) -> bool:
    """Whether the keys of artefacts contain this field of a slice or a group."""
    if not spec.metadata.get("in_key", True):
        return False
    value = getattr(owner, spec.name)
    other = spec.metadata.get("unlike")
    if other is not None and value == getattr(owner, other):
        return False
    return bool(value != spec.metadata.get("untold", TOLD))
