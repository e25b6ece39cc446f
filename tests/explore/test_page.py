"""The page in a real browser: it works with a keyboard, asks nobody else, and runs no data text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.explore.small import Client, answering, desk_of, served
from tests.report import chromium
from tests.report.test_browser import narrow
from tests.small import Done

pytestmark = pytest.mark.skipif(
    not chromium.FOUND, reason="no chromium on this machine: the page was not opened in one"
)

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
SHOWN_USER = "document.querySelector('#case h2 .text')?.textContent"
LISTED = "[...document.querySelectorAll('#users button')].map(b => b.dataset.user)"
PRESSED = "document.querySelector('#methods [aria-pressed=true]').textContent"


@pytest.fixture(scope="module")
def client(smoke: Done, store: Path) -> Iterator[Client]:
    folder = answering(store)
    desk = desk_of(folder, smoke.folder)
    for name in desk.runs:  # read, and a model loaded, before a browser waits for it
        desk.open(name)
    user = desk.open(folder.name).cases[0].raw_id
    desk.reply("ask", {"run": folder.name, "user": user, "method": "backbone"})
    with served(desk) as asking:
        yield asking


@pytest.fixture(scope="module")
def tab() -> Iterator[chromium.Tab]:
    with chromium.tab() as opened:
        yield opened


def wait(tab: chromium.Tab, condition: str) -> Any:
    """The value of an expression once it is true; polled by the page for up to 60 seconds."""
    return tab.ask(
        f"""new Promise((done, fail) => {{
        let left = 3000;
        const look = () => {{
            let value = null;
            try {{ value = {condition}; }} catch {{ }}
            if (value) done(value);
            else if (left-- > 0) setTimeout(look, 20);
            else fail(new Error({json.dumps(condition)}));
        }};
        look(); }})"""
    )


@pytest.fixture
def opened(tab: chromium.Tab, client: Client) -> chromium.Tab:
    tab.open("about:blank")
    tab.requests.clear()
    tab.complaints.clear()
    tab.open(client.server.address)
    wait(tab, SHOWN_USER)
    return tab


def test_the_page_asks_this_server_alone_and_has_no_errors(
    opened: chromium.Tab, client: Client
) -> None:
    own = f"http://127.0.0.1:{client.port}/"
    assert {url for url in opened.requests if not url.startswith((own, "data:"))} == set()
    assert all(client.token in url for url in opened.requests if url.startswith(own))
    assert opened.complaints == []


def test_a_keyboard_is_enough(opened: chromium.Tab, client: Client) -> None:
    users = opened.ask(LISTED)
    assert opened.ask(SHOWN_USER) == users[0]
    opened.press("j")
    wait(opened, f"{SHOWN_USER} === {json.dumps(users[1])}")
    assert f"user={users[1]}" in opened.ask("location.hash")
    opened.press("j")
    wait(opened, f"{SHOWN_USER} === {json.dumps(users[2])}")
    opened.press("k")
    wait(opened, f"{SHOWN_USER} === {json.dumps(users[1])}")
    opened.press("1")
    wait(opened, f"{PRESSED} === '1 random'")
    opened.press("ArrowRight")
    wait(opened, f"{PRESSED} === '2 popularity'")
    opened.press("/")
    assert opened.ask("document.activeElement.id") == "text"
    opened.send("Input.insertText", text=users[4])
    wait(opened, f"{LISTED}[0] === {json.dumps(users[4])}")
    opened.press("Enter")
    wait(opened, f"{SHOWN_USER} === {json.dumps(users[4])}")
    assert opened.ask("document.activeElement.id") != "text"
    assert opened.complaints == []


def test_filters_show_whom_they_keep(opened: chromium.Tab, client: Client) -> None:
    for name in ("wrong", "right"):
        opened.ask(f"document.getElementById('filter-{name}').click()")
        run = next(iter(client.server.desk.runs))
        request = {"run": run, "method": "backbone", "filters": [name]}
        users = [raw for raw, _, _ in client.post("users", request).value["users"]]
        wait(opened, f"{LISTED}.join() === {json.dumps(','.join(users))}")
        assert f"filters={name}" in opened.ask("location.hash")
        opened.ask(f"document.getElementById('filter-{name}').click()")
        wait(opened, "!location.hash.includes('filters')")


def test_a_link_leads_to_a_run_a_user_and_a_method(
    opened: chromium.Tab, client: Client, smoke: Done
) -> None:
    run = list(client.server.desk.runs)[1]
    user = client.server.desk.open(run).cases[3].raw_id
    opened.ask(f"location.hash = 'run={run}&user={user}&method=popularity'")
    wait(opened, f"{SHOWN_USER} === {json.dumps(user)} && {PRESSED}.endsWith('popularity')")
    assert opened.ask("document.getElementById('run').value") == run
    opened.ask("location.hash = 'user=nobody'")
    wait(opened, "!document.getElementById('message').hidden")
    message = "document.getElementById('message').textContent"
    wait(opened, f"{message}.startsWith('the run ranked for no user nobody')")


def test_the_model_answers_again_beside_its_answer_before(opened: chromium.Tab) -> None:
    opened.ask("document.getElementById('leave-c1').focus()")
    opened.press("Enter")
    assert opened.ask("document.activeElement.ariaPressed") == "true"
    opened.ask("document.getElementById('title-kA').focus()")
    opened.press("Enter")
    assert opened.ask("document.activeElement.localName") == "input"
    opened.ask("document.activeElement.select()")
    opened.send("Input.insertText", text=HOSTILE)
    opened.ask("document.getElementById('ask').click()")
    wait(opened, "document.getElementById('compared')")
    assert opened.ask("document.querySelectorAll('.before .thought li').length") > 2
    assert opened.ask("document.querySelectorAll('.after .thought li').length") > 2
    diff = opened.ask("document.querySelector('.diff').textContent")
    assert "− - Chain 1:" in diff
    assert "‹img src=x" in diff
    opened.ask("document.getElementById('leave-c2').click()")
    assert opened.ask("document.getElementById('compared') !== null")  # until it is asked again
    assert opened.ask("document.querySelectorAll('#case img, #case script').length") == 0
    assert opened.complaints == []


def test_it_fits_a_phone_and_a_dark_room(opened: chromium.Tab) -> None:
    narrow(opened)
    assert opened.ask("document.documentElement.scrollWidth") <= 360
    opened.send("Emulation.clearDeviceMetricsOverride")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = opened.ask(colour)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    opened.send("Emulation.setEmulatedMedia", features=[dark])
    assert opened.ask(colour) != light
    opened.send("Emulation.setEmulatedMedia", features=[])


def test_titles_that_are_markup_are_shown_as_text(
    opened: chromium.Tab, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = client.server.desk
    run = desk.open(next(iter(desk.runs)))
    case = run.cases[0]
    items = [item._replace(title=HOSTILE) for item in case.candidates]
    changed = case._replace(candidates=items, profile=HOSTILE, prompt=HOSTILE)
    monkeypatch.setattr(run, "cases", [changed, *run.cases[1:]])
    opened.ask(f"location.hash = 'user={case.raw_id}&method=backbone'")
    wait(opened, f"document.querySelector('#case pre')?.textContent === {json.dumps(HOSTILE)}")
    assert opened.ask("document.querySelectorAll('#case img, #case script').length") == 0
    assert opened.ask("document.querySelector('#users small').textContent") == HOSTILE
    assert opened.complaints == []
