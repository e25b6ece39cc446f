"""How long the rest of a run may take, judged by what the same stages took before."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r2rec.base.jobs import Job
from r2rec.base.progress import duration
from r2rec.base.store import MANIFEST, Artefact, key_of
from r2rec.execution.keys import key_inputs

MOST_READ = 20  # earlier artefacts of a stage that are looked at, the latest ones
WORTH_TELLING = 5.0  # seconds


class Outlook:
    """The seconds that the jobs of a run are expected to take.

    A job whose artefact is there takes none. Another one takes as long as that artefact of its
    stage whose inputs are most like its own; what no run has made so far is unknown.
    """

    def __init__(self, jobs: Sequence[Job], root: Path, force: Sequence[str]) -> None:
        self.jobs = [job for job in jobs if job.stage.name != "report"]
        self.root = root
        self.force = force
        self.seconds: dict[str, float | None] = {}

    def left(self, finished: Mapping[str, Artefact]) -> str:
        """ "about 4 min left", "more than 4 min left" where some is unknown, or ""."""
        known = dict(finished)
        expected = [self._expected(job, known) for job in self.jobs if job.name not in finished]
        total = sum(seconds for seconds in expected if seconds is not None)
        if total < WORTH_TELLING:
            return ""
        return f"{'more than' if None in expected else 'about'} {duration(total)} left"

    def _expected(self, job: Job, known: dict[str, Artefact]) -> float | None:
        """Seconds of a job. Its artefact, by its key, is added to those that are known."""
        parents = {role: known.get(name) for role, name in job.inputs.items()}
        found = {role: parent for role, parent in parents.items() if parent is not None}
        if job.dataset is not None or len(found) < len(parents):
            return None  # raw files would have to be read
        inputs = key_inputs(job, found, {})
        place = job.stage.place
        key = key_of(place, inputs)
        path = self.root / place / key
        known[job.name] = Artefact(place, key, path, 0.0, 0.0, made=False, facts={})
        if job.name not in self.seconds:
            is_there = (path / MANIFEST).is_file() and place not in self.force
            self.seconds[job.name] = 0.0 if is_there else _most_like(self.root / place, inputs)
        return self.seconds[job.name]


def _most_like(folder: Path, inputs: Mapping[str, Any]) -> float | None:
    """Seconds of the artefact in a stage's folder that has most of its inputs in common with these.

    None where there is none of the same row of the pipeline.
    """
    manifests = sorted(folder.glob(f"*/{MANIFEST}"), key=_age)[:MOST_READ]
    wanted = set(_leaves(inputs))
    best: tuple[int, float] | None = None
    for manifest in manifests:
        try:
            recorded = json.loads(manifest.read_text(encoding="utf-8"))
            before, seconds = recorded["inputs"], float(recorded["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        common = len(wanted & set(_leaves(before)))
        if before.get("row") == inputs["row"] and (best is None or common > best[0]):
            best = (common, seconds)
    return best[1] if best else None


def _age(manifest: Path) -> float:
    """For sorting, the latest first."""
    try:
        return -manifest.stat().st_mtime
    except OSError:
        return 0.0


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted path, value as text) of all plain values in nested tables."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}")
    else:
        yield path, str(value)
