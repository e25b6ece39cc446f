"""`r2rec rerun RUN [OVERRIDES]`"""

from r2rec import config
from r2rec.base import processes
from r2rec.base.errors import R2RecError
from r2rec.commands.compose import start_run
from r2rec.compat.hydra import as_lists, composition_error, run_error
from r2rec.config.place import CONF
from r2rec.results.find import find_one


def rerun_run(words: list[str]) -> None:
    """Run the configuration of an earlier run again, with overrides."""
    from r2rec.execution.rerun import USAGE, rerun_configuration

    if not words or words[0] in ("-h", "--help"):
        print(f"usage: {USAGE}")
        return
    config.register()
    try:
        cfg, folder = rerun_configuration(find_one(words[0]), as_lists(words[1:]), CONF)
        start_run(cfg, folder)
        processes.dismiss()
    except Exception as error:
        line = composition_error(error) or run_error(error, words, CONF)
        if line is None:
            raise
        raise R2RecError(line) from error
