"""Which code makes a result: a stage's modules, and the modules of functions that a user names.

Sources are read, not run: imports are followed through the syntax tree, those inside functions too.
Modules that are imported by a name computed at run time (`importlib`) are not seen.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "r2rec"
ROOT = Path(__file__).resolve().parent.parent
TEXTS = {".j2", ".jinja", ".txt", ".csv", ".css"}  # files of the package that code reads
SHORT = 12  # hex digits of a module's digest


def package_code(modules: Iterable[str]) -> dict[str, str]:
    """Module or file of this package -> digest, for these modules and all that they import."""
    names = _closure(tuple(sorted(set(modules))), inside=PACKAGE)
    digests = {name: _digest(path) for name, path in names.items()}
    for folder in sorted({path.parent for path in names.values()} - {ROOT}):
        for path in sorted([*folder.glob("*"), *folder.glob("templates/*")]):
            if path.suffix in TEXTS:
                digests[path.relative_to(ROOT.parent).as_posix()] = _digest(path)
    return dict(sorted(digests.items()))


def user_code(targets: Iterable[str]) -> dict[str, str]:
    """Module -> digest of the modules that hold these dotted targets, and of those they import.

    Only a user's own code counts: this package's stages have versions, and installed packages and
    Python itself are not followed.
    """
    return {name: _digest(path) for name, path in _own_modules(targets).items()}


def user_files(targets: Iterable[str]) -> list[Path]:
    """The source files of the same modules."""
    return list(_own_modules(targets).values())


def is_own(target: str) -> bool:
    """Whether a dotted target is in a user's own code."""
    module = _module_of(target)
    return bool(module) and not _installed(module)


def _own_modules(targets: Iterable[str]) -> dict[str, Path]:
    """Module -> source file of a user's own modules behind these targets, and of their imports."""
    modules = {_module_of(target) for target in targets} - {""}
    own = sorted(name for name in modules if not _installed(name))
    return _closure(tuple(own), inside=None)


def described(digests: Mapping[str, str], revision: str | None) -> dict[str, Any]:
    """The entry `code` of an artefact's manifest."""
    joined = "\n".join(f"{name} {digest}" for name, digest in digests.items())
    whole = hashlib.sha256(joined.encode()).hexdigest()[:16]
    return {"digest": whole, "revision": revision, "modules": dict(digests)}


def changed_modules(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of modules that differ between two `described` entries."""
    old = before.get("modules", {})
    new = now["modules"]
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def package_imports(targets: Iterable[str]) -> list[str]:
    """Modules of this package that a user's own code imports."""
    names: set[str] = set()
    for name, path in _own_modules(targets).items():
        names.update(imported for imported in _imports(name, path) if _is_ours(imported))
    return sorted(names)


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


@cache
def _closure(modules: tuple[str, ...], inside: str | None) -> dict[str, Path]:
    """Module -> source file of these modules and all that they import, directly or not."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        path = _source(name)
        if name in found or path is None:
            continue
        if name == PACKAGE:  # its __init__.py hands on names of modules, and makes nothing
            continue
        found[name] = path
        parent = name.rpartition(".")[0]
        if parent:  # importing a.b runs a/__init__.py
            waiting.append(parent)
        for imported in _imports(name, path):
            if inside is not None:
                follows = _is_ours(imported)
            else:
                follows = not _installed(imported)
            if follows:
                waiting.append(imported)
    return dict(sorted(found.items()))


@cache
def _imports(name: str, path: Path) -> frozenset[str]:
    """Names that a module's source imports; of `from a import b` both `a` and `a.b`."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(names - {""})


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module of a `from` import, relative ones resolved."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    kept = parts[: len(parts) - node.level + 1]
    return ".".join([*kept, node.module]) if node.module else ".".join(kept)


@cache
def _source(module: str) -> Path | None:
    """The source file of a module, found without importing anything; None where there is none."""
    top, *rest = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for location in spec.submodule_search_locations or ():
        stem = Path(location, *rest)
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
    return None


@cache
def _installed(module: str) -> bool:
    """Whether a module is this package's, Python's own, or an installed package's."""
    top = module.partition(".")[0]
    if top == PACKAGE or top in sys.stdlib_module_names:
        return True
    path = _source(top) or _source(module)
    if path is None:
        return True
    site = {Path(sysconfig.get_paths()[name]).resolve() for name in ("purelib", "platlib")}
    return any(folder in path.resolve().parents for folder in site)


def _module_of(target: str) -> str:
    """The module of a dotted target: "my.metrics" of "my.metrics.Score.of"."""
    parts = target.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if _source(name) is not None:
            return name
    return ""


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:SHORT]
