"""One of several processes that `run.launch` started: the main one runs, the others follow it."""

import os
import sys
import traceback
from pathlib import Path

from omegaconf import OmegaConf

from r2rec.base import console, processes, signals
from r2rec.base.provenance import hidden
from r2rec.compat.hydra import composition_error


def run_worker() -> None:
    """Run `python -m r2rec.worker FROZEN FOLDER`: a frozen configuration, in a run's folder."""
    processes.end_with_parent()
    frozen, folder = map(Path, sys.argv[1:])
    try:
        if not processes.is_main():
            processes.follow()
            return
        signals.install()
        from r2rec.config import Config
        from r2rec.execution.entry import run_config

        terminal = os.environ.get("R2REC_STDERR")
        if terminal:
            os.dup2(os.open(terminal, os.O_WRONLY), 2)  # for its progress bars
        cfg = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(frozen).cfg)
        run_config(cfg, folder, console.say)  # type: ignore[arg-type]
        processes.dismiss()
    except Exception as error:
        line = composition_error(error)
        if line is None:
            processes.report_error(traceback.format_exc())
            os._exit(1)  # at once: the others may be waiting in the middle of something
        processes.report_error(f"error: {hidden(line)}")
        os._exit(2)
    except signals.Interrupted as error:
        os._exit(error.status)


if __name__ == "__main__":
    run_worker()
