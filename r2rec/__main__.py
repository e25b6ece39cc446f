"""`r2rec [COMMAND] [WORDS]`, the same as `python -m r2rec`: the first word says what is done.

Nothing heavy is imported before it is needed.
"""

import errno
import sys

from r2rec import __version__
from r2rec.base import console, processes, signals
from r2rec.base.errors import R2RecError, guess, one_line
from r2rec.base.jobs import imported
from r2rec.commands import COMMANDS, overview


def main() -> None:
    """Do what the command line says; report a user's mistake in one line, with exit status 2."""
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
    except R2RecError as error:
        console.warn(f"error: {one_line(error)}")
        sys.exit(2)
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
    first = words[0] if words else ""
    if first == "--version":
        print(f"r2rec {__version__}")
    elif first == "help":
        print(overview())
    elif first in COMMANDS:
        imported(COMMANDS[first].run)(words[1:])
    elif first.isalpha():
        known = ", ".join(COMMANDS)
        meant = guess(first, COMMANDS)
        raise R2RecError(
            f"unknown command {first}{meant}; commands: {known}; overrides are KEY=VALUE"
        )
    elif "dry=true" in words:
        imported(COMMANDS["plan"].run)(words)
    else:
        imported("r2rec.commands.compose:compose")(words)


if __name__ == "__main__":
    main()
