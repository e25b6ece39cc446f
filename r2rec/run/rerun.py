"""`python -m r2rec rerun RUN [overrides]`: compose an earlier run's configuration and run it."""

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

USAGE = "python -m r2rec rerun RUN [overrides], where RUN is the folder of an earlier run"
OWN_FOLDER = "hydra.run.dir="


def rerun_configuration(words: Sequence[str], conf: Path) -> tuple[DictConfig, Path]:
    """The configuration of an earlier run with overrides on top, and the folder of the new run.

    Args:
        words: The folder of the run, then overrides as on the command line.
        conf: The folder of configuration groups.

    Raises:
        R2RecError: There is no such run, or a secret in its overrides was not stored.
    """
    run = Path(words[0])
    recorded = _recorded(run)
    overrides = _merged(recorded["overrides"], words[1:])
    hidden = [word for word in overrides if HIDDEN in word]
    if hidden:
        key = hidden[0].partition("=")[0]
        raise R2RecError(f"{key} was not stored, because it is a secret: add {key}=VALUE")
    os.environ[COMPOSITION] = json.dumps(recorded | {"overrides": overrides})
    search = [f"file://{folder}" for folder in recorded["config_dirs"]]
    with initialize_config_dir(str(conf), version_base="1.3"):
        cfg = compose("config", [*overrides, f"hydra.searchpath=[{','.join(search)}]"])
    return cfg, _folder(cfg, words)


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


def _merged(before: Sequence[str], words: Sequence[str]) -> list[str]:
    """Overrides of before, and others in their place where they set the same key."""
    by_key: dict[str, str] = {}
    for word in (*before, *words):
        if word.startswith("-"):
            raise R2RecError(f"rerun takes overrides, not {word}; usage: {USAGE}")
        if not word.startswith(OWN_FOLDER):
            by_key[word.partition("=")[0].lstrip("+~")] = word
    return list(by_key.values())


def _folder(cfg: DictConfig, words: Sequence[str]) -> Path:
    """The folder of the new run: `hydra.run.dir=FOLDER`, or a new one under outputs/."""
    if cfg.dry:
        return Path("outputs")  # nothing is written
    for word in words:
        if word.startswith(OWN_FOLDER):
            return Path(word.removeprefix(OWN_FOLDER))
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(new_folder(f"outputs/{cfg.name}/{now}"))
