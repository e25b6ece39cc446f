"""`r2rec plan [OVERRIDES]`"""

from tempfile import TemporaryDirectory

from r2rec.commands import COMMANDS
from r2rec.commands.compose import compose


def show_plan(words: list[str]) -> None:
    """Print the plan of each job, and leave no folder behind."""
    if words[:1] in (["-h"], ["--help"]):
        print(f"usage: r2rec {COMMANDS['plan'].usage}: {COMMANDS['plan'].does}")
        return
    with TemporaryDirectory() as name:
        folders = [f"hydra.run.dir={name}/run", f"hydra.sweep.dir={name}/sweep"]
        compose([*words, "dry=true", *folders])
