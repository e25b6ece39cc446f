"""Running what Hydra composes: overrides in, a run or a sweep out."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import hydra
from omegaconf import DictConfig

from r2rec import config
from r2rec.base import claims, console, processes
from r2rec.base.environment import guard_environment
from r2rec.base.errors import R2RecError
from r2rec.compat.hydra import (
    as_lists,
    composition_error,
    raised_in,
    run_error,
    share_config_store,
)
from r2rec.config.place import CONF

claims.register_resolver()  # also in processes that a launcher starts: they import this module
guard_environment()


def compose(words: Sequence[str]) -> None:
    """Hand the command line to Hydra, which calls `_job` for each job.

    Raises:
        R2RecError: A user's mistake.
    """
    sys.argv[1:] = _options_first(as_lists(words))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come up to here
    config.register()
    share_config_store()
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()
        processes.dismiss()
    except (BrokenPipeError, R2RecError):
        raise
    except Exception as error:
        line = composition_error(error) or run_error(error, words, CONF)
        if line:
            raise R2RecError(line) from error
        if isinstance(error, OSError) and error.filename and not raised_in(error, _job.__name__):
            reason = f"{error.filename}: {error.strerror}"
            raise R2RecError(
                f"cannot make the run folder {reason}; set hydra.run.dir=FOLDER"
            ) from error
        raise


def _options_first(words: Sequence[str]) -> list[str]:
    """The words with -m and --config-dir in front: argparse wants overrides in one piece.

    Raises:
        R2RecError: Another root of the configuration is asked for, which would be left out.
    """
    for word in words:
        if word.partition("=")[0] in ("--config-name", "-cn", "--config-path", "-cp"):
            raise R2RecError(
                f"{word.partition('=')[0]} is not for r2rec: `r2rec rerun RUN` runs an earlier "
                "configuration again, and --config-dir FOLDER adds groups of your own"
            )
    options, others = [], []
    rest = iter(words)
    for word in rest:
        if word in ("-m", "--multirun") or word.startswith("--config-dir="):
            options.append(word)
        elif word in ("--config-dir", "-cd"):
            options += [word, *islice(rest, 1)]
        else:
            others.append(word)
    return options + others


def _job(cfg: DictConfig) -> float | None:
    """Run one job; return validation NDCG of the fitted baseline, which a sweeper may maximise."""
    from hydra.core.hydra_config import HydraConfig

    from r2rec.report.tuning import sought

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        start_run(cfg, folder)
        return sought(folder)
    except Exception as error:  # here already: Hydra would print all overrides, secrets too
        line = composition_error(error)
        if line is None:
            raise
        _remove_empty(folder)
        console.warn(f"error: {line}{_jobs_before(folder)}")
        sys.exit(2)


def _jobs_before(folder: Path) -> str:
    """Where the results are of the jobs before one that ends its sweep; "" where there are none."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    in_sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    if not in_sweep or not any(folder.parent.glob("*/metrics.json")):
        return ""
    return f"; the sweep ends here, `r2rec report {folder.parent}` joins the jobs before"


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a run that never began, and of a sweep that has no other."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def start_run(cfg: DictConfig, folder: Path) -> None:
    """Run in this process, or in as many as the configuration asks for."""
    from r2rec.execution.entry import run_config

    if processes.count() > 1:
        cfg.hardware.processes = processes.count()  # whoever launched them has said how many
    if cfg.hardware.processes == processes.count() or cfg.dry:
        run_config(cfg, folder, console.say)
    else:
        from r2rec.execution.launch import launch

        launch(cfg, folder)
