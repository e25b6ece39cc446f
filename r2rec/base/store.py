"""Artefacts addressed by what made them: one folder per (stage, key), never half there.

An artefact is built aside, in `<key>.part`. Its manifest is written last, then the folder is
renamed into place. A lock per key makes two runs that need the same artefact build it once. A
folder is used only if its manifest is there, every file still has the bytes it was written with,
and its parents still are what it was made from. Finding a sound artefact writes nothing, so a
complete store may be read-only.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base.errors import R2RecError
from r2rec.base.files import as_json, checksum, checksums, remove, write_json
from r2rec.base.memory import peak_memory_mb, reset_peak_memory

MANIFEST = "manifest.json"
FIELDS = frozenset(
    "stage key inputs made_from files facts seconds peak_memory_mb code".split()
)  # of every manifest, beside its seal
REPORTS = (
    "log.parquet",
    "README.md",
)  # tell how an artefact was made; no other stage computes with them

Say = Callable[[str], None]
Build = Callable[[Path], Mapping[str, Any] | None]


class Artefact(NamedTuple):
    """A finished folder of files."""

    stage: str
    key: str
    path: Path
    seconds: float
    peak_memory_mb: float
    made: bool  # built by this call, not found in the store
    facts: dict[str, Any]  # what the stage reported of itself: counts, notes
    content: str = ""  # digest of its files
    code: Mapping[str, Any] = {}  # the code that made it: digest, revision, modules

    def record(self) -> dict[str, Any]:
        """The artefact's entry in the manifest of a run."""
        return {
            "key": self.key,
            "path": str(self.path),
            "seconds": self.seconds,
            "peak_memory_mb": self.peak_memory_mb,
            "status": "made" if self.made else "reused",
            "code": self.code.get("digest"),
            **self.facts,
        }


class Recipe(NamedTuple):
    """Everything about an artefact that is known before it is built."""

    stage: str
    key: str
    inputs: Mapping[str, Any]  # what the key was made of, for readers of the manifest
    made_from: Mapping[str, str]  # role of a parent -> digest of its content
    code: Mapping[str, Any]  # the code that would build it now
    keeps: Sequence[str] = ()  # names in the unfinished folder that survive an interruption


def key_of(stage: str, inputs: Mapping[str, Any]) -> str:
    """16 hex digits that name an artefact by all it depends on, and by nothing else.

    Args:
        inputs: Version, configuration slice, parents' keys, checksums of files; plain JSON values.
    """
    text = json.dumps(
        {"stage": stage, **inputs},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def obtain(
    root: Path, recipe: Recipe, build: Build, *, force: bool = False, say: Say = print
) -> Artefact:
    """The artefact of this recipe: the one in the store if it is sound, else `build` makes it.

    Args:
        root: The store's folder.
        build: Writes files into the folder it is given and returns facts for the manifest.
        force: Build although a sound artefact is there.
        say: Called with one line when a broken artefact is found, or when another run is building.

    Raises:
        R2RecError: The store cannot be written, or a file that the stage needs is missing.
    """
    final = root / recipe.stage / recipe.key
    part = root / recipe.stage / f"{recipe.key}.part"
    try:
        if not force:
            found = _sound(final, recipe, _silent)
            if found:
                return found
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(root / recipe.stage / f"{recipe.key}.lock", recipe, say):
            found = None if force else _sound(final, recipe, say)
            if found:
                return found
            _clear(part, recipe.keeps)
            artefact = _make(part, recipe, build)
            remove(final)
            part.rename(final)
            return artefact._replace(path=final)
    except Exception as error:
        raise _plain(error, root, recipe, final) from error


def disk_error(error: BaseException) -> str | None:
    """What the operating system said about a file; None where the error is another one."""
    if isinstance(error, R2RecError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror
    in_rust = re.search(r"([^:]+) \(os error \d+\)", str(error))  # Polars sets no errno
    if in_rust:
        return in_rust[1].strip()
    if "inline_container" in str(error) or "iostream error" in str(error):  # torch's writer
        return "a file could not be written to its end"
    return None


def _silent(_: str) -> None:
    pass


def _plain(error: Exception, root: Path, recipe: Recipe, final: Path) -> Exception:
    """The error to raise for one that came up: in one line where the disk is the reason."""
    reason = disk_error(error)
    if reason is None:
        return error
    where = getattr(error, "filename", None)
    missing = isinstance(error, FileNotFoundError) and where is not None
    if missing and root.absolute() not in Path(str(where)).absolute().parents:
        return R2RecError(f"stage {recipe.stage} needs {where}: {reason}; check the path")
    what = f"cannot write artefact {where or final}: {reason}"
    return R2RecError(f"{what}; free some space or set artefacts=FOLDER")


@contextmanager
def _locked(path: Path, recipe: Recipe, say: Say) -> Iterator[None]:
    """Hold the lock of a key; say once that another run has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"{recipe.stage}: another run is making {recipe.key}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(part: Path, recipe: Recipe, build: Build) -> Artefact:
    reset_peak_memory()
    begin = time.perf_counter()
    facts = dict(build(part) or {})
    for name in recipe.keeps:
        remove(part / name)
    seconds = round(time.perf_counter() - begin, 3)
    memory = round(peak_memory_mb(), 1)
    files = checksums(part)
    manifest = {
        "stage": recipe.stage,
        "key": recipe.key,
        "inputs": recipe.inputs,
        "made_from": recipe.made_from,
        "files": files,
        "facts": facts,
        "seconds": seconds,
        "peak_memory_mb": memory,
        "code": recipe.code,
    }
    write_json(part / MANIFEST, manifest | {"seal": _seal(manifest)})
    return Artefact(
        recipe.stage,
        recipe.key,
        part,
        seconds,
        memory,
        made=True,
        facts=facts,
        content=_content(files),
        code=recipe.code,
    )


def _sound(final: Path, recipe: Recipe, say: Say) -> Artefact | None:
    """The finished artefact, or None where there is none or it cannot be trusted."""
    if not final.exists():
        return None
    try:
        manifest = _read_manifest(final / MANIFEST)
        problem = _problem(final, manifest, recipe)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        problem = f"was altered ({MANIFEST}: {type(error).__name__})"
    if problem:
        say(f"{recipe.stage}: {final} {problem}, made again")
        return None
    return Artefact(
        recipe.stage,
        recipe.key,
        final,
        manifest["seconds"],
        manifest["peak_memory_mb"],
        made=False,
        facts=manifest["facts"],
        content=_content(manifest["files"]),
        code=manifest["code"],
    )


def _problem(final: Path, manifest: Mapping[str, Any], recipe: Recipe) -> str:
    """Why an artefact cannot be used; "" where it can."""
    if (manifest["stage"], manifest["key"]) != (recipe.stage, recipe.key):
        return "was altered (another artefact's manifest)"
    listed: Mapping[str, str] = manifest["files"]
    there = {str(path.relative_to(final)) for path in final.rglob("*") if path.is_file()}
    altered = sorted(there - set(listed) - {MANIFEST})
    for name, digest in listed.items():
        if name not in there or checksum(final / name) != digest:
            altered.append(name)
    if altered:
        return f"was altered ({', '.join(altered)})"
    changed = [
        role for role, digest in recipe.made_from.items() if manifest["made_from"][role] != digest
    ]
    if changed:
        return f"was made from another {', '.join(changed)}"
    return ""


def _content(files: Mapping[str, str]) -> str:
    """Digest of an artefact's files, reports of its making left out."""
    results = {name: digest for name, digest in files.items() if name not in REPORTS}
    return hashlib.sha256(as_json(results).encode()).hexdigest()[:16]


def _read_manifest(path: Path) -> dict[str, Any]:
    """What `_make` wrote; ValueError where any byte of it is another."""
    text = path.read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text)
    intact = as_json(manifest) == text
    seal = manifest.pop("seal")
    if not intact or manifest.keys() != FIELDS or seal != _seal(manifest):
        raise ValueError("altered")
    return manifest


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest as it is written, without its seal."""
    as_read = json.loads(as_json(manifest))
    return hashlib.sha256(as_json(as_read).encode()).hexdigest()


def _clear(part: Path, keeps: Sequence[str]) -> None:
    """An unfinished folder with nothing in it but what is kept."""
    if part.is_symlink():
        part.unlink()  # never follow it: what it points to is not ours
    part.mkdir(exist_ok=True)
    for path in part.iterdir():
        if path.name not in keeps:
            remove(path)
