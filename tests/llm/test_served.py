"""Whatever asks an endpoint: against a real server, and through a proxy that misbehaves."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import polars as pl
import pytest

from r2rec.base.errors import R2RecError
from r2rec.config import Endpoint
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import answers
from tests.conftest import ROOT
from tests.llm.faulty import FAULTS, KEY, Server
from tests.llm.served import MODEL, serving
from tests.small import go

pytest.importorskip("openai", reason="needs the openai extra")
pytest.importorskip("fastapi", reason="needs transformers[serving]")
SETTINGS = {"model": MODEL, "key": "R2REC_TEST_KEY", "timeout": 60, "retries": 4}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as url:
        yield url


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("R2REC_TEST_KEY", KEY)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.05)


@pytest.fixture
def proxy(url):
    server = Server(upstream=url)
    yield server
    server.close()


def at(group, url):
    return [f"{group}.{name}={value}" for name, value in (SETTINGS | {"base_url": url}).items()]


def endpoint(url, **changes):
    usual = {
        "base_url": url,
        "options": {"max_completion_tokens": 6, "temperature": 0},
        "concurrency": 3,
        "dollars_in": 1.0,
        "dollars_out": 2.0,
    }
    return Endpoint(**(SETTINGS | usual | changes))


def key_is_nowhere(folder):
    """No file has the key."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return not any(KEY.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("name", ["gpt_4o_mini", "o4_mini"])
def test_closed_models_row_is_filled_by_the_server(url, tmp_path, name):
    few = ["evaluation.users=3", "baseline.endpoint.options.max_completion_tokens=40"]
    done = go(tmp_path / "store", f"baseline={name}", *few, *at("baseline.endpoint", url))
    row = done.by_method()[name]
    assert row["variant"] == f"zero-shot, tiny_closed, {url.split('/')[2]}"
    ranked = pl.read_parquet(done.folder / "rankings.parquet").filter(method=name)
    assert ranked.height == 3
    assert ranked["completion"].str.len_chars().min() > 0
    facts = done.stages["rank"]["arms"][name]
    assert "reused" not in facts["status"]
    assert key_is_nowhere(tmp_path)


def test_engine_writes_what_the_weights_would(url, tmp_path):
    """Greedily, and with the same chat template, a server says what its model says here."""
    words = [
        "model=tiny",
        "evaluation.arms=[base]",
        "evaluation.users=3",
        "generation.temperature=0",
    ]
    rows = {}
    for name, more in {"hf": [], "openai": at("generation.endpoint", url)}.items():
        done = go(
            tmp_path / "store", *words, f"generation={name}", "generation.max_new_tokens=40", *more
        )
        rows[name] = (
            pl.read_parquet(done.folder / "rankings.parquet")
            .filter(method="backbone")["completion"]
            .to_list()
        )
    assert rows["openai"] == rows["hf"]
    assert done.by_method()["backbone"]["variant"] == f"{MODEL}, {url.split('/')[2]}"
    assert "backbone" not in done.stages


def test_teacher_behind_the_server_teaches(url, tmp_path):
    words = [
        "teacher=openai",
        "until=think",
        "model=tiny",
        "sft.samples=1",
        "teacher.oversample=6",
        "seed=1",
    ]
    few = ["teacher.attempts=1", "teacher.generation.max_new_tokens=400", "dataset.params.seed=0"]
    done = go(tmp_path / "store", *words, *few, *at("teacher.generation.endpoint", url))
    traces = done.table("think", "traces")
    assert traces["accepted"].sum() == 1
    assert traces.filter("accepted")["reasons"].list.len().item() == 0
    assert traces.filter("accepted")["thought"].item().startswith("Step 1")
    assert key_is_nowhere(tmp_path)


def test_faults_lose_nothing_and_nothing_is_paid_for_twice(proxy, tmp_path):
    proxy.hang = 4.0
    faults = {f"q{k} Ranking:": [fault] for k, fault in enumerate(FAULTS)}
    proxy.faults = {prompt: list(plan) for prompt, plan in faults.items()}
    prompts = [user_turn(f"q{k} Ranking:") for k in range(len(FAULTS) + 4)]
    got = answers(prompts, endpoint(proxy.url, timeout=3.0), tmp_path)
    assert all(a.completion_tokens for a in got)
    assert proxy.most <= 3
    assert proxy.asked == {
        p[0]["content"]: 1 + len(faults.get(p[0]["content"], [])) for p in prompts
    }
    assert answers(prompts, endpoint(proxy.url, timeout=3.0), tmp_path) == got
    assert sum(proxy.asked.values()) == len(prompts) + len(FAULTS)
    assert key_is_nowhere(tmp_path)


ASK = """
import json, sys
from pathlib import Path
from r2rec.config import Endpoint
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import answers
endpoint = Endpoint(**json.loads(Path(sys.argv[1]).read_text()))
answers([user_turn(f"q{k}") for k in range(30)], endpoint, Path(sys.argv[2]))
"""


def test_killed_run_asks_for_what_is_missing(proxy, tmp_path):
    kept = tmp_path / "responses"
    settings = tmp_path / "endpoint.json"
    settings.write_text(json.dumps(asdict(endpoint(proxy.url))))
    proxy.delay = 0.1
    process = subprocess.Popen(
        [sys.executable, "-c", ASK, settings, kept], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    end = time.monotonic() + 60
    while len(list(kept.glob("*.json"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    paid = len(list(kept.glob("*.json")))
    assert 5 <= paid < 30
    time.sleep(1.0)  # what was on its way
    before = proxy.asked.copy()
    assert sum(before.values()) <= paid + 3
    got = answers([user_turn(f"q{k}") for k in range(30)], endpoint(proxy.url), kept)
    assert len(got) == 30
    assert sum((proxy.asked - before).values()) == 30 - paid  # and none of those that were paid for


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "gpt-9"}, "gpt-9 at .*: .*requested 'gpt-9'"),
        ({"key": "R2REC_NO_SUCH_KEY"}, "set the environment variable R2REC_NO_SUCH_KEY"),
        ({"ceiling": 1e-9}, "ceiling"),
        ({"base_url": "/nowhere"}, "Not Found"),
    ],
)
def test_what_cannot_be_helped_is_one_line(url, tmp_path, changes, message):
    if "base_url" in changes:
        changes = {"base_url": url.removesuffix("/v1") + changes["base_url"]}
    with pytest.raises(R2RecError, match=message) as caught:
        answers([user_turn("q")], endpoint(url, **changes), tmp_path)
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
