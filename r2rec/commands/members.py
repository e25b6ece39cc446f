"""`r2rec list [GROUP]`"""

import textwrap
from pathlib import Path

from r2rec.commands import Parser
from r2rec.config.place import CONF
from r2rec.results.members import groups, members

WIDTH = 80


def list_members(words: list[str]) -> None:
    """Print the members of a configuration group, or the names of all groups."""
    parser = Parser("list", "The members of a configuration group, each with what it is.")
    parser.add_argument(
        "group", nargs="?", metavar="GROUP", help="such as baselines or datasets; none: all groups"
    )
    parser.add_argument(
        "--config-dir", type=Path, metavar="FOLDER", help="a folder with groups of your own"
    )
    given = parser.parse_args(words)
    folders = [folder for folder in (CONF, given.config_dir) if folder]
    if given.group is None:
        print("\n".join(groups(folders)))
        return
    found = members(given.group, folders)
    longest = max(len(name) for name in found)
    for name, sentence in found.items():
        indent = " " * (longest + 2)
        lines = textwrap.wrap(f"{name:<{longest}}  {sentence}", WIDTH, subsequent_indent=indent)
        print("\n".join(lines))
