"""`python -m r2rec [overrides]`: Hydra in, pipeline out. Nothing heavy is imported before it is needed."""

import os
import sys
import traceback
from pathlib import Path

import hydra
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from r2rec import config
from r2rec.errors import R2RecError
from r2rec.provenance import hidden

HERE = Path(__file__).resolve().parent
CONF = HERE / "conf" if (HERE / "conf").is_dir() else HERE.parent / "conf"  # in the wheel; in the checkout


def main() -> None:
    """Compose, run, and tell a user's mistake in one line with exit status 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come up to here, to be told in our way
    config.register()
    from hydra.errors import HydraException

    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(_job)()
    except (R2RecError, HydraException, OmegaConfBaseException) as error:
        _fail(_one_line(error))
    except OSError as error:
        if any(frame.name == _job.__name__ for frame in traceback.extract_tb(error.__traceback__)):
            raise
        _fail(f"cannot make the run folder {error.filename}: {error.strerror}; set hydra.run.dir=FOLDER")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _job(cfg: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig

    from r2rec.pipeline import run

    try:
        run(cfg, Path(HydraConfig.get().runtime.output_dir), _say)
    except (R2RecError, OmegaConfBaseException) as error:  # here already: Hydra prints the overrides, then passes it on
        _fail(_one_line(error))


def _say(text: str) -> None:
    print(hidden(text), flush=True)  # a log shows it at once, and keeps no secret


def _fail(line: str) -> None:
    print(f"error: {hidden(line)}", file=sys.stderr)
    sys.exit(2)


def _one_line(error: Exception) -> str:
    """A message on one line; Hydra's and OmegaConf's with the cause they keep behind it, and without their advice."""
    if isinstance(error, R2RecError):
        return " ".join(str(error).split())
    texts = [str(error), str(error.__cause__ or "")]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    noise = ("To append to your config", "reference_type", "object_type", "Config search path", "provider=")
    kept = dict.fromkeys(line for line in lines if line and not line.startswith(noise))
    return "; ".join(kept)


if __name__ == "__main__":
    main()
