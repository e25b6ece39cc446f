"""What a store holds, and what of it no run needs."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from r2rec.base.errors import R2RecError
from r2rec.base.files import remove
from r2rec.base.store import MANIFEST
from r2rec.report.fitting import aligned
from r2rec.report.folders import stages_of
from r2rec.results.find import folders, jobs_of

PART = ".part"  # ends the name of an artefact that is being made, or whose making was stopped
KEPT = ("downloads", "responses")  # raw files, and paid answers of endpoints: never removed
UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Stored:
    """An artefact in a store, or what is left of an unfinished one."""

    path: Path
    stage: str
    size: int  # bytes
    needed: bool  # some run lists it

    @property
    def unfinished(self) -> bool:
        """It is being made, or its making was stopped: the same run would go on from there."""
        return self.path.name.endswith(PART)

    @property
    def spare(self) -> bool:
        """It is whole, and no run needs it."""
        return not self.needed and not self.unfinished


def stored(store: Path, roots: Iterable[Path]) -> list[Stored]:
    """All artefacts of a store, by stage.

    Args:
        roots: Folders with all runs that use the store: what none of them lists is not needed.

    Raises:
        R2RecError: There is no such store.
    """
    if not store.is_dir():
        raise R2RecError(f"{store} is no store: there is no such folder; give --store FOLDER")
    needed = _needed(roots)
    paths = {manifest.parent for manifest in store.glob(f"*/*/{MANIFEST}")}
    paths |= set(store.glob(f"*/*{PART}"))
    found = []
    for path in sorted(paths):
        stage = path.parent.name
        if stage not in KEPT and path.is_dir() and not path.is_symlink():
            found.append(Stored(path, stage, size_of(path), path.resolve() in needed))
    return found


def _needed(roots: Iterable[Path]) -> set[Path]:
    """The folders of all artefacts that the manifests of runs list."""
    paths = set()
    for root in roots:
        for folder in folders(root):
            for job in jobs_of(folder) or [folder]:
                for record in stages_of(job).values():
                    for part in (record, *record.get("arms", {}).values()):
                        paths.add(Path(part["path"]).resolve())
    return paths


def delete(artefacts: Iterable[Stored]) -> list[Stored]:
    """Remove artefacts; those that a run is making at the moment stay.

    Returns:
        What was removed.
    """
    from filelock import FileLock, Timeout

    removed = []
    for artefact in artefacts:
        lock = artefact.path.parent / f"{artefact.path.name.removesuffix(PART)}.lock"
        try:
            with FileLock(lock, blocking=False):
                (artefact.path / MANIFEST).unlink(missing_ok=True)  # a part of it is none
                remove(artefact.path)
        except Timeout:
            continue
        except OSError as error:
            raise R2RecError(f"cannot remove {artefact.path}: {error.strerror}") from error
        removed.append(artefact)
    return removed


def store_summary(store: Path, artefacts: Iterable[Stored]) -> str:
    """A table with a line per stage: what is there, and what no run needs."""
    by_stage: dict[str, list[Stored]] = {}
    for artefact in artefacts:
        by_stage.setdefault(artefact.stage, []).append(artefact)
    rows = [["stage", "artefacts", "size", "not needed", "size", "unfinished", "size"]]
    for stage, group in by_stage.items():
        rows.append([stage, *_counted(group)])
    if len(by_stage) > 1:
        rows.append(["all", *_counted([one for group in by_stage.values() for one in group])])
    for name in KEPT:
        if (store / name).is_dir():
            rows.append([name, "", shown_size(size_of(store / name)), "kept", "", "", ""])
    return aligned(rows, texts=1)


def _counted(group: list[Stored]) -> list[str]:
    spare = [one for one in group if one.spare]
    unfinished = [one for one in group if one.unfinished]
    cells = []
    for part in (group, spare, unfinished):
        cells += [f"{len(part):,}", shown_size(sum(one.size for one in part))]
    return cells


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below it."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def shown_size(size: float) -> str:
    """ "1.5 MB" """
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
