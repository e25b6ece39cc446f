"""What names an artefact: all that makes its content, and nothing of where it lies or how it was come by."""

import shutil
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from r2rec.pipeline import ASK, DIAGNOSE, FUSE, STAGES
from r2rec.run.runner import Stage, pick, placeless
from tests.small import composed

RANK, THINK = (next(stage for stage in STAGES if stage.name == name) for name in ("rank", "think"))
SERVED = ("generation=openai", "teacher=openai", "baseline=gpt_4o_mini")
OF = {
    "generation.endpoint": (RANK, DIAGNOSE, FUSE),
    "teacher.generation.endpoint": (THINK,),
    "baseline.endpoint": (ASK,),
}
MANNERS = {
    "key": "MINE",
    "ceiling": 1.0,
    "concurrency": 1,
    "timeout": 9.0,
    "retries": 0,
    "backoff": 9.0,
    "replay": True,
}
CONTENT = {"model": "other", "base_url": "http://other/v1", "options": {"top_k": 3}}


def named(stage: Stage, cfg: DictConfig) -> dict:
    """What of the configuration enters the key of a stage's artefact."""
    return placeless(pick(OmegaConf.to_container(cfg, resolve=True), stage.choices))  # type: ignore[arg-type]


@pytest.mark.parametrize("where", OF)
def test_how_an_endpoint_is_asked_is_in_no_key_and_what_it_is_asked_is(where: str) -> None:
    cfg = composed(*SERVED)
    for stage in OF[where]:
        before = named(stage, cfg)
        for key, value in (MANNERS | CONTENT).items():
            other = cfg.copy()
            OmegaConf.update(other, f"{where}.{key}", value, force_add=True)
            assert (named(stage, other) == before) == (key in MANNERS), (stage.name, key)


@pytest.mark.parametrize("where", ["path", "adapter", "tiny.start"])
def test_no_key_has_a_local_folder(where: str, tmp_path: Path) -> None:
    def placed(folder: Path) -> dict:
        return named(RANK, composed(f"model.{where}={folder}"))

    (tmp_path / "here").mkdir()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert placed(tmp_path / "here") == placed(tmp_path / "there")
    assert placed(Path("some/hub-id")) != placed(
        Path("another/hub-id")
    )  # no folder: an id, which is all there is


def test_the_choices_themselves_stay_as_they_are() -> None:
    plain = pick(OmegaConf.to_container(composed(*SERVED), resolve=True), RANK.choices)  # type: ignore[arg-type]
    placeless(plain)
    assert plain["generation"]["endpoint"]["concurrency"] == 8
