"""A run folder that is used again: results of the run before go, so none is taken for a new one."""

import json
from pathlib import Path
from typing import Any

from r2rec.base.store import MANIFEST

FILES = ("metrics.json", "rankings.parquet", "report.html")
FOLDERS = ("tables", "plots")  # users may keep files here too; the manifest lists which are ours
ALWAYS_OURS = {"tables/results.md", "tables/results.csv", "tables/results.tex"}


def clear(folder: Path) -> set[str]:
    """Remove what a run left in `folder`; return the files of others in tables/ and plots/.

    A folder without a run's manifest is left alone. The manifest goes last: after a kill it still
    tells the next run what to remove.
    """
    manifest = manifest_of_run(folder / MANIFEST)
    if manifest is not None:
        ours = ALWAYS_OURS | set(manifest.get("results", []))
        for name in shown(folder) & ours:
            (folder / name).unlink()
        for part in FOLDERS:
            if (folder / part).is_dir() and not any((folder / part).iterdir()):
                (folder / part).rmdir()
        for name in (*FILES, MANIFEST):
            (folder / name).unlink(missing_ok=True)
    return shown(folder)


def shown(folder: Path) -> set[str]:
    """Files in tables/ and plots/, as "tables/results.md"."""
    names = set()
    for part in FOLDERS:
        for file in (folder / part).glob("*"):
            if file.is_file():
                names.add(f"{part}/{file.name}")
    return names


def manifest_of_run(path: Path) -> dict[str, Any] | None:
    """The manifest of a run; None where there is none, or where the file is somebody else's."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        is_ours = {"r2rec", "stages"} <= manifest.keys()
    except (OSError, ValueError, AttributeError):
        return None
    return manifest if is_ours else None
