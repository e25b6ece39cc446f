"""The pages in a real browser: no requests, no errors, and a keyboard is enough."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from r2rec.prompts.cases import Chain, Item
from r2rec.report.cases import Browser, Case, ShownAnswer
from tests.report import chromium
from tests.report.rows import HOSTILE
from tests.report.test_grid import written as grid
from tests.report.test_page import evidence_browser, written

pytestmark = pytest.mark.skipif(
    not chromium.FOUND, reason="no chromium on this machine: pages were not opened in one"
)

VERDICTS = ["right", "wrong", "invalid", "right"]
SHOWN = "[...document.querySelectorAll('.case')].filter(c => c.checkVisibility()).length"
FOCUS = """(() => {
    const focused = document.activeElement;
    return focused.id || focused.tagName + focused.textContent;
})()"""
LABELS_OF_OPEN_CASE = "[...document.querySelectorAll('.case[open] .ranking li')]"


def cases() -> Browser:
    """Four users under two arms; the second arm has the answers in reverse."""
    items = [Item(f"{text} {n}", (text,)) for n, text in enumerate(HOSTILE[:4])]
    chains = [Chain(items[0], 5, 4, 2.5, items[1], 4)]
    steps = [(HOSTILE[0], [("chain 1", "c1")]), ("a\nb", [])]
    answers = []
    for verdict in VERDICTS:
        answers.append(ShownAnswer(verdict, verdict, (4, 3, 0, 1), "", steps, HOSTILE[1]))
    made = []
    for user in range(4):
        by_arm = [answers[user], answers[-1 - user]]
        made.append(Case(user, HOSTILE[0], items, chains, items, 1, by_arm))
    return Browser(["one", "two"], made, 0, 4)


@pytest.fixture(scope="module")
def tab() -> Iterator[chromium.Tab]:
    with chromium.tab() as opened:
        yield opened


@pytest.fixture
def opened(tab: chromium.Tab, tmp_path: Path) -> chromium.Tab:
    tab.requests.clear()
    tab.complaints.clear()
    written(tmp_path / "report.html", HOSTILE[0], browser=cases())
    tab.open(tmp_path / "report.html")
    return tab


def test_page_requests_nothing_and_has_no_errors(opened: chromium.Tab) -> None:
    assert {url.rpartition("/")[2] for url in opened.requests if not url.startswith("data:")} == {
        "report.html"
    }
    assert opened.complaints == []
    assert opened.ask("document.querySelectorAll('script, img, iframe').length") == 0


def test_grid_page_requests_nothing(tab: chromium.Tab, tmp_path: Path) -> None:
    tab.requests.clear()
    tab.complaints.clear()
    grid(tmp_path, HOSTILE[3])
    tab.open(tmp_path / "report.html")
    assert {url.rpartition("/")[2] for url in tab.requests if not url.startswith("data:")} == {
        "report.html"
    }
    assert tab.complaints == []


@pytest.mark.parametrize(("arm", "kept"), [("arm0", [0, 3]), ("arm1", [0, 3])])
def test_filters_keep_what_they_name(opened: chromium.Tab, arm: str, kept: list[int]) -> None:
    opened.ask(f"document.getElementById('{arm}').click()")
    assert opened.ask(SHOWN) == 4
    for verdict, count in {"right": 2, "wrong": 1, "invalid": 1, "all": 4}.items():
        opened.ask(f"document.getElementById('{verdict}').click()")
        assert opened.ask(SHOWN) == count, verdict
    opened.ask("document.getElementById('right').click()")
    rows = (
        "[...document.querySelectorAll('.case')].flatMap((c, n) => c.checkVisibility() ? [n] : [])"
    )
    assert opened.ask(rows) == kept


def test_the_list_can_be_sorted_and_shows_where_methods_disagree(
    tab: chromium.Tab, tmp_path: Path
) -> None:
    shown = cases()
    right, wrong = shown.cases[0].answers[0], shown.cases[1].answers[0]._replace(ranks=(2, 3, 1, 4))
    of_arms = [[right, right], [wrong, wrong], [wrong, right], [wrong, wrong]]
    made = [case._replace(answers=both) for case, both in zip(shown.cases, of_arms, strict=True)]
    made = [case._replace(positive=2 * (case.user % 2)) for case in made]
    written(tmp_path / "report.html", "calm", browser=shown._replace(cases=made))
    tab.open(tmp_path / "report.html")
    tab.ask("document.getElementById('split').click()")
    assert tab.ask(SHOWN) == 1
    tab.ask("document.getElementById('every').click()")
    order = "[...document.querySelectorAll('.case')].map(c => getComputedStyle(c).order)"
    assert tab.ask(order) == ["0"] * 4
    tab.ask("document.getElementById('best').click()")
    assert tab.ask(order) == ["4", "1", "4", "1"]
    tab.ask("document.getElementById('worst').click()")
    assert tab.ask(order) == ["-4", "-1", "-4", "-1"]


def test_case_has_the_order_of_the_chosen_arm(opened: chromium.Tab) -> None:
    order = f"{LABELS_OF_OPEN_CASE}.map(l => getComputedStyle(l).order)"
    assert opened.ask(order) == ["4", "3", "99", "1"]
    top = f"{LABELS_OF_OPEN_CASE}.map(l => l.getBoundingClientRect().top)"
    fourth, third, left_out, first = opened.ask(top)
    assert first <= third
    assert max(first, third) <= max(fourth, left_out)


def test_a_keyboard_is_enough(opened: chromium.Tab) -> None:
    for _ in range(8):  # past the tables
        opened.press("Tab")
        if opened.ask(FOCUS) == "arm1":
            break
    assert opened.ask(FOCUS) == "arm1"
    opened.press("Tab")
    assert opened.ask(FOCUS) == "all"
    opened.press("ArrowRight")
    assert opened.ask(FOCUS) == "right"
    assert opened.ask(SHOWN) == 2
    opened.press("Tab")
    assert opened.ask(FOCUS) == "every"
    opened.press("Tab")
    assert opened.ask(FOCUS) == "byuser"
    opened.press("Tab")
    assert opened.ask(FOCUS).startswith("SUMMARY")
    opened.press("Tab")
    assert opened.ask(FOCUS).startswith("Achain 1")
    opened.press("Enter")
    assert opened.ask("location.hash") == "#1-c1"
    opened.press("Tab")  # from the chain on: the link again
    opened.press("Tab")
    opened.press("Enter")
    assert opened.ask("document.querySelectorAll('.case')[3].open") is True
    assert opened.ask("document.querySelectorAll('.case[open]').length") == 1


def narrow(tab: chromium.Tab) -> None:
    """As narrow as a phone."""
    tab.send(
        "Emulation.setDeviceMetricsOverride",
        width=360,
        height=640,
        deviceScaleFactor=1,
        mobile=False,
    )


def test_evidence_fits_a_phone_and_its_links_lead_there(tab: chromium.Tab, tmp_path: Path) -> None:
    tab.complaints.clear()
    written(tmp_path / "report.html", HOSTILE[0], browser=evidence_browser(HOSTILE[0]))
    tab.open(tmp_path / "report.html")
    assert tab.complaints == []
    narrow(tab)
    assert tab.ask("document.documentElement.scrollWidth <= 360")
    inside = """[...document.querySelectorAll('.case[open] .d')].every(drawing => {
        const frame = drawing.getBoundingClientRect();
        return [...drawing.querySelectorAll('text, rect, circle')].every(part => {
            const box = part.getBoundingClientRect();
            return box.left >= frame.left - 1 && box.right <= frame.right + 1;
        });
    })"""
    assert tab.ask(inside)
    for name in ("c1", "c1-3", "c0", "kC"):
        tab.ask(f"document.querySelector('.thought a[href=\"#1-{name}\"]').click()")
        assert tab.ask("document.querySelector(':target').id") == f"1-{name}"
        assert tab.ask("document.querySelector(':target').checkVisibility()")
    tab.send("Emulation.clearDeviceMetricsOverride")


def test_no_figure_of_the_results_is_out_of_sight_on_a_phone(
    tab: chromium.Tab, tmp_path: Path
) -> None:
    grid(tmp_path, "R2Rec without RL")
    tab.open(tmp_path / "report.html")
    narrow(tab)
    right = "Math.max(...[...document.querySelectorAll('.results td')].map(CELL))"
    assert tab.ask(right.replace("CELL", "c => c.getBoundingClientRect().right")) <= 360
    assert tab.ask("getComputedStyle(document.querySelector('.results td'), '::before').content")
    tab.send("Emulation.clearDeviceMetricsOverride")


def test_page_fits_a_phone_and_prints_the_open_case(opened: chromium.Tab) -> None:
    narrow(opened)
    assert opened.ask("document.documentElement.scrollWidth <= 360")
    opened.send("Emulation.clearDeviceMetricsOverride")
    opened.send("Emulation.setEmulatedMedia", media="print")
    assert opened.ask(SHOWN) == 1
    opened.ask("document.querySelector('.case[open]').open = false")
    assert opened.ask(SHOWN) == 1
    assert opened.ask("document.querySelector('.case .chains').checkVisibility()")
    opened.send("Emulation.setEmulatedMedia", media="")
