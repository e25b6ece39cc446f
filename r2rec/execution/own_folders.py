"""Folders of one's own: configuration groups outside the package, and the code beside them.

`--config-dir FOLDER` and hydra.searchpath name them. Functions that their YAML names are found in
FOLDER and in the folder that holds it; prompt templates too.
"""

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from r2rec.base.provenance import composition
from r2rec.config import Config


def own_folders(config_dirs: Iterable[str] | None = None) -> list[Path]:
    """The user's configuration folders, each followed by the folder that holds it.

    Args:
        config_dirs: As the manifest of a run names them; None: those of the run at work.
    """
    folders: dict[Path, None] = {}
    if config_dirs is None:
        config_dirs = composition().get("config_dirs", [])
    for name in config_dirs:
        folder = Path(name.removeprefix("file://")).absolute()
        folders |= dict.fromkeys((folder, folder.parent))
    return list(folders)


def make_importable(config_dirs: Iterable[str] | None = None) -> None:
    """Let Python find modules in these folders, and in those that hold them, after all others."""
    for folder in own_folders(config_dirs):
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
