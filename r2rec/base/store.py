"""Artefacts addressed by what made them: one folder per (stage, key), never half there.

An artefact is built aside, in `<key>.part`, its manifest is written last, and then the folder is renamed into
place; a lock per key makes two runs that need the same one build it once. A folder is used only if its
manifest is there and every file in it still has the bytes it was written with.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base.errors import R2RecError

MANIFEST = "manifest.json"
WRITTEN = {
    "stage",
    "key",
    "inputs",
    "files",
    "facts",
    "seconds",
    "peak_memory_mb",
}  # in each, beside its seal


class Artefact(NamedTuple):
    """A finished folder of files; `made` tells whether this call built it."""

    stage: str
    key: str
    path: Path
    seconds: float
    peak_memory_mb: float
    made: bool
    facts: dict[str, Any]  # what the stage reported of itself: counts, notes

    def record(self) -> dict[str, Any]:
        """The entry of the run's manifest."""
        return {
            "key": self.key,
            "path": str(self.path),
            "seconds": round(self.seconds, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "status": "made" if self.made else "reused",
            **self.facts,
        }


def key_of(
    stage: str,
    version: int,
    config: Mapping[str, Any],
    parents: Mapping[str, str],
    raw: Mapping[str, str],
) -> str:
    """16 hex digits that name an artefact by everything it depends on, and by nothing else.

    Args:
        config: The slice of the configuration that the stage declares.
        parents: Parent role -> key.
        raw: Raw file name -> checksum.
    """
    inputs = {"stage": stage, "version": version, "config": config, "parents": parents, "raw": raw}
    text = json.dumps(
        inputs, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def obtain(
    root: Path,
    stage: str,
    key: str,
    build: Callable[[Path], Mapping[str, Any] | None],
    *,
    inputs: Mapping[str, Any],
    force: bool = False,
    keeps: Iterable[str] = (),
    say: Callable[[str], None] = print,
) -> Artefact:
    """The artefact of this stage and key: the one in the store if it is sound, else `build` makes it.

    Args:
        root: The store's folder.
        build: Writes files into the folder it is given and returns facts for the manifest.
        inputs: What the key was made of, kept in the manifest for a reader.
        force: Build although a sound one is there.
        keeps: Names inside the folder under construction that survive an interruption (checkpoints);
            everything else left by a killed run is removed first. They are removed when the artefact is done.
        say: Told, in a line, when a broken artefact is found.

    Raises:
        R2RecError: The store cannot be written.
    """
    from filelock import FileLock

    final, part, keeps = root / stage / key, root / stage / f"{key}.part", tuple(keeps)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(root / stage / f"{key}.lock"):
            if not force and (found := _sound(final, stage, key, say)):
                return found
            _clear(part, keeps)
            artefact = _make(part, stage, key, build, inputs, keeps)
            _remove(final)
            part.rename(final)
            return artefact._replace(path=final)
    except Exception as error:
        if not (reason := said_by_disk(error)):
            raise
        where = getattr(error, "filename", None) or final
        what = f"cannot write artefact {where}: {reason}"
        raise R2RecError(f"{what}; free it or set artefacts=FOLDER") from error


def said_by_disk(error: Exception) -> str | None:
    """What the operating system said of a file; None where it said nothing (a library's own OSError too)."""
    if isinstance(error, R2RecError):
        return None
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror
    rust = re.search(r"([^:]+) \(os error \d+\)", str(error))  # Polars sets no errno
    if rust:
        return rust[1].strip()
    torn = "inline_container" in str(error) or "iostream error" in str(
        error
    )  # torch's writer, which tells no more
    return "a file could not be written to its end" if torn else None


def _make(part: Path, stage: str, key: str, build, inputs, keeps) -> Artefact:  # type: ignore[no-untyped-def]
    _reset_peak_memory()
    begin = time.perf_counter()
    facts = dict(build(part) or {})
    for name in keeps:
        _remove(part / name)
    seconds, peak = time.perf_counter() - begin, _peak_memory_mb()
    files = {str(p.relative_to(part)): checksum(p) for p in sorted(part.rglob("*")) if p.is_file()}
    manifest = {
        "stage": stage, "key": key, "inputs": inputs, "files": files, "facts": facts,
        "seconds": seconds, "peak_memory_mb": peak,
    }  # fmt: skip
    write_json(part / MANIFEST, manifest | {"seal": _seal(manifest)})
    return Artefact(stage, key, part, seconds, peak, True, facts)


def _sound(final: Path, stage: str, key: str, say: Callable[[str], None]) -> Artefact | None:
    """The finished artefact, or None where there is none or where it was altered."""
    if not final.exists():
        return None
    try:
        manifest = _manifest(final / MANIFEST)
        files = {str(p.relative_to(final)) for p in final.rglob("*") if p.is_file()} - {MANIFEST}
        listed = manifest["files"]
        altered = [n for n in listed if n not in files or checksum(final / n) != listed[n]]
        altered += sorted(files - set(listed))
        if manifest["key"] == key and manifest["stage"] == stage and not altered:
            facts = manifest["facts"]
            return Artefact(
                stage, key, final, manifest["seconds"], manifest["peak_memory_mb"], False, facts
            )
        broken = ", ".join(altered) or "another artefact's manifest"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        broken = f"{MANIFEST}: {type(error).__name__}"
    say(f"{stage}: {final} was altered ({broken}), made again")
    return None


def _manifest(path: Path) -> dict[str, Any]:
    """What `_make` wrote; ValueError where a byte of it is another.

    Manifests of before there were seals have none: they are held to their form alone.
    """
    text = path.read_text(encoding="utf-8")
    manifest = json.loads(text)
    whole = manifest.keys() - {"seal"} == WRITTEN and as_json(manifest) == text
    sealed = manifest.pop("seal", None)
    if not whole or (sealed is not None and sealed != _seal(manifest)):
        raise ValueError("altered")
    return manifest


def _seal(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest as it is written, without its seal."""
    return hashlib.sha256(as_json(json.loads(as_json(manifest))).encode()).hexdigest()


def _clear(part: Path, keeps: Iterable[str]) -> None:
    part.mkdir(exist_ok=True)
    for path in part.iterdir():
        if path.name not in keeps:
            _remove(path)


def _remove(path: Path) -> None:
    """Whatever is there: a folder, a file, a link, nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def as_json(value: Any) -> str:
    """The text of a JSON file, one entry a line."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader meets the old file or the new one, never a part, however many write it at once."""
    aside = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")  # nobody else's
    try:
        with aside.open("w", encoding="utf-8") as stream:
            stream.write(as_json(value))
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _reset_peak_memory() -> None:
    """Linux counts a process's peak anew after this; elsewhere the peak is the process's so far."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory_mb() -> float:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
