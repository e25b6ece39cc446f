"""What a plan is made of: stages, the jobs that run them, and jobs that are done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from r2rec.base.store import Artefact
from r2rec.config import Dataset
from r2rec.config.slices import Arm

TRAIN_ON = "train_on/"  # before the names of jobs on a training data set that is not evaluated

WITNESS_FIT = "witness_fit"  # the job of stage `fit` that fits the witness to all train ratings


@dataclass(frozen=True)
class Curve:
    """A column of a stage's log.parquet that reports draw over its steps."""

    column: str  # "loss" or "reward"
    caption: str


@dataclass(frozen=True)
class Stage:
    """One row of the pipeline: a function, and what its result depends on.

    The function is `(choices, inputs, work) -> facts`: an instance of `slice`, the input folders by
    role, and a `Workspace`. It writes files into `work.folder` and returns facts for the manifest.
    """

    name: str
    run: str  # "module:function", imported when the stage runs and not before
    slice: type  # the dataclass of all it may read (`config.slices`)
    needs: tuple[str, ...] = ()  # roles of its inputs, where the plan has them
    slot: str = ""  # the step of the method it takes; several rows may take one. Default: `name`
    version: int = 1  # raise it when the same inputs give another result
    keeps: tuple[str, ...] = ()  # what an interrupted run leaves for the next one
    all_processes: bool = False  # run by all processes of the run, where it has several
    title: str = ""  # what it does, in words for tables and model cards
    trains: bool = False  # it leaves an adapter, which can be ranked with and pushed to the Hub
    method: str = ""  # what the results call a model that it trained
    curve: Curve | None = None
    check: str = ""  # "module:function" that refuses bad `rl.params` before anything runs

    def function(self) -> Callable[..., Any]:
        """The stage's function, imported now."""
        return imported(self.run)

    @property
    def place(self) -> str:
        """Folder in the store; the word for it in `until`, `force` and manifests."""
        return self.slot or self.name


def imported(dotted: str) -> Callable[..., Any]:
    """What "module:name" names."""
    module, name = dotted.split(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


@dataclass(frozen=True)
class Job:
    """One artefact to be obtained: a stage, its choices, and the jobs whose artefacts it reads."""

    name: str  # unique in its plan, e.g. "sft", "train_on/split", "rank R2Rec"
    stage: Stage
    choices: Any  # an instance of `stage.slice`
    inputs: Mapping[str, str] = field(default_factory=dict)  # role -> name of a job
    arm: Arm | None = None  # the row of the results that it belongs to
    dataset: Dataset | None = None  # whose raw files it reads


@dataclass(frozen=True)
class Finished:
    """A job that is done, and what it left."""

    job: Job
    artefact: Artefact
