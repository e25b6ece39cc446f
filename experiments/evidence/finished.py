"""A finished run, as the scripts of this folder ask for it on the command line."""

import argparse
from pathlib import Path
from typing import NamedTuple

from r2rec.base.jobs import Finished
from r2rec.config import Config
from r2rec.results.recorded import config_of, finished_jobs


class Run(NamedTuple):
    """What a run has left."""

    config: Config
    jobs: dict[str, Finished]  # by their name

    @property
    def folders(self) -> dict[str, Path]:
        """The artefact of each job."""
        return {name: done.artefact.path for name, done in self.jobs.items()}


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that wants the folder of a run first."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("run", type=Path)
    return made


def run_in(folder: Path) -> Run:
    """The run in a folder."""
    config = config_of(folder)
    jobs = {done.job.name: done for done in finished_jobs(config, folder)}
    return Run(config, jobs)
