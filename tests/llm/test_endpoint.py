"""The endpoint client against a server that misbehaves: nothing is lost, nothing paid for twice."""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

import r2rec
from r2rec.base.errors import R2RecError
from r2rec.baselines import chatrec
from r2rec.execution.methods import arms
from r2rec.llm import ledger
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import answers
from r2rec.prompts.cases import Item, RankingCase
from tests.llm.faulty import FAULTS, KEY, endpoint, prompts, stored
from tests.small import go, typed

pytest.importorskip("openai", reason="needs the openai extra")


def test_faults_are_sat_out_and_nothing_is_asked_twice(server, tmp_path):
    server.faults = {f"q{k}": [fault, fault] for k, fault in enumerate(FAULTS)}
    got = answers(prompts(20), endpoint(server), tmp_path)
    assert [a.text for a in got] == [f"echo: q{k}" for k in range(20)]
    assert got[0].cost == pytest.approx((1000 * 1.0 + 100 * 2.0) / 1e6)
    assert server.most <= 3
    asked = server.asked.copy()
    assert answers(prompts(20), endpoint(server), tmp_path) == got
    assert server.asked == asked
    assert all(n == 1 for prompt, n in server.answered.items() if server.asked[prompt] == 1)


def test_same_question_is_asked_once(server, tmp_path):
    got = answers(prompts(1) * 5, endpoint(server), tmp_path)
    assert len(got) == 5
    assert server.asked == {"q0": 1}


def test_altered_or_swapped_answers_are_noticed(server, tmp_path):
    """They are paid for, so they are not thrown away unasked."""
    got = answers(prompts(3), endpoint(server), tmp_path)
    one, two, _ = files = sorted(tmp_path.glob("*.json"))
    whole = {path: path.read_bytes() for path in files}
    damage = {
        "a letter": whole[one].replace(b"echo", b"Echo"),
        "a number": whole[one].replace(b"1000", b"9000"),
        "swapped": whole[two],
        "cut": whole[one][:40],
        "empty": b"",
        "a list": b"[]",
        "deep": b"[" * 100_000,
        "not text": b"\xff\xfe",
        "a cost below zero": re.sub(rb'"seal": ".*"', b'"seal": null', whole[one]).replace(
            b"0.0012", b"-30.0"
        ),
    }
    for name, content in damage.items():
        assert content != whole[one], name
        one.write_bytes(content)
        message = rf"^{re.escape(str(one))} holds no answer .*; delete it to ask again$"
        with pytest.raises(R2RecError, match=message):
            answers(prompts(3), endpoint(server), tmp_path)
    one.unlink()
    assert answers(prompts(3), endpoint(server), tmp_path) == got
    assert sum(server.asked.values()) == 4


def test_retry_after_is_honoured(server, tmp_path):
    server.faults = {"q0": [(429, {"Retry-After": "0.5"})]}
    answers(prompts(12), endpoint(server, concurrency=1), tmp_path)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert gaps[0] >= 0.5


def test_stopped_run_goes_on_with_what_is_missing(server, tmp_path):
    server.faults = {"q7": [(400, {})]}
    with pytest.raises(R2RecError, match="fault 400") as caught:
        answers(prompts(10), endpoint(server), tmp_path)
    assert KEY not in str(caught.value)
    before = server.answered.copy()
    assert sum(before.values()) == len(list(tmp_path.glob("*.json"))) >= 7
    answers(prompts(10), endpoint(server), tmp_path)
    assert all(n == 1 for n in server.answered.values())
    assert KEY not in stored(tmp_path)


def test_replay_needs_no_server(server, tmp_path):
    got = answers(prompts(3), endpoint(server), tmp_path)
    offline = endpoint(server, replay=True)
    server.http.shutdown()
    assert answers(prompts(3), offline, tmp_path) == got
    with pytest.raises(R2RecError, match="1 of 4 answers are not in"):
        answers(prompts(4), offline, tmp_path)


def test_ceiling_holds_and_counts_stored_answers(server, tmp_path):
    cost = (1000 + 200) / 1e6
    limited = endpoint(server, ceiling=8.5 * cost)
    with pytest.raises(R2RecError, match="ceiling"):
        answers(prompts(50), limited, tmp_path)
    paid = len(list(tmp_path.glob("*.json")))
    assert 5 <= paid <= 8
    with pytest.raises(R2RecError, match="ceiling"):
        answers(prompts(50), limited, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) <= 8


def test_ceiling_is_of_the_run_not_of_a_call(server, tmp_path):
    """Each answer costs $1; what a run had before counts, whichever stage or round asked for it."""
    dear = endpoint(server, ceiling=1.5, dollars_in=1000.0, dollars_out=0.0)
    answers([user_turn("q0")], dear, tmp_path)
    for k in (1, 2, 3):
        with pytest.raises(R2RecError, match=r"\$1\.0000 are spent, .* ceiling of \$1\.5"):
            answers([user_turn(f"q{k}")], dear, tmp_path)
    assert server.asked == {"q0": 1}
    answers([user_turn("q0")], dear, tmp_path)  # stored, and counted already
    assert ledger.of(dear).spent == pytest.approx(1.0)
    ledger.begin()  # another run, which has no use for q0
    answers([user_turn("q1")], dear, tmp_path)
    assert server.asked == {"q0": 1, "q1": 1}


def test_stages_share_the_ceiling_and_so_does_the_next_run(server, tmp_path):
    """Ranking takes most of it: the diagnostic stops, now and in the next run, which reuses it."""
    server.reply = lambda prompt: (
        "Ranking: " + " > ".join(re.findall(r"^- ([A-Z]): ", prompt, re.M))
    )
    settings = {
        "base_url": server.url,
        "key": "R2REC_TEST_KEY",
        "timeout": 5,
        "model": "m",
        "dollars_in": 1000.0,
        "dollars_out": 0.0,
        "ceiling": 10.5,
    }
    words = [f"generation.endpoint.{key}={value}" for key, value in settings.items()]
    words += ["generation=openai", "evaluation.arms=[base]", "diagnostic=consistency"]
    message = r"spent, and the next answer may pass the ceiling of \$10\.5"
    for _ in range(2):
        with pytest.raises(R2RecError, match=message):
            go(tmp_path / "store", *words)
        assert sum(server.asked.values()) <= 10
    ranked = list((tmp_path / "store" / "rank").glob("*/manifest.json"))
    assert len(ranked) == 3  # random, popularity, backbone


ASK = """
import json, sys, time
from pathlib import Path
from r2rec.config import Endpoint
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import answers
folder, order = Path(sys.argv[1]), range(20)[:: int(sys.argv[2])]
endpoint = Endpoint(**json.loads((folder / "endpoint.json").read_text()))
(folder / f"here{sys.argv[2]}").touch()
while len(list(folder.glob("here*"))) < 2:
    time.sleep(0.01)
got = answers([user_turn(f"q{k}") for k in order], endpoint, folder / "responses")
assert [a.text for a in got] == [f"echo: q{k}" for k in order]
"""


def test_two_runs_pay_for_each_answer_once(server, tmp_path):
    """One begins at the front, the other at the back; they meet in the middle."""
    server.delay = 0.3
    (tmp_path / "endpoint.json").write_text(json.dumps(asdict(endpoint(server, timeout=10))))
    env = os.environ | {"PYTHONPATH": str(Path(r2rec.__file__).parent.parent)}
    runs = [
        subprocess.Popen([sys.executable, "-c", ASK, tmp_path, step], env=env)
        for step in ("1", "-1")
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert server.asked == {f"q{k}": 1 for k in range(20)}
    assert server.most > 3  # both were at work at the same time
    left = {path.suffix for path in (tmp_path / "responses").iterdir()}
    assert left == {".json"}  # no lock, nothing unfinished


@pytest.mark.parametrize(
    ("changes", "faults", "message"),
    [
        ({"key": "R2REC_NO_SUCH_KEY"}, [], "set the environment variable R2REC_NO_SUCH_KEY"),
        ({}, [(404, {})], "fault 404"),
        ({}, [(401, {})], "fault 401"),
        ({"retries": 1}, [(500, {})] * 9, "2 times in a row"),
        ({"retries": 1}, ["slow"] * 9, r"timed out: .* within 0\.8 s, 2 times in a row"),
        (
            {"retries": 1},
            ["html"] * 9,
            r"not a chat completion \(JSONDecodeError\), 2 times in a row",
        ),
        (
            {"base_url": "http://127.0.0.1:9/v1", "concurrency": 1},
            [],
            "Connection error: .*, 5 times in a row",
        ),
        ({"base_url": "http://[::1/v1"}, [], r"^m at http://\[::1/v1: "),
        ({"base_url": "localhost/v1", "retries": 0}, [], r"^m at localhost/v1: "),
        ({"options": {"no_such_option": 1}}, [], "no_such_option"),
    ],
)
def test_what_cannot_be_helped_is_one_line(server, tmp_path, changes, faults, message):
    server.faults = {f"q{k}": list(faults) for k in range(3)}
    with pytest.raises(R2RecError, match=message) as caught:
        answers(prompts(3), endpoint(server, **changes), tmp_path)
    assert str(caught.value).isprintable()
    assert KEY not in str(caught.value)


def test_an_empty_account_is_not_asked_again(server, tmp_path, monkeypatch):
    body = json.dumps({"error": {"message": "no money", "code": "insufficient_quota"}}).encode()
    monkeypatch.setattr("tests.llm.faulty.error_body", lambda status: body)
    server.faults = {"q0": [(429, {})]}
    with pytest.raises(R2RecError, match="no money") as caught:
        answers(prompts(1), endpoint(server), tmp_path)
    assert "in a row" not in str(caught.value)
    assert server.asked == {"q0": 1}


def test_a_terminal_is_told_nothing_but_text(server, tmp_path, monkeypatch):
    body = json.dumps({"error": {"message": "\x1b[2J\x1b]0;gone\x07\r\nhello\u202e"}}).encode()
    monkeypatch.setattr("tests.llm.faulty.error_body", lambda status: body)
    server.faults = {"q0": [(400, {})]}
    with pytest.raises(R2RecError, match="hello") as caught:
        answers(prompts(1), endpoint(server), tmp_path)
    assert str(caught.value).isprintable()


def test_spoilt_answer_is_named(server, tmp_path):
    answers(prompts(1), endpoint(server), tmp_path)
    (path,) = tmp_path.glob("*.json")
    path.write_text("{")
    with pytest.raises(R2RecError, match=path.name):
        answers(prompts(1), endpoint(server), tmp_path)


@pytest.mark.parametrize("name", ["gpt_4o_mini", "o4_mini", "chatrec"])
def test_closed_model_ranks_as_any_other_method(server, tmp_path, name):
    """Valid answers, the server named in its row, asked once however often it is ranked."""
    server.reply = lambda prompt: (
        "Ranking: " + " > ".join(sorted(re.findall(r"^- ([A-Z]): ", prompt, re.M), reverse=True))
    )
    settings = {"base_url": server.url, "key": "R2REC_TEST_KEY", "timeout": 5}
    words = [f"baseline={name}"]
    words += [f"baseline.endpoint.{key}={value}" for key, value in settings.items()]
    done = go(tmp_path / "store", *words)
    row = done.by_method()[name]
    assert row["variant"] == f"zero-shot, {server.url.split('/')[2]}"
    assert row["valid_ratio"] == 1.0
    ranked = pl.read_parquet(done.folder / "rankings.parquet").filter(method=name)
    assert (ranked["ranking"].list.reverse() == ranked["candidates"]).all()
    assert sum(server.asked.values()) == 8
    patient = ["baseline.endpoint.retries=1", "baseline.endpoint.ceiling=9"]
    assert go(tmp_path / "store", *words, *patient).made() == set()
    again = go(tmp_path / "store", *words, "force=[rank]")
    assert again.by_method()[name] == row
    assert sum(server.asked.values()) == 8
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_chatrec_tells_the_history_and_asks_for_candidates():
    shelf = (Item("One", ("Drama",)), Item("Two", ("Crime",)))
    case = RankingCase("female, artist", (Item("Heat", ("Crime",)),), (), shelf)
    config = typed()
    told, asked = chatrec.chatrec_messages(case, config.prompt, config.dataset.words)
    assert "female, artist" in told["content"]
    assert '[Crime] "Heat"' in told["content"]
    assert '- B: [Crime] "Two"' in asked["content"]
    assert "Heat" not in asked["content"]


@pytest.mark.parametrize(
    ("words", "variant"),
    [
        (["baseline=gpt_4o_mini"], "zero-shot"),
        (["baseline=gpt_4o_mini", "baseline.endpoint.model=qwen3"], "zero-shot, qwen3"),
        (["baseline=chatrec", "baseline.endpoint.model=o4-mini"], "zero-shot, o4-mini"),
        (
            ["baseline=o4_mini", "baseline.endpoint.base_url=http://me:pass@gpu:80/v1"],
            "zero-shot, gpu:80",
        ),
        (
            [
                "baseline=o4_mini",
                "baseline.endpoint.base_url=http://gpu/v1",
                "baseline.endpoint.model=qwen3",
            ],
            "zero-shot, qwen3, gpu",
        ),
        (["generation=openai", "generation.endpoint.model=qwen3"], "qwen3"),
    ],
)
def test_a_row_says_whose_model_answered(words, variant):
    (row,) = [arm for arm in arms(typed(*words)) if arm.variant.startswith(variant.split(",")[0])]
    assert row.variant == variant
