"""`python -m r2rec [plan | rerun RUN] [overrides]`: Hydra composes, a run starts.

Nothing heavy is imported before it is needed.
"""

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from r2rec import __version__, config
from r2rec.base import claims, console, processes, signals
from r2rec.compat.hydra import composition_error, raised_in, run_error, share_config_store

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # wheel; checkout

claims.register_resolver()  # also in processes that a launcher starts: they import this module


def main() -> None:
    """Compose and run; report a user's mistake in one line, with exit status 2."""
    if processes.count() > 1:  # started by `accelerate launch -m r2rec`
        processes.end_with_parent()
    if not processes.is_main():
        processes.follow()
        return
    signals.install()
    try:
        _dispatch(sys.argv[1:])
        if sys.stdout is not None:  # None: closed by the shell
            sys.stdout.flush()
    except BrokenPipeError:  # as in `python -m r2rec --help | head`
        console.drop_output()
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        console.drop_output()
        console.warn(f"error: cannot write to standard output: {error.strerror}")
        sys.exit(1)
    except signals.Interrupted as error:
        console.warn(f"stopped by {error}; the same command continues from here")
        sys.exit(error.status)


def _dispatch(words: list[str]) -> None:
    """Do what the first word of the command line says; without a command, run."""
    if words[:1] == ["--version"]:
        print(f"r2rec {__version__}")
    elif words[:1] == ["rerun"]:
        _rerun(words[1:])
    elif words[:1] == ["plan"]:
        _plan(words[1:])
    elif words and words[0].isalpha():
        _fail(f"unknown command {words[0]}; commands: plan, rerun; overrides are KEY=VALUE")
    elif "dry=true" in words:
        _plan(words)
    else:
        _compose(words)


def _plan(words: list[str]) -> None:
    """Print the plan of each job, and leave no folder behind."""
    if words[:1] in (["-h"], ["--help"]):
        print("usage: python -m r2rec plan [overrides]: what a run would make, and what is there")
        return
    with TemporaryDirectory() as name:
        folders = [f"hydra.run.dir={name}/run", f"hydra.sweep.dir={name}/sweep"]
        _compose([*words, "dry=true", *folders])


def _rerun(words: list[str]) -> None:
    """Run the configuration of an earlier run again, with overrides."""
    from r2rec.run.rerun import USAGE, rerun_configuration

    if not words or words[0] in ("-h", "--help"):
        print(f"usage: {USAGE}")
        return
    config.register()
    try:
        cfg, folder = rerun_configuration(words, CONF)
        _run(cfg, folder)
        processes.dismiss()
    except Exception as error:
        line = composition_error(error) or run_error(error, words, CONF)
        if line is None:
            raise
        _fail(line)


def _compose(words: list[str]) -> None:
    """Hand the command line to Hydra, which calls `_job` for each job."""
    words.sort(key=lambda word: word not in ("-m", "--multirun"))  # argparse wants it in front
    sys.argv[1:] = words
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come up to here
    config.register()
    share_config_store()
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()
        processes.dismiss()
    except BrokenPipeError:
        raise
    except Exception as error:
        line = composition_error(error) or run_error(error, words, CONF)
        if line:
            _fail(line)
        if isinstance(error, OSError) and error.filename and not raised_in(error, _job.__name__):
            reason = f"{error.filename}: {error.strerror}"
            _fail(f"cannot make the run folder {reason}; set hydra.run.dir=FOLDER")
        raise


def _job(cfg: DictConfig) -> float | None:
    """Run one job; return validation NDCG of the fitted baseline, which a sweeper may maximise."""
    from hydra.core.hydra_config import HydraConfig

    from r2rec.report.tuning import sought

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        _run(cfg, folder)
        return sought(folder)
    except Exception as error:  # here already: Hydra would print all overrides, secrets too
        line = composition_error(error)
        if line is None:
            raise
        _remove_empty(folder)
        _fail(line)


def _remove_empty(folder: Path) -> None:
    """Remove the folder of a run that never began, and of a sweep that has no other."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _run(cfg: DictConfig, folder: Path) -> None:
    """Run in this process, or in as many as the configuration asks for."""
    from r2rec.run.entry import run

    if processes.count() > 1:
        cfg.hardware.processes = processes.count()  # whoever launched them has said how many
    if cfg.hardware.processes == processes.count() or cfg.dry:
        run(cfg, folder, console.say)
    else:
        from r2rec.run.launch import launch

        launch(cfg, folder)


def _fail(line: str) -> NoReturn:
    console.warn(f"error: {line}")
    sys.exit(2)


if __name__ == "__main__":
    main()
