"""`python -m r2rec rerun RUN [overrides]`: run the configuration of an earlier run again."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from r2rec.base.claims import new_folder
from r2rec.base.errors import R2RecError
from r2rec.base.provenance import HIDDEN
from r2rec.config import Config

USAGE = "python -m r2rec rerun RUN [overrides], where RUN is the folder of an earlier run"


def saved_configuration(run: Path, words: Sequence[str], conf: Path) -> DictConfig:
    """The configuration of an earlier run with overrides on top.

    Args:
        run: The folder of a run, which holds its config.yaml.
        words: Overrides, as on the command line: `GROUP=MEMBER` or `KEY=VALUE`.
        conf: The folder of configuration groups.

    Raises:
        R2RecError: There is no such run, an override is wrong, or a secret was not stored.
    """
    saved = _load(run)
    members: list[str] = []
    values: list[str] = []
    for word in words:
        group = word.partition("=")[0].partition("@")[0]
        kind = members if (conf / group).is_dir() and "." not in group else values
        kind.append(word)
    with initialize_config_dir(str(conf), version_base="1.3"):
        fresh = compose("config", members)
    for word in members:
        name = word.partition("=")[0]
        key = name.partition("@")[2] or name
        saved[key] = fresh[key]
    cfg: Any = OmegaConf.merge(OmegaConf.structured(Config), saved)
    cfg.merge_with_dotlist(values)
    _refuse_hidden(cfg)
    return cfg  # type: ignore[no-any-return]


def folder_of(cfg: DictConfig, words: Sequence[str]) -> Path:
    """The folder of the new run: `hydra.run.dir=FOLDER`, or a new one under outputs/."""
    for word in words:
        if word.startswith("hydra.run.dir="):
            return Path(word.partition("=")[2])
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return Path(new_folder(f"outputs/{cfg.name}/{now}"))


def _load(run: Path) -> Any:
    path = run / "config.yaml"
    if not path.is_file():
        raise R2RecError(f"{run} holds no run: there is no config.yaml; usage: {USAGE}")
    return OmegaConf.load(path)


def _refuse_hidden(cfg: DictConfig, where: str = "") -> None:
    """Stop where a secret was hidden when the configuration was stored."""
    for name, value in cfg.items():
        key = f"{where}{name!s}"
        if OmegaConf.is_dict(value):
            _refuse_hidden(value, f"{key}.")
        elif isinstance(value, str) and HIDDEN in value:
            raise R2RecError(f"{key} was not stored, because it is a secret: add {key}=VALUE")
