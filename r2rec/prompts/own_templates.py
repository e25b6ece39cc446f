"""A user's own prompt templates: programs, which run in a sandbox and within limits.

They see what they are given and files beside them. What goes wrong in one is told in a line.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from traceback import extract_tb
from typing import Any

from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateNotFound,
    TemplateSyntaxError,
    meta,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

from r2rec.base.errors import R2RecError, one_line
from r2rec.base.limits import TEXT, OutOfBoundsError, limited

OPTIONS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
    "autoescape": False,  # plain text for a model, not HTML; `clean` is the guard
}
SUFFIXES = (".j2", ".jinja", ".jinja2", ".txt", ".md")  # of files that a template may include
MAX_FILE = 2**20  # bytes
MAX_REASON = 200  # characters


def render_own(path: str, values: Mapping[str, object]) -> str:
    """The text that a user's template makes of values.

    Raises:
        R2RecError: It cannot be read or rendered, or takes more than `base.limits` allows.
    """
    file = Path(path)
    with _told(path), limited():
        template = _environment(file.parent, file.suffix).get_template(file.name)
        parts: list[str] = []
        size = 0
        for part in template.generate(values):
            size += len(part)
            if size > TEXT:
                raise OutOfBoundsError(f"it makes a text of more than {TEXT:,} characters")
            parts.append(part)
        return "".join(parts)


def own_template_files(path: str) -> list[Path]:
    """A user's template, and those beside it that it includes or extends, directly or not.

    Raises:
        R2RecError: One of them cannot be read as a template, or is missing.
    """
    file = Path(path)
    with _told(path), limited():
        return sorted(_read_files(_environment(file.parent, file.suffix), file))


def _read_files(environment: Environment, path: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = [path.name]
    while waiting:
        name = waiting.pop()
        assert environment.loader is not None
        source, file, _ = environment.loader.get_source(environment, name)
        own = Path(str(file))
        if own.parent.resolve() == path.parent.resolve() and own not in found:
            found.add(own)
            referenced = meta.find_referenced_templates(environment.parse(source, name, file))
            waiting += [other for other in referenced if other]
    return found


class _OwnFolder(FileSystemLoader):
    """Templates of one folder. Other files there, and what links lead to, are not for prompts."""

    def __init__(self, folder: Path, suffix: str) -> None:
        super().__init__(folder)
        self.folder = folder
        self.suffixes = {*SUFFIXES, suffix}

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Any]:
        path = self.folder / template
        if path.suffix not in self.suffixes or not path.is_file():
            raise TemplateNotFound(template)
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise TemplateNotFound(template)
        if path.stat().st_size > MAX_FILE:
            raise OutOfBoundsError(f"{path} is larger than {MAX_FILE // 2**20} MiB")
        return super().get_source(environment, template)


@cache
def _environment(folder: Path, suffix: str) -> Environment:
    """Where templates are found: in the user's folder first, then in this package."""
    loader = ChoiceLoader([_OwnFolder(folder, suffix), PackageLoader("r2rec.prompts")])
    return ImmutableSandboxedEnvironment(loader=loader, **OPTIONS)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Tell in one line what goes wrong with a template."""
    name = f"prompt.template={path}"
    try:
        yield
    except TemplateSyntaxError as error:
        place = f"{error.filename or path}:{error.lineno}"
        reason = one_line(error.message or "")[:MAX_REASON]
        raise R2RecError(f"{name} cannot be read: {place}: {reason}") from error
    except OutOfBoundsError as error:
        raise R2RecError(f"{name} cannot be rendered: {_line(error, path)}{error}") from error
    except Exception as error:  # a template is a program of others
        reason = f"{type(error).__name__}: {one_line(error)[:MAX_REASON]}"
        raise R2RecError(f"{name} cannot be rendered: {_line(error, path)}{reason}") from error


def _line(error: Exception, path: str) -> str:
    """ "FILE:LINE: " where an error came up in a template; "" where that is unknown."""
    folder = Path(path).parent.resolve()
    causes = [error, error.__cause__, error.__context__]
    frames = chain.from_iterable(reversed(extract_tb(one.__traceback__)) for one in causes if one)
    for frame in frames:
        if Path(frame.filename).resolve().parent == folder:
            return f"{frame.filename}:{frame.lineno}: "
    return ""
