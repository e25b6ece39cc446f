"""Labels for the jobs of a sweep: in what each differs from the first, written as overrides."""

from collections.abc import Mapping, Sequence
from typing import Any

Choices = Mapping[str, Any]  # a configuration as its config.yaml has it

NOT_A_VARIANT = (
    *"seed seeds name until force dry artefacts push_to_hub roots hardware logger".split(),
    *"counters forecast dataset".split(),
)
"""Seeds and data sets have columns of their own in every table, and counters have rows of their
own; the others change no result."""

MOST_TOLD = 3  # choices of the first job that a note names

ONLY_SHOWN = ("evaluation.metrics",)  # keys of groups that change what is shown of a result


def labels(configs: Sequence[Choices]) -> list[str]:
    """What each job has otherwise than the first: "noise=flip, noise.params.share=0.2", or "".

    A group with another member is named by the member, and by those of its values that vary among
    the jobs with this member.
    """
    return [", ".join(_differences(config, configs)) for config in configs]


def first_setting(configs: Sequence[Choices]) -> str:
    """What the first job has where others differ: "reward=paper"; "" where nothing differs.

    Its label is empty, so this is what arms without a setting in their variant have. More than
    `MOST_TOLD` choices, as in an ablation, are not told: there the first job is the full method.
    """
    if not configs:
        return ""
    words: dict[str, None] = {}
    first = configs[0]
    for config in configs[1:]:
        for group in config:
            if group not in NOT_A_VARIANT:
                words |= dict.fromkeys(_group_differences(group, first, [config, first]))
    if len(words) > MOST_TOLD:
        return ""
    return ", ".join(words)


def flat(value: Any, path: str) -> dict[str, Any]:
    """The leaves of a nested mapping by their dotted key, which starts with `path`."""
    if not isinstance(value, Mapping):
        return {} if path in ONLY_SHOWN else {path: value}
    leaves: dict[str, Any] = {}
    for name, part in value.items():
        leaves |= flat(part, f"{path}.{name}")
    return leaves


def _differences(config: Choices, configs: Sequence[Choices]) -> list[str]:
    words = []
    for group in config:
        if group not in NOT_A_VARIANT:
            words += _group_differences(group, config, configs)
    return words


def _group_differences(group: str, config: Choices, configs: Sequence[Choices]) -> list[str]:
    values = flat(config[group], group)
    first = flat(configs[0].get(group), group)
    if values == first:
        return []
    member = f"{group}.name"
    words = []
    if values.get(member) == first.get(member):
        for key, value in values.items():
            if value != first.get(key):
                words.append(f"{key}={value}")
        return words
    words.append(f"{group}={values[member]}")
    same_member = []
    for other in configs:
        others = flat(other.get(group), group)
        if others.get(member) == values[member]:
            same_member.append(others)
    for key, value in values.items():
        if len({str(others.get(key)) for others in same_member}) > 1:
            words.append(f"{key}={value}")
    return words
