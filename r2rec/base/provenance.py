"""What a run was: its configuration without secrets, its code's revision, and the versions it ran with."""

import os
import platform
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r2rec import __version__

PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "hydra-core", "omegaconf",
    "polars", "numpy", "scipy", "tokenizers", "safetensors",
)  # fmt: skip
SECRET = re.compile(
    r"(^|_)(api_?key|key|token|secret|password|passwd|credential)s?$", re.IGNORECASE
)
LOOKS_SECRET = re.compile(r"\b(sk|hf|ghp|wandb)[-_][A-Za-z0-9_-]{12,}|://[^/\s:@]+:[^/\s@]+@")
NAMED_SECRET = re.compile(
    r"((?:key|token|secret|password|passwd|credential)s?['\"]?: ?)[^\s,}]+", re.IGNORECASE
)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*_(KEY|TOKEN|SECRET)")
HIDDEN = "(hidden)"
LEAST = 8  # characters of a secret in the environment: shorter ones would hide common words


def collect(cfg: DictConfig) -> dict[str, Any]:
    """Revision, versions, platform, seed and command line."""
    return {
        "r2rec": __version__,
        "git": git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "seed": cfg.seed,
        "seeds": {"root": cfg.seed},
        "command": [_hide(argument) for argument in sys.argv[1:]],
    }


def git_revision(folder: Path) -> dict[str, Any] | None:
    """Commit and whether the tree differs from it; None outside a checkout of this project."""
    try:
        root = _git(folder, "rev-parse", "--show-toplevel")
        if Path(root) != folder.resolve().parent:
            return None
        return {
            "revision": _git(folder, "rev-parse", "HEAD"),
            "dirty": bool(_git(folder, "status", "--porcelain")),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def write_config(cfg: DictConfig, path: Path) -> None:
    """The resolved configuration as YAML; values of secret-looking keys, and secret-looking values, are hidden."""
    plain = OmegaConf.to_container(cfg, resolve=True)
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(scrubbed(plain))))


def scrubbed(value: Any, name: str = "") -> Any:
    """The same nested value, with secret-looking texts, and texts under secret-looking names, hidden."""
    if isinstance(value, dict):
        return {k: scrubbed(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [scrubbed(v, name) for v in value]
    if isinstance(value, str):
        return HIDDEN if SECRET.search(name) and not _names_variable(name, value) else _hide(value)
    return value


def hidden(text: str) -> str:
    """The text without what looks like a secret, or is one: the value of a variable of the environment named so."""
    known = [
        value for name, value in os.environ.items() if SECRET.search(name) and len(value) >= LEAST
    ]
    for value in sorted(known, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return LOOKS_SECRET.sub(HIDDEN, text)


def _names_variable(name: str, value: str) -> bool:
    """Whether this is an endpoint's `key: OPENAI_API_KEY`, which says where the key is and not what it is."""
    return name == "key" and VARIABLE.fullmatch(value) is not None


def _hide(text: str) -> str:
    name, found, value = text.partition("=")
    last = name.lstrip("+").rsplit(".", 1)[-1]
    if found and SECRET.search(last) and not value.isdigit() and not _names_variable(last, value):
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
