"""What names an artefact: all that makes its content, and nothing about where that lies."""

import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from r2rec.base.code import user_code
from r2rec.config.slices import (
    Arm,
    AskSlice,
    DiagnoseSlice,
    FuseSlice,
    PrepareSlice,
    RankSlice,
    ScoreSlice,
    ThinkSlice,
)
from r2rec.execution.keys import job_code, key_inputs, keyed, named_targets
from r2rec.execution.methods import stage
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from tests.small import choices, composed, go

SERVED = ("generation=openai", "teacher=openai", "baseline=gpt_4o_mini", "evaluation.arms=[base]")
ENDPOINTS = {
    "generation.endpoint": (RankSlice, DiagnoseSlice, FuseSlice),
    "teacher.generation.endpoint": (ThinkSlice,),
    "baseline.endpoint": (AskSlice,),
}
TRANSPORT = {
    "key": "MINE",
    "ceiling": "1.0",
    "concurrency": "1",
    "timeout": "9.0",
    "retries": "0",
    "replay": "true",
}
CONTENT = {"model": "other", "base_url": "'http://other/v1'", "options": "{top_k:3}"}


def keyed_slice(kind: type, *overrides: str) -> object:
    return keyed(choices(kind, *overrides, arm=Arm("method")))


@pytest.mark.parametrize("where", ENDPOINTS)
def test_key_has_what_an_endpoint_is_asked_but_not_how(where: str) -> None:
    for kind in ENDPOINTS[where]:
        before = keyed_slice(kind, *SERVED)
        for name, value in (TRANSPORT | CONTENT).items():
            after = keyed_slice(kind, *SERVED, f"++{where}.{name}={value}")
            assert (after == before) == (name in TRANSPORT), (kind, name)


@pytest.mark.parametrize("where", ["path", "adapter", "tiny.start"])
def test_key_has_no_local_folder(where: str, tmp_path: Path) -> None:
    def placed(path: Path) -> object:
        return keyed_slice(RankSlice, f"model.{where}={path}")

    (tmp_path / "here").mkdir()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert placed(tmp_path / "here") == placed(tmp_path / "there")
    assert placed(Path("some/hub-id")) != placed(Path("another/hub-id"))


def test_key_has_no_hardware_logger_or_variant() -> None:
    assert keyed(Arm("a", variant="x")) == keyed(Arm("a", variant="y"))
    before = keyed_slice(RankSlice)
    assert keyed_slice(RankSlice, "hardware.threads=1", "logger.project=other") == before


def test_every_stage_is_keyed_by_all_that_it_can_read() -> None:
    """A slice holds the fields that it declares, and reading anything else fails."""
    for job in plan(checked_config(composed("baseline@fusion=ease", "diagnostic=position"))):
        assert type(job.choices) is job.stage.slice
        with pytest.raises(AttributeError):
            _ = job.choices.hardware


READER = """
from r2rec.data.toy import read_toy
from helper import SEED

def read(root, category, **params):
    return read_toy(root, category, **{**params, "seed": SEED})
"""


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own reader, in a folder on the path, with a helper module beside it."""
    (tmp_path / "mine.py").write_text(READER)
    (tmp_path / "helper.py").write_text("SEED = 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def fresh_modules() -> None:
    """As if each run were a process of its own."""
    from r2rec.base import code

    for name in ("mine", "helper"):
        sys.modules.pop(name, None)
    for cached in (code._closure, code._imports, code._source, code._installed, code._digest):
        cached.cache_clear()


OWN = (
    "dataset._target_=mine.read",
    "dataset.params={users:60,items:60,ratings_per_user:12}",
    "until=prepare",
)


@pytest.mark.parametrize("file", ["mine.py", "helper.py"])
def test_editing_a_users_reader_makes_its_data_anew(reader: Path, file: str) -> None:
    store = reader / "store"
    fresh_modules()
    first = go(store, *OWN)
    assert first.made() == {"prepare"}
    assert go(store, *OWN).made() == set()
    text = (reader / file).read_text()
    (reader / file).write_text(f"{text}\n# edited\n")
    fresh_modules()
    assert go(store, *OWN).made() == {"prepare"}


def test_a_users_scorer_enters_the_key_by_its_source(reader: Path) -> None:
    def inputs() -> dict:
        fresh_modules()
        arm = Arm("own", target="mine.score", params={})
        job = plan(checked_config(composed("baseline=popularity")))[2]
        return key_inputs(replaced(job, choices(ScoreSlice, arm=arm)), {}, {})

    before = inputs()
    assert set(before["code"]) == {"mine", "helper"}
    (reader / "mine.py").write_text(READER + "\nSIGN = -1\n")
    assert inputs()["code"]["mine"] != before["code"]["mine"]


def replaced(job, new_choices):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(job, choices=new_choices, stage=stage("score"))


def test_files_that_params_name_enter_the_key(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("a")
    job = plan(checked_config(composed("until=prepare")))[0]
    own = choices(PrepareSlice, f"++dataset.params.file={file}")
    before = key_inputs(with_choices(job, own), {}, {})
    file.write_text("b")
    assert key_inputs(with_choices(job, own), {}, {}) != before


def with_choices(job, new_choices):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    return replace(job, choices=new_choices)


def test_prompt_and_chat_templates_enter_the_key() -> None:
    named = composed("model.chat_template=tiny.jinja")
    job = next(j for j in plan(checked_config(named)) if j.name == "sft")
    templates = key_inputs(job, {}, {})["templates"]
    assert {"prompts/ranking.j2", "chat/tiny.jinja"} <= set(templates)


def test_package_code_of_a_job_follows_its_imports_and_targets() -> None:
    jobs = {job.name: job for job in plan(checked_config(composed()))}
    assert "r2rec.thoughts.template" in job_code(jobs["think"])["modules"]  # named by teacher
    prepared = job_code(jobs["prepare"])["modules"]
    assert "r2rec.data.toy" in prepared
    assert "r2rec.train.rl" not in prepared
    assert named_targets(jobs["rl"].choices) == sorted(named_targets(jobs["rl"].choices))


def test_every_file_in_params_counts_wherever_it_stands(tmp_path: Path) -> None:
    """Two leaves with a param of one name, files in lists and in tables."""
    files = [tmp_path / name for name in ("a.txt", "b.txt", "c.txt", "d.txt")]
    for file in files:
        file.write_text("before")
    one, two, three, four = files
    words = (
        f"+dataset.params.path={one}",
        f"+dataset.params.paths=[{two}]",
        f"+dataset.params.table={{p:{three}}}",
    )
    job = plan(checked_config(composed("until=prepare")))[0]
    data = with_choices(job, choices(PrepareSlice, *words))
    arm = with_choices(job, choices(ScoreSlice, arm=Arm("x", params={"path": str(four)})))

    def inputs() -> list:
        return [key_inputs(done, {}, {})["files"] for done in (data, arm)]

    seen = [inputs()]
    for file in files:
        file.write_text("after")
        seen.append(inputs())
    assert all(one != other for one, other in pairwise(seen))


def test_package_code_that_a_users_function_imports_is_recorded(reader: Path) -> None:
    job = plan(checked_config(composed("until=prepare")))[0]
    own = with_choices(job, choices(PrepareSlice, "dataset._target_=mine.read"))
    fresh_modules()
    assert "r2rec.data.toy" in job_code(own)["modules"]


def test_packages_of_a_users_module_enter_the_key(reader: Path) -> None:
    package = reader / "pk"
    package.mkdir()
    (package / "__init__.py").write_text("A = 1\n")
    (package / "mod.py").write_text("def read(root, category): ...\n")
    fresh_modules()
    assert set(user_code(["pk.mod.read"])) == {"pk", "pk.mod"}
