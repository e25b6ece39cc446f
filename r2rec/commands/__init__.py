"""The words before Hydra's: `r2rec COMMAND ...`. Each command has a module."""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import NamedTuple, NoReturn

from r2rec.base.errors import R2RecError


class Command(NamedTuple):
    """A command, in a list of them."""

    run: str  # "module:function", which gets the words after the command
    usage: str
    does: str


COMMANDS = {
    "plan": Command(
        "r2rec.commands.plan:show_plan",
        "plan [OVERRIDES]",
        "what a run would make, and what is there already",
    ),
    "list": Command(
        "r2rec.commands.members:list_members",
        "list [GROUP]",
        "the members of a configuration group: baselines, datasets, ...",
    ),
    "runs": Command(
        "r2rec.commands.runs:list_runs",
        "runs [WORDS]",
        "what was run, when, on which data, and what came of it",
    ),
    "show": Command(
        "r2rec.commands.show:show_run",
        "show RUN [--user ID]",
        "results of a run, or one user's way from chains to answers",
    ),
    "explore": Command(
        "r2rec.commands.explore:explore_runs",
        "explore RUN [RUN ...]",
        "a local page: every user, filters, and the model asked again",
    ),
    "compare": Command(
        "r2rec.commands.compare:compare_runs",
        "compare RUN [RUN ...]",
        "paired differences between methods, with intervals and p",
    ),
    "report": Command(
        "r2rec.commands.report:report_run",
        "report RUN",
        "tables and page again, also of a run or a sweep that was stopped",
    ),
    "rerun": Command(
        "r2rec.commands.rerun:rerun_run",
        "rerun RUN [OVERRIDES]",
        "an earlier run again, with changes",
    ),
    "prune": Command(
        "r2rec.commands.prune:prune_store",
        "prune [--delete]",
        "what the store holds, and what of it no run needs",
    ),
}


class Parser(ArgumentParser):
    """Words of one command. A mistake is told in one line, as all of r2rec's."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(
            prog=f"r2rec {name}",
            description=description,
            allow_abbrev=False,
            formatter_class=RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise R2RecError."""
        raise R2RecError(f"{message}; `{self.prog} --help` tells how it is used")


def overview() -> str:
    """All commands, a line each."""
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = ["r2rec [OVERRIDES] runs what Hydra composes: `r2rec --help`. Other commands:", ""]
    for command in COMMANDS.values():
        lines.append(f"  r2rec {command.usage:<{width}}  {command.does}")
    return "\n".join([*lines, "", "Each has --help. RUN is a folder, a part of its name, or last."])
