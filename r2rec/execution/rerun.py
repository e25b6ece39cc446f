"""Composing in this process: an earlier run's configuration, or that of `r2rec.run`."""

import json
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from r2rec.base.claims import new_folder
from r2rec.base.errors import R2RecError
from r2rec.base.provenance import COMPOSITION, HIDDEN
from r2rec.base.store import MANIFEST

USAGE = "r2rec rerun RUN [OVERRIDES], where RUN is a folder, a part of its name, or last"
OWN_FOLDER = "hydra.run.dir="


def rerun_configuration(run: Path, overrides: Sequence[str], conf: Path) -> tuple[DictConfig, Path]:
    """The configuration of an earlier run with overrides on top, and the folder of the new run.

    Args:
        run: The folder of the earlier run.
        conf: The folder of configuration groups.

    Raises:
        R2RecError: There is no such run, or a secret in its overrides was not stored.
    """
    recorded = _recorded(run)
    merged = merged_overrides(recorded["overrides"], overrides)
    hidden = [word for word in merged if HIDDEN in word]
    if hidden:
        key = hidden[0].partition("=")[0]
        raise R2RecError(f"{key} was not stored, because it is a secret: add {key}=VALUE")
    cfg = composed(merged, recorded["config_dirs"], conf)
    return cfg, run_folder(cfg, overrides)


def composed(overrides: Sequence[str], config_dirs: Sequence[str], conf: Path) -> DictConfig:
    """The configuration of one run, composed in this process.

    Args:
        overrides: Without hydra.run.dir.
        config_dirs: Folders of YAML outside the package.
    """
    how = {"overrides": list(overrides), "config_dirs": list(config_dirs)}
    os.environ[COMPOSITION] = json.dumps(how)
    search = [f"file://{folder}" for folder in config_dirs]
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("config", [*overrides, f"hydra.searchpath=[{','.join(search)}]"])


def _recorded(run: Path) -> dict[str, Any]:
    """How the configuration of a run was composed."""
    path = run / MANIFEST
    if not path.is_file():
        raise R2RecError(f"{run} holds no run: there is no {MANIFEST}; usage: {USAGE}")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = {"overrides", "config_dirs"} <= manifest.keys()
    except (ValueError, AttributeError) as error:
        raise R2RecError(f"{path} cannot be read: {error}") from error
    if not known:
        raise R2RecError(f"{path} does not say how the run was composed; start it anew")
    return {name: manifest[name] for name in ("overrides", "config_dirs")}


def merged_overrides(before: Sequence[str], words: Sequence[str]) -> list[str]:
    """Overrides of before, and others in their place where they set the same key."""
    by_key: dict[str, str] = {}
    for word in (*before, *words):
        if word.startswith("-"):
            raise R2RecError(f"{word} is no override: one run takes KEY=VALUE, and no flags")
        if not word.startswith(OWN_FOLDER):
            by_key[word.partition("=")[0].lstrip("+~")] = word
    return list(by_key.values())


def run_folder(cfg: DictConfig, words: Sequence[str]) -> Path:
    """The folder of the new run: `hydra.run.dir=FOLDER`, or a new one under outputs/."""
    if cfg.dry:
        return Path("outputs")  # nothing is written
    for word in words:
        if word.startswith(OWN_FOLDER):
            return Path(word.removeprefix(OWN_FOLDER))
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(new_folder(f"outputs/{cfg.name}/{now}"))
