"""States and checkpoints that an interrupted training continues from, used only if intact."""

import hashlib
import io
import json
import math
import os
from pathlib import Path
from typing import Any

from r2rec.base.files import checksum, write_json

DIGEST_BYTES = hashlib.sha256().digest_size  # at the start of a state's file
SEAL = "seal.json"
LEAST_SAVES = 4  # checkpoints of a training, the one at its end included


def between_saves(configured: int, steps: int) -> int:
    """Steps between two checkpoints of a training: as configured, but a quarter of it at most."""
    return min(configured, max(1, math.ceil(steps / LEAST_SAVES)))


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values to `path`; a reader meets this state or the one before."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(hashlib.sha256(buffer.getbuffer()).digest())
        file.write(buffer.getbuffer())
    os.replace(part, path)


def load_state(path: Path, device: Any = None) -> dict[str, Any] | None:
    """The state that `save_state` left, on a device; None if there is none or it was altered."""
    import torch

    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
        _warn(path)
        return None
    buffer = io.BytesIO(content[DIGEST_BYTES:])
    state: dict[str, Any] = torch.load(buffer, map_location=device, weights_only=True)
    return state


def seal(folder: Path) -> None:
    """Record the checksum of each file of a checkpoint; one without a seal counts as unfinished."""
    write_json(folder / SEAL, _files(folder))


def is_sealed(folder: Path) -> bool:
    """Whether a checkpoint is complete and unaltered; a note is printed for an altered one."""
    if not (folder / SEAL).is_file():
        return False  # its run was killed while writing it
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        sealed = None
    intact = bool(sealed == _files(folder))
    if not intact:
        _warn(folder)
    return intact


def _files(folder: Path) -> dict[str, str]:
    """Name -> checksum of a checkpoint's files; seals, and parts of one, left out."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(SEAL):
            digests[path.relative_to(folder).as_posix()] = checksum(path)
    return digests


def _warn(path: Path) -> None:
    from tqdm import tqdm

    tqdm.write(f"  note: {path} was altered and is not used; training continues from before it")
