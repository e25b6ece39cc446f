"""The whole method in seconds, for tests: `+experiment=smoke` in this process, one store for the
session.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import polars as pl
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from r2rec import config
from r2rec.base.workspace import Workspace
from r2rec.config import Config, Hardware
from r2rec.config.place import CONF
from r2rec.config.slices import Slice, cut
from r2rec.execution.entry import run_config

SECRET = "correct-horse"
# Toy data have no downloads: this is never fetched.
PLANTED = f"dataset.downloads=[{{url: 'https://me:{SECRET}@example.org/x.zip'}}]"


class Done(NamedTuple):
    folder: Path
    records: list[dict[str, Any]]
    stages: dict[str, dict[str, Any]]
    lines: list[str]

    @classmethod
    def of(cls, folder: Path, lines: Sequence[str] = ()) -> "Done":
        """What a run has left in its folder; lines are those that it printed."""
        metrics = folder / "metrics.json"
        records = json.loads(metrics.read_text()) if metrics.exists() else []
        stages = json.loads((folder / "manifest.json").read_text())["stages"]
        return cls(folder, records, stages, list(lines))

    def status(self) -> dict[str, str]:
        """reused or made, of each stage and each arm that was ranked."""
        ranked = self.stages.get("rank", {"arms": {}})["arms"]
        rows = {n: s for n, s in self.stages.items() if n not in ("rank", "report")}
        rows |= {f"rank {method}": row for method, row in ranked.items()}
        return {name: row["status"] for name, row in rows.items()}

    def made(self) -> set[str]:
        return {name for name, status in self.status().items() if status == "made"}

    def folders(self) -> dict[str, Path]:
        """Artefact folders by stage, as a stage's function gets them."""
        return {name: Path(stage["path"]) for name, stage in self.stages.items()}

    def table(self, stage: str, name: str) -> pl.DataFrame:
        return pl.read_parquet(Path(self.stages[stage]["path"]) / f"{name}.parquet")

    def bytes_of(self, stage: str) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in Path(self.stages[stage]["path"]).glob("*.parquet")
        }

    def by_method(self) -> dict[str, Any]:
        return {record["method"]: record for record in self.records}


def composed(*overrides: str, experiment: str = "smoke") -> DictConfig:
    """The configuration of an experiment under these overrides.

    `smoke` has the paper's closed chains here, unless the overrides choose others.
    """
    words = overrides
    choosing = ("chain_sampler=", "+variant=open_chains", "+variant=retrieval")
    chosen = any(word.startswith(choosing) for word in overrides)
    if experiment == "smoke" and not chosen:
        words = ("chain_sampler=closed", *overrides)
    return composition(f"+experiment={experiment}", *words)


GROUPS = {path.name for path in CONF.iterdir() if path.is_dir()}


def composition(*overrides: str) -> DictConfig:
    """What Hydra composes under these overrides.

    Composing takes a third of a second, so that is done once for each choice of members; Hydra sets
    plain values after that, and here too.
    """
    read = OverridesParser.create().parse_overrides(list(overrides))
    plain = [word for word in read if _sets_a_value(word)]
    chosen = tuple(str(word.input_line) for word in read if word not in plain)
    cfg = _composed(chosen).copy()
    ConfigLoaderImpl._apply_overrides_to_config(plain, cfg)
    return cfg


def _sets_a_value(word: Override) -> bool:
    names_a_member = word.package is not None or word.key_or_group in GROUPS
    return not (names_a_member or word.is_hydra_override() or word.is_sweep_override())


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    config.register()
    with (
        initialize_config_dir(str(CONF), version_base="1.3"),
        patch.object(ConfigRepository, "load_config", _read_once),
    ):
        return compose("config", list(overrides))


_read = ConfigRepository.load_config
_files: dict[str, Any] = {}


def _read_once(repository: ConfigRepository, config_path: str) -> Any:
    if config_path not in _files:
        _files[config_path] = _read(repository, config_path)
    return deepcopy(_files[config_path])


def go(store: Path, *overrides: str, experiment: str = "smoke", drawn: bool = False) -> Done:
    """Run into a new folder beside the store.

    Args:
        drawn: Whether figures are rendered, which takes longer than most runs. If not, they are
            made all the same, and saved empty.
    """
    folder = store.parent / f"run-{len(list(store.parent.glob('run-*')))}"
    cfg = composed(f"artefacts={store}", *overrides, experiment=experiment)
    lines: list[str] = []
    with nullcontext() if drawn else _figures_saved_empty():
        records = run_config(cfg, folder, lines.append)
    return Done(
        folder, records, json.loads((folder / "manifest.json").read_text())["stages"], lines
    )


@contextmanager
def _figures_saved_empty() -> Iterator[None]:
    def save(figure: Any, target: Any, **how: Any) -> None:
        if how.get("format") == "svg":
            target.write("<svg></svg>")
        else:
            target.touch()

    with patch("matplotlib.figure.Figure.savefig", save):
        yield


@cache
def smoke_run(session: Path) -> Done:
    """Made once, in the folder that pytest has for this session; its backbone takes most of the
    time.
    """
    (session / "small").mkdir()
    return go(session / "small" / "store", PLANTED, drawn=True)


def choices(kind: type[Slice], *overrides: str, experiment: str = "smoke", **given: Any) -> Slice:
    """The slice that a stage gets under these overrides."""
    return cut(kind, typed(*overrides, experiment=experiment), **given)


def typed(*overrides: str, experiment: str = "smoke") -> Config:
    """The configuration as dataclasses."""
    config: Any = OmegaConf.to_object(composed(*overrides, experiment=experiment))
    return config


def workspace(folder: Path, **hardware: Any) -> Workspace:
    """Where a stage works, on a CPU."""
    spec = Hardware(**{"name": "cpu", "device": "cpu", **hardware})
    return Workspace(folder, spec, folder / "responses")
