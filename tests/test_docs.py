"""The documentation: its pages are there, links lead somewhere, and its commands work."""

import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

import r2rec
from r2rec.commands import COMMANDS
from r2rec.config.place import CONF
from r2rec.results.members import groups, members
from tests.small import composition

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))
FENCE = re.compile(r"^```(\w+).*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN = ("prompt", "reward", "dataset", "chain_sampler", "teacher", "baseline", "diagnostic")


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def commands_of(text: str) -> Iterator[str]:
    """Each `python -m r2rec WORDS` of a page, without what stands before its words."""
    blocks = [body for language, body in FENCE.findall(text) if language == "bash"]
    inline = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for line in [line for block in blocks for line in block.splitlines()] + inline:
        before, found, words = line.partition("python -m r2rec")
        if found and not before:
            yield words.strip()


COMMAND_LINES = sorted({words for page in PAGES for words in commands_of(text_of(page))})


def navigated(entries: Any) -> Iterator[str]:
    for entry in entries:
        (target,) = entry.values()
        if isinstance(target, str):
            yield target
        else:
            yield from navigated(target)


def test_the_navigation_has_every_page_once() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(navigated(nav)) == [page for page in PAGES if not page.endswith(".head.md")]


def anchors_of(page: str) -> set[str]:
    """The anchors of a page's headings, as Python-Markdown makes them of plain words."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_included_files_are_there(page: str) -> None:
    text = text_of(page)
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = ((DOCS / page).parent / path).resolve() if path else DOCS / page
        assert target.is_file(), link
        assert not anchor or anchor in anchors_of(target.relative_to(DOCS).as_posix()), link
    for line in re.findall(r"^--8.*$", text, re.MULTILINE):
        included = re.fullmatch(r'--8<-- "(.*)"', line)
        assert included, line
        assert (ROOT / included[1]).is_file(), line


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"^::: (\S+)$", text_of("python.md"), re.M)))
)
def test_what_the_python_page_documents_is_there(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(module), attribute).__doc__


def test_the_python_page_has_the_whole_public_api() -> None:
    public = {f"r2rec.{name}" for name in r2rec.__all__ if name != "__version__"}
    assert public <= set(re.findall(r"^::: (\S+)$", text_of("python.md"), re.MULTILINE))


def test_every_part_of_the_examples_is_shown() -> None:
    shown = "".join(text_of(page) for page in PAGES)
    for group in OWN:
        for path in (ROOT / "examples" / "own" / "conf" / group).iterdir():
            assert f'"{path.relative_to(ROOT).as_posix()}"' in shown


def test_the_page_of_keys_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    try:
        made = import_module("keys").page()
    finally:
        sys.modules.pop("keys", None)
    assert made == text_of("configuration.md"), "run: python docs/keys.py"
    assert not re.findall(r"^\|.*\|  \|$", made, re.MULTILINE), "a key without a meaning"


@pytest.mark.parametrize("command", COMMAND_LINES)
def test_every_command_is_one_that_works(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words == ["help"]:
        return
    if words and words[0] in COMMANDS and words[0] != "plan":
        if words[0] == "list":
            own = [ROOT / words[words.index("--config-dir") + 1]] if "--config-dir" in words else []
            assert members(words[1], [CONF, *own])
        return
    folders = []
    if "--config-dir" in words:
        place = words.index("--config-dir")
        folders = [f"file://{ROOT / words[place + 1]}"]
        words[place : place + 2] = []
    words = [word for word in words if word not in ("plan", "-m", "--help", "--cfg", "job")]
    for chosen in jobs(words):
        search = [f"hydra.searchpath=[{','.join(folders)}]"] if folders else []
        assert composition(*search, *chosen).name


def jobs(words: list[str]) -> Iterator[list[str]]:
    """The words of every job of a sweep."""
    read = OverridesParser.create().parse_overrides(words)
    swept = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [str(each.input_line)]
        for each in read
    ]
    for chosen in product(*swept):
        yield list(chosen)


def test_commands_are_found_and_groups_are_known() -> None:
    assert len(COMMAND_LINES) > 60
    assert set(OWN) <= set(groups([CONF]))
