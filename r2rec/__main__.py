"""`python -m r2rec [overrides]`: Hydra in, pipeline out. Nothing heavy is imported before it is needed."""

import os
import re
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r2rec import config
from r2rec.base import processes
from r2rec.base.errors import R2RecError, one_line
from r2rec.base.provenance import hidden

HERE = Path(__file__).resolve().parent
CONF = (
    HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"
)  # in the wheel; in the checkout


def main() -> None:
    """Compose, run, and tell a user's mistake in one line with exit status 2."""
    if processes.count() > 1:  # by `accelerate launch -m r2rec`
        processes.end_with_parent()
    if not processes.is_main():
        return processes.follow()
    sys.argv[1:] = sorted(
        sys.argv[1:], key=lambda word: word not in ("-m", "--multirun")
    )  # argparse wants it in front
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come up to here, to be told in our way
    config.register()
    from hydra.errors import HydraException

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()
        processes.dismiss()
    except (R2RecError, HydraException, OmegaConfBaseException) as error:
        plugin = re.search(r"Could not find 'hydra/\w+/(ray|optuna)'", str(error))
        _fail(one_line(error) + (f"; pip install 'r2rec[{plugin[1]}]'" if plugin else ""))
    except OSError as error:
        if any(frame.name == _job.__name__ for frame in traceback.extract_tb(error.__traceback__)):
            raise
        _fail(
            f"cannot make the run folder {error.filename}: {error.strerror}; set hydra.run.dir=FOLDER"
        )
    except Exception as error:
        told = re.search(
            r"^error: (.*)$", str(error), re.MULTILINE
        )  # by a job that a launcher ran elsewhere
        if told and type(error).__module__.startswith("submitit."):
            _fail(told[1])
        if str(error).startswith("Only one of --run"):  # Hydra's, of its own options
            _fail(str(error))
        if str(error).startswith(
            "Config group override must be"
        ):  # Hydra's, of GROUP=null, GROUP=3
            _fail(
                f"{_memberless()} names no member of a group; write GROUP=MEMBER: --help lists them"
            )
        if nothing := re.search(
            r"full_key: (\S+)\s+reference_type=Optional", str(error)
        ):  # OmegaConf's
            _fail(
                f"{nothing[1]} is null here, and takes no table of keys: choose the member of the group that has it"
            )
        if 'Could not detect "srun"' in str(error):  # submitit's
            _fail(
                "no srun here: +launcher=slurm goes where jobs can be sent to SLURM; +launcher=local is its stand-in"
            )
        raise
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _memberless() -> str:
    """The words of the command line that set a group to a value."""
    value = re.compile(r"\+{0,2}(\w+)(@[\w.]+)?=(null|true|false|[-+.\d]+)", re.IGNORECASE)
    found = [
        word
        for word in sys.argv[1:]
        if (said := value.fullmatch(word)) and (CONF / said[1]).is_dir()
    ]
    return ", ".join(found) or "an override"


def _job(cfg: DictConfig) -> float | None:
    """One job; returns what a sweeper that searches is to raise: validation NDCG of the fitted baseline."""
    from hydra.core.hydra_config import HydraConfig

    from r2rec.pipeline import run
    from r2rec.report.tuning import sought

    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        if processes.count() > 1:
            cfg.hardware.processes = processes.count()  # whoever launched them has said how many
        if cfg.hardware.processes == processes.count():
            run(cfg, folder, _say)
        else:
            from r2rec.run.launch import launch

            launch(cfg, folder)
        return sought(folder)
    except (
        R2RecError,
        OmegaConfBaseException,
    ) as error:  # here already: Hydra prints the overrides, then passes it on
        _fail(one_line(error))


def _say(text: str) -> None:
    print(hidden(text), flush=True)  # a log shows it at once, and keeps no secret


def _fail(line: str) -> NoReturn:
    print(f"error: {hidden(line)}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
