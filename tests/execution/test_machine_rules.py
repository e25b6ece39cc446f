"""What a run needs of its machine is told before its first stage, unless it is not needed."""

from pathlib import Path

import pytest

from r2rec.base.errors import R2RecError
from r2rec.config import Config
from r2rec.execution import machine_rules
from r2rec.execution.plan import plan
from tests.small import Done, go, typed

ASKS = ("baseline=gpt_4o_mini",)


def problems(config: Config) -> list[str]:
    return list(machine_rules.machine_rules(config, plan(config)))


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("words", [ASKS, ("teacher=openai", "until=think")])
def test_a_missing_key_is_told_before_anything_is_made(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(R2RecError, match=r"no key for gpt-4o.*set the environment variable OPENAI"):
        go(tmp_path / "store", *words)
    assert not (tmp_path / "store").exists()
    monkeypatch.setenv("OPENAI_API_KEY", "anything")
    assert problems(typed(f"artefacts={tmp_path}", *words)) == []


def test_no_key_is_asked_for_where_answers_are_kept_or_the_stage_is_not_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"artefacts={tmp_path}", *ASKS)
    assert problems(typed(*words, "until=chain")) == []
    assert len(problems(typed(*words))) == 1
    assert problems(typed(*words, "baseline.endpoint.replay=true")) == []
    with monkeypatch.context() as patched:
        patched.setattr(machine_rules, "is_made", lambda config, jobs: {"rank gpt_4o_mini"})
        assert problems(typed(*words)) == []
    (tmp_path / "responses" / "kept").mkdir(parents=True)
    assert problems(typed(*words)) == []


def test_a_model_that_cannot_be_had_is_told_and_one_that_is_here_is_not(
    smoke: Done, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: 1 / 0)
    words = ("model.path=nobody/nothing", f"artefacts={tmp_path}")
    (line, *_) = problems(typed(*words))
    assert line.startswith("model.path=nobody/nothing is not on this machine, and the hub cannot")
    backbone = smoke.folders()["backbone"]
    assert problems(typed(f"model.path={backbone}")) == []
    assert problems(typed("model.path=r2rec:tiny_closed")) == []
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: None)
    assert problems(typed(*words)) == []
