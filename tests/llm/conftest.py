"""A server that can misbehave, for every test that asks one."""

from collections.abc import Iterator

import pytest

from r2rec.llm import ledger
from tests.llm.faulty import KEY, Server


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    pytest.importorskip("openai", reason="needs the openai extra")
    monkeypatch.setenv("R2REC_TEST_KEY", KEY)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)
    ledger.begin()
    server = Server()
    yield server
    server.close()
