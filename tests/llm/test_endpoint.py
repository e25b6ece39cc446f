"""The endpoint client against a server that misbehaves: nothing lost, nothing asked twice once answered."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

import r2rec
from r2rec.base.errors import R2RecError
from r2rec.baselines import chatrec
from r2rec.llm import ledger
from r2rec.llm.chat import user_turn
from r2rec.llm.endpoint import answers
from r2rec.prompts.cases import Item, RankingCase
from tests.llm.faulty import FAULTS, KEY, Server
from tests.small import composed, go

pytest.importorskip("openai", reason="needs the openai extra")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("R2REC_TEST_KEY", KEY)
    ledger.begin()
    server = Server()
    yield server
    server.close()


def spec(server, **changes):
    return OmegaConf.create({
        "model": "m", "base_url": server.url, "key": "R2REC_TEST_KEY", "options": {"max_completion_tokens": 200},
        "concurrency": 3, "timeout": 0.8, "retries": 4, "backoff": 0.02, "ceiling": 5.0, "dollars_in": 1.0,
        "dollars_out": 2.0, "replay": False, **changes,
    })  # fmt: skip


def prompts(n):
    return [user_turn(f"q{k}") for k in range(n)]


def test_every_fault_is_sat_out_and_nothing_is_asked_twice(server, tmp_path):
    server.faults = {f"q{k}": [fault, fault] for k, fault in enumerate(FAULTS)}
    got = answers(prompts(20), spec(server), tmp_path)
    assert [a.text for a in got] == [f"echo: q{k}" for k in range(20)]
    assert got[0].cost == pytest.approx((1000 * 1.0 + 100 * 2.0) / 1e6)
    assert server.most <= 3
    asked = server.asked.copy()
    assert answers(prompts(20), spec(server), tmp_path) == got
    assert server.asked == asked
    assert all(n == 1 for prompt, n in server.answered.items() if server.asked[prompt] == 1)


def test_the_same_question_is_asked_once(server, tmp_path):
    got = answers(prompts(1) * 5, spec(server), tmp_path)
    assert len(got) == 5
    assert server.asked == {"q0": 1}


def test_an_answer_that_was_altered_or_swapped_is_noticed(server, tmp_path):
    """It is paid for, so it is not thrown away unasked."""
    got = answers(prompts(3), spec(server), tmp_path)
    one, two, _ = files = sorted(tmp_path.glob("*.json"))
    whole = {path: path.read_bytes() for path in files}
    damage = {
        "a letter": whole[one].replace(b"echo", b"Echo"), "a number": whole[one].replace(b"1000", b"9000"),
        "swapped": whole[two], "cut": whole[one][:40], "empty": b"", "a list": b"[]", "deep": b"[" * 100_000,
        "not text": b"\xff\xfe",
    }  # fmt: skip
    for name, content in damage.items():
        assert content != whole[one], name
        one.write_bytes(content)
        with pytest.raises(
            R2RecError, match=rf"^{re.escape(str(one))} holds no answer .*; delete it to ask again$"
        ):
            answers(prompts(3), spec(server), tmp_path)
    one.unlink()
    assert answers(prompts(3), spec(server), tmp_path) == got
    assert sum(server.asked.values()) == 4


def test_all_wait_when_told_to(server, tmp_path):
    server.faults = {"q0": [(429, {"Retry-After": "0.5"})]}
    answers(prompts(12), spec(server, concurrency=1), tmp_path)
    gaps = [b - a for a, b in zip(server.times, server.times[1:], strict=False)]
    assert gaps[0] >= 0.5


def test_a_stopped_run_goes_on_with_what_is_missing(server, tmp_path):
    server.faults = {"q7": [(400, {})]}
    with pytest.raises(R2RecError, match="fault 400") as told:
        answers(prompts(10), spec(server), tmp_path)
    assert KEY not in str(told.value)
    before = server.answered.copy()
    assert sum(before.values()) == len(list(tmp_path.glob("*.json"))) >= 7
    answers(prompts(10), spec(server), tmp_path)
    assert all(n == 1 for n in server.answered.values())
    assert KEY not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_replay_needs_no_server(server, tmp_path):
    got = answers(prompts(3), spec(server), tmp_path)
    offline = spec(server, replay=True)
    server.http.shutdown()
    assert answers(prompts(3), offline, tmp_path) == got
    with pytest.raises(R2RecError, match="1 of 4 answers are not in"):
        answers(prompts(4), offline, tmp_path)


def test_the_ceiling_holds_and_counts_what_is_kept(server, tmp_path):
    cost = (1000 + 200) / 1e6
    with pytest.raises(R2RecError, match="ceiling"):
        answers(prompts(50), spec(server, ceiling=8.5 * cost), tmp_path)
    paid = len(list(tmp_path.glob("*.json")))
    assert 5 <= paid <= 8
    with pytest.raises(R2RecError, match="ceiling"):
        answers(prompts(50), spec(server, ceiling=8.5 * cost), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) <= 8


def test_the_ceiling_is_the_runs_and_not_a_calls(server, tmp_path):
    """Each answer costs $1; what a run had before counts, whichever stage or round asked for it."""
    dear = spec(server, ceiling=1.5, dollars_in=1000.0, dollars_out=0.0)
    answers([user_turn("q0")], dear, tmp_path)
    for k in (1, 2, 3):
        with pytest.raises(R2RecError, match=r"\$1\.0000 are spent, .* ceiling of \$1\.5"):
            answers([user_turn(f"q{k}")], dear, tmp_path)
    assert server.asked == {"q0": 1}
    answers([user_turn("q0")], dear, tmp_path)  # kept, and counted already
    assert ledger.of(dear).spent == pytest.approx(1.0)
    ledger.begin()  # another run, which has no use for q0
    answers([user_turn("q1")], dear, tmp_path)
    assert server.asked == {"q0": 1, "q1": 1}


def test_stages_of_a_run_share_its_ceiling_and_so_does_the_run_after_it(server, tmp_path):
    """Ranking takes most of it: the diagnostic stops, now and in the next run, which uses the ranking again."""
    server.reply = lambda prompt: (
        "Ranking: " + " > ".join(re.findall(r"^- ([A-Z]): ", prompt, re.M))
    )
    at = {"base_url": server.url, "key": "R2REC_TEST_KEY", "timeout": 5, "model": "m", "backoff": 0.05,
          "dollars_in": 1000.0, "dollars_out": 0.0, "ceiling": 10.5}  # fmt: skip
    words = [f"generation.endpoint.{key}={value}" for key, value in at.items()]
    words += ["generation=openai", "evaluation.arms=[base]", "diagnostic=consistency"]
    for _ in range(2):
        with pytest.raises(
            R2RecError, match=r"spent, and the next answer may pass the ceiling of \$10\.5"
        ):
            go(tmp_path / "store", *words)
        assert sum(server.asked.values()) <= 10
    assert (
        len(list((tmp_path / "store" / "rank").glob("*/manifest.json"))) == 3
    )  # random, popularity, backbone


ASK = """
import sys, time
from pathlib import Path
from omegaconf import OmegaConf
from r2rec.llm.chat import ask
from r2rec.llm.endpoint import answers
folder, order = Path(sys.argv[1]), range(20)[:: int(sys.argv[2])]
spec = OmegaConf.load(folder / "spec.yaml")
(folder / f"here{sys.argv[2]}").touch()
while len(list(folder.glob("here*"))) < 2:
    time.sleep(0.01)
got = answers([ask(f"q{k}") for k in order], spec, folder / "responses")
assert [a.text for a in got] == [f"echo: q{k}" for k in order]
"""


def test_two_runs_that_want_the_same_answers_pay_for_each_once(server, tmp_path):
    """One begins at the front, the other at the back; they meet in the middle."""
    server.delay = 0.1
    OmegaConf.save(spec(server, timeout=10), tmp_path / "spec.yaml")
    env = os.environ | {"PYTHONPATH": str(Path(r2rec.__file__).parent.parent)}
    runs = [
        subprocess.Popen([sys.executable, "-c", ASK, tmp_path, step], env=env)
        for step in ("1", "-1")
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert server.asked == {f"q{k}": 1 for k in range(20)}
    assert server.most > 3  # both were at work at the same time
    assert {path.suffix for path in (tmp_path / "responses").iterdir()} == {
        ".json"
    }  # no lock and no part is left


@pytest.mark.parametrize(
    ("changes", "faults", "said"),
    [
        ({"key": "R2REC_NO_SUCH_KEY"}, [], "set the environment variable R2REC_NO_SUCH_KEY"),
        ({}, [(404, {})], "fault 404"),
        ({}, [(401, {})], "fault 401"),
        ({"retries": 1}, [(500, {})] * 9, "2 times in a row"),
        ({"base_url": "http://127.0.0.1:9/v1", "concurrency": 1}, [], "Connection error"),
    ],
)
def test_what_cannot_be_helped_is_one_line(server, tmp_path, changes, faults, said):
    server.faults = {f"q{k}": list(faults) for k in range(3)}
    with pytest.raises(R2RecError, match=said) as told:
        answers(prompts(3), spec(server, **changes), tmp_path)
    assert "\n" not in str(told.value)
    assert KEY not in str(told.value)


def test_thoughts_of_reasoning_models_are_kept(server, tmp_path):
    server.faults = {"q0": ["thinks"]}
    assert (
        answers(prompts(1), spec(server), tmp_path)[0].text == "<think>\nwell\n</think>\necho: q0"
    )


def test_a_spoilt_answer_is_named(server, tmp_path):
    answers(prompts(1), spec(server), tmp_path)
    (kept,) = tmp_path.glob("*.json")
    kept.write_text("{")
    with pytest.raises(R2RecError, match=kept.name):
        answers(prompts(1), spec(server), tmp_path)


@pytest.mark.parametrize("name", ["gpt_4o_mini", "o4_mini", "chatrec"])
def test_a_closed_model_ranks_as_any_other_method(server, tmp_path, name):
    """Through the whole pipeline: valid answers, the server named in its row, asked once however often it is ranked."""
    server.reply = lambda prompt: (
        "Ranking: " + " > ".join(sorted(re.findall(r"^- ([A-Z]): ", prompt, re.M), reverse=True))
    )
    at = [f"baseline.endpoint.{key}={value}" for key, value in
          {"base_url": server.url, "key": "R2REC_TEST_KEY", "timeout": 5, "backoff": 0.05}.items()]  # fmt: skip
    done = go(tmp_path / "store", f"baseline={name}", *at)
    row = done.by_method()[name]
    assert row["variant"] == f"zero-shot, {server.url.split('/')[2]}"
    assert row["valid_ratio"] == 1.0
    ranked = pl.read_parquet(done.folder / "rankings.parquet").filter(method=name)
    assert (ranked["ranking"].list.reverse() == ranked["candidates"]).all()
    assert sum(server.asked.values()) == 8
    patient = [
        f"baseline.endpoint.{key}={value}" for key, value in {"retries": 1, "ceiling": 9}.items()
    ]
    assert go(tmp_path / "store", f"baseline={name}", *at, *patient).made() == set()
    again = go(tmp_path / "store", f"baseline={name}", "force=[rank]", *at)
    assert again.by_method()[name] == row
    assert sum(server.asked.values()) == 8
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in files)


def test_chatrec_says_what_is_known_and_what_is_asked():
    shelf = (Item("One", ("Drama",)), Item("Two", ("Crime",)))
    case = RankingCase("female, artist", (Item("Heat", ("Crime",)),), (), shelf)
    cfg = composed()
    told, asked = chatrec.chatrec_messages(case, cfg.prompt, cfg.dataset.words)
    assert "female, artist" in told["content"]
    assert '[Crime] "Heat"' in told["content"]
    assert '- B: [Crime] "Two"' in asked["content"]
    assert "Heat" not in asked["content"]
