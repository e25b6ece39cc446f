"""What the benchmarks share: a composed configuration, and the artefacts of a short run."""

import json
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from r2rec import config
from r2rec.config.place import CONF
from r2rec.execution.entry import run_config


def composed(*overrides: str) -> DictConfig:
    """The configuration of `python -m r2rec OVERRIDES`."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def artefacts(cfg: DictConfig, store: Path, folder: Path, until: str) -> dict[str, Path]:
    """Run up to the stage `until`; return the folder of each stage's artefact.

    Args:
        store: The artefact store; existing artefacts are reused.
        folder: The run folder.
    """
    cfg = cfg.copy()
    cfg.until = until
    cfg.artefacts = str(store)
    run_config(cfg, folder, say=lambda line: None)
    stages = json.loads((folder / "manifest.json").read_text())["stages"]
    return {name: Path(stage["path"]) for name, stage in stages.items()}
