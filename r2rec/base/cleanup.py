"""A run folder used again: the results of the run before go, so that none stands beside another configuration."""

import json
from pathlib import Path
from typing import Any

from r2rec.base.store import MANIFEST

FILES = ("metrics.json", "rankings.parquet", "report.html")
FOLDERS = (
    "tables",
    "plots",
)  # where a user may have put files as well: the manifest lists which are ours
ALWAYS = {"tables/results.md", "tables/results.csv", "tables/results.tex"}


def clear(folder: Path) -> set[str]:
    """Remove what a run left in `folder`, and nothing where none was; returns what others have in tables/ and plots/.

    The manifest goes last: it tells a run that comes after a kill what to remove.
    """
    if (manifest := _of_a_run(folder / MANIFEST)) is not None:
        ours = ALWAYS | set(manifest.get("results", []))
        for name in shown(folder) & ours:
            (folder / name).unlink()
        for part in FOLDERS:
            if (folder / part).is_dir() and not any((folder / part).iterdir()):
                (folder / part).rmdir()
        for name in (*FILES, MANIFEST):
            (folder / name).unlink(missing_ok=True)
    return shown(folder)


def shown(folder: Path) -> set[str]:
    """Files in tables/ and plots/, as `tables/results.md`."""
    return {
        f"{part}/{file.name}"
        for part in FOLDERS
        for file in (folder / part).glob("*")
        if file.is_file()
    }


def _of_a_run(file: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return told if {"r2rec", "stages"} <= told.keys() else None
    except (OSError, ValueError, AttributeError):
        return None
