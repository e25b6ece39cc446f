"""The arms of a sweep: one entry per method, setting and seed, collected from its jobs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from r2rec.base.errors import read_whole
from r2rec.base.store import MANIFEST
from r2rec.report.folders import files_of_jobs, stages_of
from r2rec.report.labels import Choices, first_setting, labels
from r2rec.report.measured import all_measured
from r2rec.report.records import Record, arm_of, read_records
from r2rec.report.repeats import Repeat, repeat_of, with_shared


class JoinedArm(NamedTuple):
    """One arm at one seed, as a job of the sweep ranked it."""

    record: Record  # of metrics.json
    rankings: Path  # the table that the record was computed from
    label: str  # in what its setting differs from the first job's; "" where nothing differs
    job: str  # label of its job
    key: str  # of the artefact of its rankings; "" where the job's manifest does not list it

    @property
    def identity(self) -> tuple[str, ...]:
        """What it has in common with the same arm at other seeds and settings."""
        return arm_of(self.record)

    def same_result(self, other: "JoinedArm") -> bool:
        """Whether this is the very same result, not another one with equal figures.

        Intervals may be of more or fewer resamples of it, and seeds that it depends on are written
        in more than one way.
        """
        unlike = {"ci95": None, "seed": None, "seeds": None}
        mine, theirs = ({**arm.record, **unlike} for arm in (self, other))
        return mine == theirs and self.key == other.key


def collected_arms(folder: Path) -> list[JoinedArm]:
    """All arms of all finished jobs in a sweep's folder, in their order (`joined_arms`)."""
    return joined_arms([file.parent for file in files_of_jobs(folder, "metrics.json")])


def joined_arms(jobs: Sequence[Path]) -> list[JoinedArm]:
    """All arms of these jobs, which have finished, in their order.

    An arm that several jobs share, such as a baseline or the bare backbone, is listed once. Arms
    of one name with different results keep their label, which is added to their `variant`.
    """
    arms = _without_repeats(_arms_of_jobs(jobs))
    settings = _distinct_settings(arms)
    collected: dict[tuple[tuple[str, ...], str, Repeat], JoinedArm] = {}
    for arm in arms:
        label_of = settings[arm.identity]
        label = label_of[arm.label]
        if len(set(label_of.values())) == 1:
            label = ""  # one result in every setting: no label is needed
        place = (arm.identity, label, repeat_of(arm.record))
        collected.setdefault(place, _with_label_in_variant(arm._replace(label=label)))
    return list(collected.values())


def setting_of_others(arms: Sequence[JoinedArm]) -> str:
    """A line on the setting of arms that name none although others of their jobs do; or ""."""
    if not any(arm.label for arm in arms):
        return ""
    jobs = dict.fromkeys(arm.rankings.parent for arm in arms)
    setting = first_setting(list(map(_config, jobs)))
    return f"rows that name no setting: {setting}" if setting else ""


def _arms_of_jobs(jobs: Sequence[Path]) -> list[JoinedArm]:
    """Every record of every job, all with the same metrics."""
    job_labels = labels(list(map(_config, jobs)))
    arms = []
    for job, label in zip(jobs, job_labels, strict=True):
        keys = _ranking_keys(job)
        for record in read_records(job / "metrics.json"):
            arm = JoinedArm(
                record=record,
                rankings=job / "rankings.parquet",
                label=label,
                job=label,
                key=keys.get(record["method"], ""),
            )
            arms.append(arm)
    measured = all_measured((arm.record, arm.rankings) for arm in arms)
    same = [arm.key and (arm.identity, arm.key) for arm in arms]
    records = with_shared(list(zip(measured, same, strict=True)))
    return [arm._replace(record=record) for arm, record in zip(arms, records, strict=True)]


def _config(job: Path) -> Choices:
    file = job / "config.yaml"
    if not file.exists():
        return {}
    with read_whole(file, "run that job again"):
        return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def _ranking_keys(job: Path) -> dict[str, str]:
    """Method -> key of the artefact of its rankings."""
    rank = stages_of(job).get("rank", {})
    keys = {}
    with read_whole(job / MANIFEST, "run that job again"):
        for method, record in rank.get("arms", {}).items():
            keys[method] = record["key"]
    return keys


def _without_repeats(arms: Iterable[JoinedArm]) -> list[JoinedArm]:
    """The arms, each result once for one label and seed.

    Where two jobs of one label and seed have different results, no choice of a method sets them
    apart: the later one's label gets the number of its job.
    """
    first: dict[tuple[tuple[str, ...], str, Repeat], JoinedArm] = {}
    for arm in arms:
        repeat = repeat_of(arm.record)
        earlier = first.setdefault((arm.identity, arm.label, repeat), arm)
        if not earlier.same_result(arm):
            number = f"job {arm.rankings.parent.name}"
            label = _joined_words(arm.label, number)
            first.setdefault((arm.identity, label, repeat), arm._replace(label=label))
    return list(first.values())


def _distinct_settings(arms: Iterable[JoinedArm]) -> dict[tuple[str, ...], dict[str, str]]:
    """Arm -> each of its labels -> the first label that has the same results."""
    results: dict[tuple[str, ...], dict[str, list[JoinedArm]]] = {}
    for arm in arms:
        results.setdefault(arm.identity, {}).setdefault(arm.label, []).append(arm)
    distinct: dict[tuple[str, ...], dict[str, str]] = {}
    for identity, by_label in results.items():
        kept: dict[str, list[JoinedArm]] = {}
        first: dict[str, str] = {}
        for label, seeds in by_label.items():
            first[label] = label
            for earlier, others in kept.items():
                if _agree(others, seeds):
                    first[label] = earlier
                    break
            kept.setdefault(first[label], []).extend(seeds)
        distinct[identity] = first
    return distinct


def _agree(results: Sequence[JoinedArm], others: Sequence[JoinedArm]) -> bool:
    """Whether both have results at common seeds, and the same ones at all of these."""
    known = {repeat_of(arm.record): arm for arm in results}
    common = [arm for arm in others if repeat_of(arm.record) in known]
    return bool(common) and all(arm.same_result(known[repeat_of(arm.record)]) for arm in common)


def _with_label_in_variant(arm: JoinedArm) -> JoinedArm:
    variant = _joined_words(arm.record["variant"], arm.label)
    return arm._replace(record={**arm.record, "variant": variant})


def _joined_words(*words: str) -> str:
    """The words that are not empty, separated by commas."""
    return ", ".join(filter(None, words))
