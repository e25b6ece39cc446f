"""What a run was: its configuration without secrets, the revision of its code, and its versions."""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from r2rec import __version__
from r2rec.config import Config

PACKAGE = Path(__file__).resolve().parent.parent
PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "hydra-core",
    "omegaconf",
    "polars",
    "numpy",
    "scipy",
    "tokenizers",
    "safetensors",
)
# Names of settings that hold secrets: "api_key", "hf_token", "password".
SECRET_NAME = re.compile(
    r"(^|_)(api_?key|key|token|secret|password|passwd|credential)s?$", re.IGNORECASE
)
# Texts that look like secrets: "sk-abcdefghijkl", "https://me:password@host".
SECRET_TEXT = re.compile(r"\b(sk|hf|ghp|wandb)[-_][A-Za-z0-9_-]{12,}|://[^/\s:@]+:[^/\s@]+@")
# A secret behind its name: "token: abc", "'password': 'abc'".
NAMED_SECRET = re.compile(
    r"((?:key|token|secret|password|passwd|credential)s?['\"]?: ?)[^\s,}]+", re.IGNORECASE
)
# The name of an environment variable that holds a key: "OPENAI_API_KEY".
KEY_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_(KEY|TOKEN|SECRET)")
HIDDEN = "(hidden)"
OWN_SOURCES = ("command-line", "hydra.searchpath in command-line")  # of YAML, as Hydra says it
COMPOSITION = "R2REC_COMPOSITION"  # environment variable with `composition()` as JSON
MIN_SECRET_LENGTH = 8  # of an environment variable's value; hiding shorter ones hides common words


def collect(config: Config) -> dict[str, Any]:
    """Start, revision, versions, platform, seed and command line, for manifest.json."""
    return {
        "started": datetime.now().astimezone().isoformat(" ", "minutes"),
        "r2rec": __version__,
        "git": git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "seed": config.seed,
        "seeds": {
            "root": config.seed,
            "data": config.data_seed,
            "train": config.train_seed,
            "answer": config.answer_seed,
        },
        "command": [_without_secret(argument) for argument in sys.argv[1:]],
        **composition(),
    }


def composition() -> dict[str, Any]:
    """How Hydra composed the configuration: overrides, and folders of YAML outside the package.

    A process that Hydra has not started is told by an environment variable (`COMPOSITION`).
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        known: dict[str, Any] = json.loads(os.environ.get(COMPOSITION, "{}"))
        return known
    hydra = HydraConfig.get()
    folders = [
        source.path
        for source in hydra.runtime.config_sources
        if source.provider in OWN_SOURCES and source.schema == "file"
    ]
    return {
        "overrides": [_without_secret(word) for word in hydra.overrides.task],
        "config_dirs": folders,
        "sweep": hydra.mode == RunMode.MULTIRUN,
    }


def git_state(package: Path = PACKAGE) -> dict[str, Any] | None:
    """Commit, and whether the tree differs from it; None outside a checkout of this project.

    Args:
        package: The folder of the package, which lies at the top of the checkout.
    """
    try:
        root = _git(package, "rev-parse", "--show-toplevel")
        if Path(root) != package.resolve().parent:
            return None
        return {
            "revision": _git(package, "rev-parse", "HEAD"),
            "dirty": bool(_git(package, "status", "--porcelain")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def git_revision() -> str | None:
    """The commit as one word, with "+" where the tree differs from it."""
    state = git_state()
    if state is None:
        return None
    return f"{state['revision']}{'+' if state['dirty'] else ''}"


def write_config(settings: dict[str, Any], path: Path) -> None:
    """Write a resolved configuration as YAML, secrets hidden."""
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(scrubbed(settings))))


def public_config(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain values, secrets hidden."""
    plain: dict[str, Any] = scrubbed(asdict(config))
    return plain


def scrubbed(value: Any, name: str = "") -> Any:
    """The same nested value with secret-looking texts, and texts under secret names, hidden."""
    if isinstance(value, dict):
        return {key: scrubbed(content, str(key)) for key, content in value.items()}
    if isinstance(value, list):
        return [scrubbed(content, name) for content in value]
    if not isinstance(value, str):
        return value
    if SECRET_NAME.search(name) and not _names_variable(name, value):
        return HIDDEN
    return _without_secret(value)


def hidden(text: str) -> str:
    """The text without what looks like a secret, and without secrets of the environment."""
    secrets = [
        value
        for name, value in os.environ.items()
        if SECRET_NAME.search(name) and len(value) >= MIN_SECRET_LENGTH
    ]
    for value in sorted(secrets, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return SECRET_TEXT.sub(HIDDEN, text)


def _names_variable(name: str, value: str) -> bool:
    """Whether this is an endpoint's `key: OPENAI_API_KEY`: where the key is, not what it is."""
    return name == "key" and KEY_VARIABLE.fullmatch(value) is not None


def _without_secret(text: str) -> str:
    """The text, or the override `name=value`, with secrets hidden."""
    name, equals, value = text.partition("=")
    last = name.lstrip("+").rsplit(".", 1)[-1]
    names_secret = bool(equals) and SECRET_NAME.search(last) is not None
    if names_secret and not value.isdigit() and not _names_variable(last, value):
        return f"{name}={HIDDEN}"
    return hidden(NAMED_SECRET.sub(rf"\1{HIDDEN}", text))


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
