"""Folders of one's own: configuration groups outside the package, and the code beside them.

`--config-dir FOLDER` and hydra.searchpath name them. Functions that their YAML names are found in
FOLDER and in the folder that holds it; prompt templates too.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from r2rec.base.provenance import composition
from r2rec.config import Config


def own_folders() -> list[Path]:
    """The user's configuration folders of this run, each followed by the folder that holds it."""
    folders: dict[Path, None] = {}
    for name in composition().get("config_dirs", []):
        folder = Path(name.removeprefix("file://")).absolute()
        folders |= dict.fromkeys((folder, folder.parent))
    return list(folders)


def make_importable(folders: Sequence[Path] | None = None) -> None:
    """Let Python find modules in these folders, after all others. None: the run's own."""
    for folder in own_folders() if folders is None else folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def with_template(config: Config) -> Config:
    """The configuration with the prompt template as a whole path, where there is such a file."""
    name = config.prompt.template
    if not name or not name.strip():
        return config
    for folder in (Path.cwd(), *own_folders()):
        path = folder / Path(name).expanduser()
        if path.is_file():
            return replace(config, prompt=replace(config.prompt, template=str(path)))
    return config
