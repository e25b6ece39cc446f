"""A server that means harm: whatever it sends, one line is told, and what was paid for is kept."""

import time
from collections.abc import Iterator

import pytest

from r2rec.base.errors import R2RecError
from r2rec.llm import ledger, transport
from r2rec.llm.endpoint import answers
from tests.llm.faulty import KEY, endpoint, prompts, stored
from tests.llm.hostile import ANSWERED, REFUSED, HostileServer

pytest.importorskip("openai", reason="needs the openai extra")

LIMIT = 2**20  # bytes of a reply, here


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    monkeypatch.setenv("R2REC_TEST_KEY", KEY)
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", LIMIT)
    ledger.begin()
    server = HostileServer()
    yield server
    server.close()


def test_there_are_many_of_them():
    assert len(REFUSED) + len(ANSWERED) >= 80


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_answer_is_one_line_and_costs_no_other(hostile, tmp_path, name):
    hostile.behaviour, hostile.again = REFUSED[name]
    hostile.delay = 0.1  # the others are in flight when this one fails
    begun = time.monotonic()
    with pytest.raises(R2RecError) as caught:
        answers(prompts(3), endpoint(hostile, retries=0, timeout=1.0), tmp_path)
    line = str(caught.value)
    assert line.startswith(f"m at {hostile.url}: ")
    assert line.isprintable()
    assert len(line) < 500
    assert KEY[:-4] not in line
    assert hostile.asked == {"q0": 1, "q1": 1, "q2": 1}
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert hostile.sent < 16 * LIMIT  # with what the sockets hold
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("name", ANSWERED)
def test_an_odd_answer_is_an_answer_that_is_paid_by_what_it_can_have_cost(hostile, tmp_path, name):
    sent, text, tokens = ANSWERED[name]
    hostile.behaviour = (sent,)
    answer = answers(prompts(1), endpoint(hostile, retries=0), tmp_path)[0]
    assert answer.text == text
    assert (answer.prompt_tokens, answer.completion_tokens) == tokens
    assert answer.cost == pytest.approx((tokens[0] * 1.0 + tokens[1] * 2.0) / 1e6)
    assert KEY not in stored(tmp_path)
    hostile.close()
    assert answers(prompts(1), endpoint(hostile, retries=0), tmp_path) == [answer]


def test_a_server_that_never_counts_cannot_pass_the_ceiling(hostile, tmp_path):
    """1,000 words are paid as at least 1,000 tokens, whatever is said of them."""
    hostile.behaviour = (ANSWERED["too few tokens for the text"][0],)
    dear = endpoint(hostile, ceiling=0.0035, concurrency=1)
    answers(prompts(1), dear, tmp_path)
    with pytest.raises(R2RecError, match=r"\$0\.0020 are spent, .* may pass the ceiling"):
        answers(prompts(2), dear, tmp_path)
