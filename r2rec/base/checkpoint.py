"""What an interrupted training goes on from: files that are whole and as they were written, or are not used."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from r2rec.base.store import checksum, write_json

DIGEST = hashlib.sha256().digest_size  # bytes; it comes first in a state's file
SEAL = "seal.json"


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Leave a state of tensors and plain values in `path`; a reader meets it whole, or the one before."""
    import torch

    held = io.BytesIO()
    torch.save(state, held)
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(hashlib.sha256(held.getbuffer()).digest())
        file.write(held.getbuffer())
    os.replace(part, path)


def load_state(path: Path, device: Any = None) -> dict[str, Any] | None:
    """The state that `keep` left, on a device; None where there is none, or where it was altered, which is said."""
    import torch

    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        _tell(path)
        return None
    return torch.load(io.BytesIO(content[DIGEST:]), map_location=device, weights_only=True)


def seal(folder: Path) -> None:
    """Note what each file of a checkpoint is; it comes last, so that a checkpoint without it is none."""
    write_json(folder / SEAL, _files(folder))


def is_sealed(folder: Path) -> bool:
    """Whether a checkpoint is whole and as it was written; one that was altered is told of."""
    if not (folder / SEAL).is_file():
        return False  # a killed run was writing it
    try:
        whole = json.loads((folder / SEAL).read_text(encoding="utf-8")) == _files(folder)
    except (OSError, ValueError, RecursionError):
        whole = False
    if not whole:
        _tell(folder)
    return whole


def _files(folder: Path) -> dict[str, str]:
    """Name -> checksum of all files of a checkpoint but its seal, and what a killed run left of one."""
    found = sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(SEAL)
    )
    return {path.relative_to(folder).as_posix(): checksum(path) for path in found}


def _tell(path: Path) -> None:
    from tqdm import tqdm

    tqdm.write(f"  note: {path} was altered and is not used: training goes on from before it")
