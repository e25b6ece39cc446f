"""What sets the jobs of a sweep apart, in the words of an override."""

from collections.abc import Mapping, Sequence
from typing import Any

ASIDE = ("seed", "name", "until", "force", "artefacts", "hardware", "logger", "dataset")
"""Choices that are no variant of a method: seeds and data sets have columns of their own, the rest changes nothing."""


def labels(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each job what it has otherwise than the first, "" where nothing: "noise=flip, noise.params.share=0.2".

    A group with another member is named by it, with those of its values that vary among the jobs with this member.
    """
    return [", ".join(_differing(config, configs)) for config in configs]


def _differing(config: Mapping[str, Any], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for group in config:
        own, first = flat(config[group], group), flat(configs[0].get(group), group)
        if group in ASIDE or own == first:
            continue
        member = f"{group}.name"
        if own.get(member) == first.get(member):
            found += [f"{key}={own[key]}" for key in own if own[key] != first.get(key)]
            continue
        found.append(f"{group}={own[member]}")
        alike = [flat(c.get(group), group) for c in configs]
        alike = [values for values in alike if values.get(member) == own[member]]
        found += [
            f"{key}={own[key]}"
            for key in own
            if len({str(values.get(key)) for values in alike}) > 1
        ]
    return found


def flat(value: Any, where: str) -> dict[str, Any]:
    """Leaves of a nested mapping by their dotted key."""
    if not isinstance(value, Mapping):
        return {where: value}
    return {
        key: leaf
        for name, part in value.items()
        for key, leaf in flat(part, f"{where}.{name}").items()
    }
