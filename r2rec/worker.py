"""One of several processes that `launch` started: the first runs the pipeline, the others follow it."""

import os
import sys
import traceback
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r2rec.base import processes
from r2rec.base.errors import R2RecError, one_line
from r2rec.base.provenance import hidden


def run_worker() -> None:
    """Run `r2rec.worker FROZEN FOLDER`: the frozen configuration in the run's folder."""
    processes.end_with_parent()
    frozen, folder = map(Path, sys.argv[1:])
    try:
        if not processes.is_main():
            processes.follow()
            return
        from r2rec.pipeline import run

        if terminal := os.environ.get("R2REC_STDERR"):
            os.dup2(os.open(terminal, os.O_WRONLY), 2)  # its bars
        run(OmegaConf.load(frozen).cfg, folder, lambda text: print(hidden(text), flush=True))
        processes.dismiss()
    except (R2RecError, OmegaConfBaseException) as error:
        processes.report_error(f"error: {hidden(one_line(error))}")
        os._exit(2)  # at once: the others may be waiting in the middle of something
    except Exception:
        processes.report_error(traceback.format_exc())
        os._exit(1)


if __name__ == "__main__":
    run_worker()
