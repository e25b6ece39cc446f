"""What a server's reply may hold: without end, malformed, without counts, with a key in it."""

import pytest

from r2rec.base.errors import R2RecError
from r2rec.llm import transport
from r2rec.llm.completions import estimated_tokens, read_completion
from r2rec.llm.endpoint import answers
from tests.llm.faulty import KEY, MALFORMED, NO_COUNTS, Server, endpoint, prompts, reply, stored

pytest.importorskip("openai", reason="needs the openai extra")


@pytest.mark.parametrize("fault", ["endless", "endless_redirect", "bomb"])
def test_reply_without_end_is_cut_off(server, tmp_path, fault, monkeypatch):
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 4 * 2**20)
    server.faults = {"q0": [fault] * 9}
    with pytest.raises(R2RecError, match="larger than 4 MiB, 3 times in a row"):
        answers(prompts(4), endpoint(server, retries=2, timeout=20), tmp_path)
    assert server.asked["q0"] == 3
    assert server.sent < 3 * 20 * 2**20  # with what the sockets hold
    assert len(list(tmp_path.glob("*.json"))) >= 2  # the others' answers came in


def test_limit_on_a_reply_is_far_above_any_answer():
    assert transport.MAX_REPLY_BYTES == 16 * 2**20


@pytest.mark.parametrize("fault", ["zipped", "moved"])
def test_compressed_and_moved_replies_are_read(server, tmp_path, fault):
    server.faults = {"q0": [fault]}
    assert answers(prompts(1), endpoint(server, retries=0), tmp_path)[0].text == "echo: q0"


def test_no_key_goes_to_another_server(server, tmp_path):
    other = Server()
    server.elsewhere = other.url
    server.faults = {"q0": ["moved_away"]}
    try:
        assert answers(prompts(1), endpoint(server, retries=0), tmp_path)[0].text == "echo: q0"
    finally:
        other.close()
    assert server.credentials == {f"Bearer {KEY}"}
    assert other.credentials == {None}


def test_a_circle_of_redirects_is_left(server, tmp_path):
    server.faults = {"q0": ["moved"] * 99}
    with pytest.raises(R2RecError, match="more than 5 redirects"):
        answers(prompts(1), endpoint(server, retries=0), tmp_path)


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_reply_is_asked_again(server, tmp_path, name):
    server.faults = {"q0": [MALFORMED[name]]}
    got = answers(prompts(4), endpoint(server), tmp_path)
    assert [a.text for a in got] == [f"echo: q{k}" for k in range(4)]
    assert server.asked["q0"] == 2


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_reply_costs_no_other_answer(server, tmp_path, name):
    """Whatever one reply holds, answers that are on their way are kept."""
    server.faults = {"q0": [MALFORMED[name]], "q1": ["hang"], "q2": ["hang"]}
    server.hang = 0.2
    with pytest.raises(R2RecError, match="not a chat completion") as caught:
        answers(prompts(3), endpoint(server, retries=0), tmp_path)
    assert str(caught.value).isprintable()
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert server.answered == {"q1": 1, "q2": 1}


def test_a_fault_of_the_disk_costs_no_other_answer(server, tmp_path, monkeypatch):
    from r2rec.llm import endpoint as module

    store = module.write_answer

    def full(path, body, answer):
        if answer.text == "echo: q0":
            raise OSError(28, "No space left on device")
        store(path, body, answer)

    monkeypatch.setattr(module, "write_answer", full)
    server.faults = {"q1": ["hang"], "q2": ["hang"]}
    server.hang = 0.2
    with pytest.raises(OSError, match="No space left"):
        answers(prompts(3), endpoint(server), tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


@pytest.mark.parametrize("usage", NO_COUNTS, ids=str)
def test_tokens_are_estimated_where_the_server_does_not_count(server, tmp_path, usage):
    text = "word " * 60
    body = reply(text, usage).replace(b"Infinity", b"1e999")
    server.faults = {"q0": [body]}
    answer = answers(prompts(1), endpoint(server), tmp_path)[0]
    assert answer.text == text
    assert answer.prompt_tokens == 1
    assert answer.completion_tokens == 100
    assert answer.cost == pytest.approx((1 * 1.0 + 100 * 2.0) / 1e6)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -(10**9), "completion_tokens": 0}])
def test_ceiling_holds_where_the_server_does_not_count(server, tmp_path, usage):
    """An answer of 60,000 characters is taken for 20,000 tokens, at $1 each."""
    server.faults = {f"q{k}": [reply("x" * 60_000, usage)] for k in range(9)}
    dear = endpoint(server, ceiling=50_000.0, concurrency=1, dollars_out=1e6)
    with pytest.raises(R2RecError, match=r"\$40000\.\d+ are spent, .* the ceiling of \$50000"):
        answers(prompts(9), dear, tmp_path)
    assert sum(server.asked.values()) == 2


def test_token_estimates_are_rather_too_high():
    assert estimated_tokens("") == 1
    assert estimated_tokens("abcd") == 2
    assert estimated_tokens("推荐系统") == 4  # about a token each
    assert estimated_tokens("\ud800") == 1


def test_a_key_in_an_answer_is_hidden(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OTHER_API_KEY", "another-secret-value")
    text = f"I was called with {KEY}, and know another-secret-value."
    server.faults = {"q0": [reply(text, reasoning_content=f"Bearer {KEY}")]}
    answer = answers(prompts(1), endpoint(server), tmp_path)[0]
    assert "I was called with (hidden), and know (hidden)." in answer.text
    assert KEY not in answer.text + stored(tmp_path)
    assert "another-secret-value" not in stored(tmp_path)


def test_a_dummy_key_is_a_word_like_any_other(server, tmp_path, monkeypatch):
    monkeypatch.setenv("R2REC_DUMMY", "EMPTY")
    server.faults = {"q0": [reply("The shelf is EMPTY")]}
    spec = endpoint(server, key="R2REC_DUMMY")
    assert answers(prompts(1), spec, tmp_path)[0].text == "The shelf is EMPTY"


def test_lone_surrogates_are_replaced(server, tmp_path):
    server.faults = {"q0": [reply("half \ud83d, whole \ud83d\ude00")]}
    got = answers(prompts(2), endpoint(server), tmp_path)
    assert got[0].text == "half ?, whole 😀"
    assert answers(prompts(2), endpoint(server), tmp_path) == got


def test_thoughts_of_reasoning_models_are_kept(server, tmp_path):
    server.faults = {"q0": [reply("echo: q0", reasoning_content="well")]}
    answer = answers(prompts(1), endpoint(server), tmp_path)[0]
    assert answer.text == "<think>\nwell\n</think>\necho: q0"


@pytest.mark.parametrize("thought", [None, "", 5, ["a"], {"text": "a"}])
def test_a_thought_that_is_no_text_is_left_out(thought):
    assert read_completion(reply("hi", reasoning=thought)).text == "hi"


def test_an_answer_without_text_is_an_answer():
    """For example one that spent all of its tokens on a hidden thought."""
    assert read_completion(reply(None)).text == ""
