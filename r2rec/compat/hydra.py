"""All that leans on the inside of Hydra, OmegaConf and submitit: hooks, and the wording of errors.

Checked on hydra-core 1.3, omegaconf 2.3 and submitit 1.5; tests/compat/test_hydra.py says what
breaks when one of them changes.
"""

import re
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r2rec import config
from r2rec.base.errors import R2RecError, guess, one_line
from r2rec.base.provenance import scrubbed

# Lines of an error's text that only make sense to Hydra's developers.
NOISE = (
    "To append to your config",
    "reference_type",
    "object_type",
    "Config search path",
    "provider=",
)
# "Could not find 'hydra/launcher/ray'"
MISSING_PLUGIN = re.compile(r"Could not find 'hydra/\w+/(ray|optuna)'")
# "Error merging override force=think; Invalid value assigned: str is not a ListConfig"
TEXT_FOR_LIST = re.compile(r"override ([\w.]+)=(\S+); Invalid value assigned: \w+ is not a List")
# "Key 'datset' not in 'Config'"
UNKNOWN_KEY = re.compile(r"Key '(\w+)' not in '(\w+)'")
# "Key 'usres' is not in struct"
NOT_THERE = re.compile(r"Key '(\w+)' is not in struct")
FULL_KEY = re.compile(r"full_key: ([\w.@]+)")
ONE_WORD = re.compile(r"[\w@-]+")
# "error: ..." in the log of a job that a launcher ran elsewhere
JOB_ERROR = re.compile(r"^error: (.*)$", re.MULTILINE)
# "Could not find 'dataset/ml_100'; Available options in 'dataset':; amazon; ml_100k"
UNKNOWN_MEMBER = re.compile(
    r"(?:In '[^']*': )?(Could not find '\S+/(\w+)'); Available options in '[^']*':; (.*)"
)
# "R2RecError raised while resolving interpolation: name cannot be ...; full_key: name"
REFUSED_VALUE = re.compile(
    r"(?:\w+ raised while resolving interpolation: )*R2RecError raised while resolving "
    r"interpolation: (.*?)(; full_key: .*)?$"
)
# "full_key: baseline.endpoint ... reference_type=Optional[Endpoint]"
NULL_GROUP = re.compile(r"full_key: (\S+)\s+reference_type=Optional")
# An override that sets a group to a value: "dataset=null", "baseline@fusion=3"
VALUE_OVERRIDE = re.compile(r"\+{0,2}(\w+)(@[\w.]+)?=(null|true|false|[-+.\d]+)", re.IGNORECASE)


def share_config_store() -> None:
    """Let Hydra copy its store of schemas by reference.

    Hydra deep-copies the store, a singleton, for every group that it lists: 120 copies for one
    `--help`. Nothing writes to a copy.
    """
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]


def composition_error(error: Exception) -> str | None:
    """One line for a mistake in an override or a configuration; None for any other error."""
    if isinstance(error, R2RecError):
        return one_line(error)
    if not isinstance(error, (HydraException, OmegaConfBaseException)):
        return None
    override = getattr(error, "override", None)  # set where Hydra's parser gave up
    if override:
        text = " ".join(scrubbed(override).split())
        name = text.partition("=")[0]
        return f"cannot read the override {text}: put the value in quotes, e.g. \"{name}='...'\""
    line = _joined(error)
    refused = REFUSED_VALUE.match(line)
    if refused:
        return refused[1]
    no_member = UNKNOWN_MEMBER.fullmatch(line)
    if no_member and not MISSING_PLUGIN.search(line):
        found, name, known = no_member.groups()
        members = known.split("; ")
        return f"{found}{guess(name, members)}; there are {', '.join(members)}"
    key = FULL_KEY.search(line)
    if key and (UNKNOWN_KEY.search(line) or NOT_THERE.search(line)):
        return f"there is no key {key[1]}{_hint(line, error)}"
    return line + _hint(line, error)


def as_lists(words: Iterable[str]) -> list[str]:
    """Overrides with one word for a key that takes a list in brackets: force=[think]."""
    given = []
    for word in words:
        key, equals, value = word.partition("=")
        is_word = ONE_WORD.fullmatch(value) and value != "null"
        given.append(f"{key}{equals}[{value}]" if is_word and key in _list_keys() else word)
    return given


@cache
def _list_keys(schema: type = config.Config, where: str = "") -> frozenset[str]:
    """Dotted keys of a configuration that take a list of texts."""
    found: set[str] = set()
    for name, kind in get_type_hints(schema).items():
        if kind == list[str]:
            found.add(f"{where}{name}")
        elif is_dataclass(kind) and isinstance(kind, type):
            found |= _list_keys(kind, f"{where}{name}.")
    return frozenset(found)


def swept(hydra: Any) -> tuple[list[str], int | None]:
    """The keys that a sweep varies, and how many jobs it has; None: its sweeper decides that.

    Args:
        hydra: The node `hydra` of a configuration.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = {override_key(word): word for word in OmegaConf.select(hydra, "overrides.task") or []}
    params = OmegaConf.select(hydra, "sweeper.params") or {}
    words = {f"{key}": f"{key}={value}" for key, value in params.items()} | given
    sweeps = {}
    for key, word in words.items():
        override = OverridesParser.create().parse_override(word)
        if override.is_sweep_override():
            sweeps[override_key(key)] = override
    sweeper = OmegaConf.select(hydra, "sweeper._target_") or ""
    if not sweeper.endswith(".BasicSweeper"):
        return [override_key(key) for key in (*sweeps, *params)], None
    return list(sweeps), prod(len(list(one.sweep_iterator())) for one in sweeps.values())


def override_key(word: str) -> str:
    """The key of an override: "seed" of "seed=1", "variant" of "+variant=full"."""
    return word.partition("=")[0].lstrip("+~")


def _hint(line: str, error: Exception) -> str:
    """What to do about a mistake that Hydra or OmegaConf only states."""
    plugin = MISSING_PLUGIN.search(line)
    if plugin:
        return f"; pip install 'r2rec[{plugin[1]}]'"
    text_for_list = TEXT_FOR_LIST.search(line)
    if text_for_list:
        key, value = text_for_list.groups()
        return f"; {key} is a list, write {key}=[{value}]"
    unknown = UNKNOWN_KEY.search(line)
    schema = getattr(config, unknown[2], None) if unknown else None
    if unknown and schema:
        close = get_close_matches(unknown[1], [spec.name for spec in fields(schema)], n=1)
        return f"; did you mean {close[0]}?" if close else ""
    parent = getattr(error.__cause__ or error, "parent_node", None)
    missing = NOT_THERE.search(line)
    if missing and isinstance(parent, DictConfig):
        meant = guess(missing[1], map(str, parent)).replace(" (", "; ").replace("?)", "?")
        return f"{meant}; there are {', '.join(map(str, parent))}" if len(parent) else ""
    return ""


def run_error(error: Exception, words: Sequence[str], conf: Path) -> str | None:
    """One line for a user's mistake that Hydra or a launcher reports in its own way; else None.

    Args:
        words: The command line.
        conf: The folder of configuration groups.
    """
    text = str(error)
    job_error = JOB_ERROR.search(text)
    if job_error and type(error).__module__.startswith("submitit."):
        return job_error[1]
    if text.startswith("Only one of --run"):
        return text
    if text.startswith("Config group override must be"):
        names = _memberless(words, conf)
        return f"{names} names no member of a group; write GROUP=MEMBER: --help lists them"
    null_group = NULL_GROUP.search(text)
    if null_group:
        return (
            f"{null_group[1]} is null here, and takes no table of keys: "
            "choose the member of the group that has it"
        )
    if "Unexpected type for root: NoneType" in text:
        keys = [(word.partition("=")[0], word) for word in words]
        deep = [word for key, word in keys if key.count(".") > 1 and ".params." not in key]
        return (
            f"{', '.join(deep) or 'an override'} sets a key of a table that is null here: "
            "choose the member of the group that has it"
        )
    if 'Could not detect "srun"' in text:
        return (
            "no srun here: +launcher=slurm goes where jobs can be sent to SLURM; "
            "+launcher=local is its stand-in"
        )
    return None


def raised_in(error: BaseException, function_name: str) -> bool:
    """Whether an error came out of the function with this name."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.name == function_name for frame in frames)


def _joined(error: Exception) -> str:
    """A message and that of its cause, on one line, without noise and repetition."""
    lines: dict[str, None] = {}
    for text in (str(error), str(error.__cause__ or "")):
        for line in text.splitlines():
            if line.strip() and not line.strip().startswith(NOISE):
                lines[line.strip()] = None
    return "; ".join(lines)


def _memberless(words: Sequence[str], conf: Path) -> str:
    """The words of a command line that set a group to a value."""
    found = []
    for word in words:
        match = VALUE_OVERRIDE.fullmatch(word)
        if match and (conf / match[1]).is_dir():
            found.append(word)
    return ", ".join(found) or "an override"
