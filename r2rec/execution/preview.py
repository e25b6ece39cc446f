"""What a run would do: its plan, and which of its artefacts are there already."""

from collections.abc import Sequence
from pathlib import Path

from r2rec.base.jobs import Job
from r2rec.base.store import MANIFEST, Artefact, key_of
from r2rec.config import Config, Dataset
from r2rec.execution.keys import key_inputs

THERE = "there"
TO_MAKE = "to make"
UNKNOWN = "to make (raw files not here yet)"
COLUMNS = ("job", "what it does", "reads", "artefact", "state")


def preview(config: Config, jobs: Sequence[Job]) -> str:
    """The plan as a table: every job, what it reads, its artefact, and whether that is there.

    Nothing is made and nothing is downloaded. Files in the store are not verified.
    """
    root = Path(config.artefacts).expanduser()
    known: dict[str, Artefact | None] = {}
    rows: list[tuple[str, ...]] = [COLUMNS]
    counts = {THERE: 0, TO_MAKE: 0}
    for job in jobs:
        if job.stage.name == "report":
            rows.append((job.name, job.stage.title, "all", "the run's folder", TO_MAKE))
            continue
        artefact = _artefact(job, known, root)
        known[job.name] = artefact
        state, shown = _state(artefact, job, config)
        counts[THERE if state == THERE else TO_MAKE] += 1
        rows.append((job.name, job.stage.title, ", ".join(job.inputs.values()), shown, state))
    summary = f"{counts[THERE]} artefacts are there, {counts[TO_MAKE]} to make, in {root}"
    return f"{_aligned(rows)}\n\n{summary}"


def is_made(config: Config, jobs: Sequence[Job]) -> set[str]:
    """Names of the jobs whose artefacts are in the store, and are not to be made again."""
    root = Path(config.artefacts).expanduser()
    known: dict[str, Artefact | None] = {}
    made = set()
    for job in jobs:
        if job.stage.name != "report":
            known[job.name] = _artefact(job, known, root)
            if _state(known[job.name], job, config)[0] == THERE:
                made.add(job.name)
    return made


def _artefact(job: Job, known: dict[str, Artefact | None], root: Path) -> Artefact | None:
    """Key and place of a job's artefact; None where raw files that name it are not here."""
    parents = {}
    for role, name in job.inputs.items():
        parent = known[name]
        if parent is None:
            return None
        parents[role] = parent
    raw: dict[str, Path] = {}
    if job.dataset is not None:
        if not _is_local(job.dataset, root):
            return None
        from r2rec.data.prepare import locate

        raw = dict(locate(job.dataset, root, _silent))
    place = job.stage.place
    key = key_of(place, key_inputs(job, parents, raw))
    return Artefact(place, key, root / place / key, 0.0, 0.0, made=False, facts={})


def _is_local(dataset: Dataset, root: Path) -> bool:
    """Whether the raw files can be found without a download."""
    if not dataset.files or dataset.root is not None:
        return True
    folder = root / "downloads" / dataset.name
    for name in dataset.files:
        options = name.split("|")
        if options[-1] and not any(list(folder.rglob(option)) for option in options):
            return False
    return True


def _state(artefact: Artefact | None, job: Job, config: Config) -> tuple[str, str]:
    """(state, the artefact's short path)."""
    if artefact is None:
        return UNKNOWN, ""
    shown = f"{artefact.stage}/{artefact.key}"
    forced = job.stage.place in config.force
    if not forced and (artefact.path / MANIFEST).is_file():
        return THERE, shown
    return TO_MAKE, shown


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _silent(_: str) -> None:
    pass
