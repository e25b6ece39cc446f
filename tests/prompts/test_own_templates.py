"""Templates of others are programs: whatever one does, it ends soon, and in one line."""

import os
import threading
import time
from pathlib import Path

import pytest

from r2rec.base import limits
from r2rec.base.errors import R2RecError
from r2rec.prompts import own_templates
from r2rec.prompts.own_templates import own_template_files, render_own

VALUES = {"case": {"history": ["one", "two"], "profile": "x"}, "labels": "ABC"}
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"
DOUBLED = (
    "{% set n = namespace(x=labels) %}{% for _ in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
)

# What a template does -> how it is told.
BOMBS = {
    LOOPS + ENDS: "mine.j2:1: it takes longer than 1 s$",
    LOOPS
    + "x"
    + ENDS: r"it (takes longer than 1 s|makes a text of more than 4,194,304 characters)$",
    "{% include 'mine.j2' %}": "RecursionError: ",
    "{% extends 'mine.j2' %}": "RecursionError: ",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}": "RecursionError: ",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "RecursionError: |cannot be read: ",
    "{{ 'x' * 10 ** 10 }}": "it takes more than 256 MiB of memory$",
    "{{ 'x' * (labels | length * 10 ** 10) }}": "it takes more than 256 MiB of memory$",
    "{{ 'x' * (labels | length * 10 ** 7) }}": "it makes a text of more than 4,194,304 characters$",
    "{{ labels | center(10 ** 10) }}": "it takes more than 256 MiB of memory$",
    "{{ '%9999999999d' | format(1) }}": "it takes more than 256 MiB|OverflowError|ValueError",
    "{{ 10 ** (10 ** 10) }}": "it takes (longer|more) than|ValueError: Exceeds the limit",
    DOUBLED: "it takes (more|longer) than",
    "{{ lipsum(n=10 ** 7) }}": "it takes (more|longer) than",
    "{{ range(10 ** 9) | list }}": "OverflowError: Range too big",
    "{{ labels.__class__.__mro__[1].__subclasses__() }}": "SecurityError: .* is unsafe.$",
    "{{ ''.format.__globals__ }}": "SecurityError: .* is unsafe.$",
    "{{ '{0.__class__}'.format(labels) }}": "SecurityError: .* is unsafe.$",
    "{{ case.history.append('three') }}": "SecurityError: .* is unsafe.$",
    "{{ case.update(a=1) }}": "SecurityError: .* is unsafe.$",
    "{{ 1 / 0 }}": "mine.j2:1: ZeroDivisionError: division by zero$",
    "{{ case.nothing }}": "UndefinedError: 'dict object' has no attribute 'nothing'$",
    "{{ case['\x1b[2J'] }}": r"UndefinedError: .*x1b\[2J",
    "{{ {}[[]] }}": "(TypeError|UndefinedError): ",
    "{{ 5() }}": "TypeError: 'int' object is not callable$",
    "{{ labels | nothing }}": "cannot be read: .*mine.j2:1: No filter named 'nothing'",
    "{% if %}": "cannot be read: .*mine.j2:1: ",
    "{% include '../secret.j2' %}": "TemplateNotFound: ",
    "{% include '.env' %}": "TemplateNotFound: .env$",
    "{% include 'link.j2' %}": "TemplateNotFound: link.j2$",
    "{% include 'large.j2' %}": "large.j2 is larger than 1 MiB$",
    "{% include 'pipe.j2' %}": "TemplateNotFound: pipe.j2$",
    "{% import 'os' as os %}{{ os.environ }}": "TemplateNotFound: os$",
}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A template's file, beside other files that are none of its business."""
    monkeypatch.setattr(limits, "SECONDS", 1.0)
    folder = tmp_path / "templates"
    folder.mkdir()
    (tmp_path / "secret.j2").write_text("planted")
    (folder / ".env").write_text("KEY=planted")
    (folder / "link.j2").symlink_to(tmp_path / "secret.j2")
    (folder / "large.j2").write_text(" " * (2**20 + 1))
    os.mkfifo(folder / "pipe.j2")
    return folder / "mine.j2"


@pytest.mark.parametrize("text", BOMBS)
def test_a_template_that_means_harm_is_one_line(text: str, mine: Path) -> None:
    mine.write_text(text)
    begun = time.monotonic()
    with pytest.raises(R2RecError, match=BOMBS[text]) as caught:  # noqa: PT012 as a run does
        own_template_files(str(mine))
        render_own(str(mine), VALUES)
    line = str(caught.value)
    assert line.startswith(f"prompt.template={mine} cannot be re")
    assert line.isprintable()
    assert len(line) < 600
    assert "planted" not in line
    assert time.monotonic() - begun < 20
    mine.write_text("{{ labels }}")
    assert render_own(str(mine), VALUES) == "ABC"  # nothing stays limited


def test_includes_without_number_end(mine: Path) -> None:
    """Twenty-five templates, each of which includes the next one twice: 2 ** 25 texts."""
    for number in range(25):
        twice = f"{{% include 't{number + 1}.j2' %}}" * 2
        (mine.parent / f"t{number}.j2").write_text(twice)
    (mine.parent / "t25.j2").write_text("x")
    mine.write_text("{% include 't0.j2' %}")
    assert len(own_template_files(str(mine))) == 27
    with pytest.raises(R2RecError, match=r"it takes longer than 1 s$"):
        render_own(str(mine), VALUES)


def test_a_harmless_template_may_include_ours_and_its_neighbours(mine: Path) -> None:
    (mine.parent / "head.txt").write_text("Dear {{ labels[0] }},\n")
    mine.write_text("{% include 'head.txt' %}{% for h in case.history %}{{ h }} {% endfor %}")
    assert render_own(str(mine), VALUES) == "Dear A,one two "


def test_memory_is_limited_beside_the_main_thread_too(mine: Path) -> None:
    mine.write_text("{{ labels * 10 ** 10 }}")
    told = []

    def render() -> None:
        try:
            render_own(str(mine), VALUES)
        except R2RecError as error:
            told.append(str(error))

    thread = threading.Thread(target=render)
    thread.start()
    thread.join(60)
    assert told == [f"prompt.template={mine} cannot be rendered: {told[0].split(': ', 1)[1]}"]
    assert told[0].endswith("it takes more than 256 MiB of memory")


def test_limits_are_far_above_any_prompt() -> None:
    assert limits.SECONDS >= 5
    assert own_templates.TEXT >= 2**20
