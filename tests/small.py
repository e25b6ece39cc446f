"""The whole method in seconds, for tests: `+experiment=smoke` in this process, one store for the
session.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from hydra import compose, initialize_config_dir
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
    return _composed(words, experiment).copy()


@cache
def _composed(overrides: tuple[str, ...], experiment: str) -> DictConfig:
    """Composed once: it takes a fifth of a second."""
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [f"+experiment={experiment}", *overrides])


def go(store: Path, *overrides: str, experiment: str = "smoke") -> Done:
    """Run into a new folder beside the store."""
    folder = store.parent / f"run-{len(list(store.parent.glob('run-*')))}"
    cfg = composed(f"artefacts={store}", *overrides, experiment=experiment)
    lines: list[str] = []
    records = run_config(cfg, folder, lines.append)
    return Done(
        folder, records, json.loads((folder / "manifest.json").read_text())["stages"], lines
    )


@cache
def smoke_run(session: Path) -> Done:
    """Made once, in the folder that pytest has for this session; its backbone takes most of the
    time.
    """
    (session / "small").mkdir()
    return go(session / "small" / "store", PLANTED)


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
