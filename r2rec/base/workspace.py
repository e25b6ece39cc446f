"""Where a stage works."""

from dataclasses import dataclass
from pathlib import Path

from r2rec.config import Hardware


@dataclass(frozen=True)
class Workspace:
    """What a stage is given beside its choices and its inputs; nothing of it is in a key."""

    folder: Path  # of the artefact under construction: the stage writes its files here
    hardware: Hardware
    responses: Path  # answers of endpoints, shared by all artefacts of the store
