"""The plan: which jobs a configuration needs, in which order, from what."""

import pytest

from r2rec.base.jobs import Job
from r2rec.run.plan import plan
from r2rec.run.rules import checked_config
from tests.small import composed, go

CONFIGURATIONS = [
    "",
    "rl=off",
    "sft=off",
    "rl=rft",
    "baseline=sasrec",
    "baseline=llara",
    "baseline=gpt_4o_mini",
    "baseline@fusion=ease",
    "baseline@fusion=sasrec diagnostic=position",
    "dataset@train_on=ml_100k",
    "dataset@train_on=ml_100k rl=off",
    "teacher=local model=tiny_scratch",
    "generation=openai evaluation.arms=[base]",
    "until=think",
    "evaluation.history=all",
    "evaluation.history=all baseline=sasrec",
    "evaluation.history=all baseline@fusion=sasrec diagnostic=position",
    "evaluation.history=all dataset@train_on=ml_100k",
]


def jobs_of(words: str) -> dict[str, Job]:
    jobs = plan(checked_config(composed(*words.split(), experiment="main")))
    assert len({job.name for job in jobs}) == len(jobs)
    return {job.name: job for job in jobs}


@pytest.mark.parametrize("words", CONFIGURATIONS)
def test_jobs_come_after_those_they_read(words: str) -> None:
    done: set[str] = set()
    for name, job in jobs_of(words).items():
        assert set(job.inputs.values()) <= done, name
        assert set(job.inputs) <= set(job.stage.needs)
        assert isinstance(job.choices, job.stage.slice)
        done.add(name)


@pytest.mark.parametrize("words", CONFIGURATIONS)
def test_every_job_is_read_by_a_later_one_or_reported(words: str) -> None:
    """Nothing is made that no result needs, but data that are only split when `until` says so."""
    jobs = jobs_of(words)
    if "report" not in jobs:
        return
    read = {name for job in jobs.values() for name in job.inputs.values()}
    idle = {
        name
        for name, job in jobs.items()
        if name not in read and job.stage.place not in ("rank", "diagnose", "fuse", "report")
    }
    assert idle == set()


def test_planning_is_pure() -> None:
    config = checked_config(composed("diagnostic=memory"))
    assert plan(config) == plan(config)


def test_training_elsewhere_leaves_the_evaluated_data_set_untouched_by_training() -> None:
    jobs = jobs_of("dataset@train_on=ml_100k")
    assert jobs["train_on/sft"].inputs["split"] == "train_on/split"
    assert jobs["rank R2Rec"].inputs["adapter"] == "train_on/rl"
    assert jobs["rank R2Rec"].inputs["split"] == "split"
    assert "think" not in jobs
    assert jobs["train_on/prepare"].choices.name == "ml_100k"


def test_what_is_told_reaches_test_users_alone() -> None:
    """What is trained or tuned reads train, and so has the same key under either history."""
    learns = {"prepare", "split", "backbone", "fit", "think", "sft", "rl", "adapt"}
    for words in (
        "diagnostic=position baseline@fusion=sasrec",
        "baseline=llara",
        "baseline=o4_mini",
    ):
        jobs = jobs_of(f"evaluation.history=all {words}")
        told = {name for name, job in jobs.items() if "tell" in job.inputs.values()}
        assert {name for name in jobs if name not in told} - learns == {"tell", "report"}
        assert not told & learns
        assert "tell" not in jobs_of(words)


def test_a_trainer_takes_the_slot_of_another() -> None:
    jobs = jobs_of("rl=rft")
    assert jobs["rank R2Rec"].inputs["adapter"] == "rft"
    assert jobs["rank R2Rec"].arm.variant == "sft+rft"
    assert list(jobs_of("rl=rft until=rl"))[-1] == "rft"


def test_a_template_teacher_does_not_depend_on_the_model() -> None:
    think = jobs_of("")["think"]
    assert think.choices.model is None
    assert "backbone" not in think.inputs


def test_a_dry_run_prints_the_plan_and_makes_nothing(store, tmp_path) -> None:  # type: ignore[no-untyped-def]
    lines: list[str] = []
    from r2rec.run.entry import run

    assert run(composed(f"artefacts={tmp_path / 'new'}", "dry=true"), tmp_path, lines.append) == []
    (text,) = lines
    assert list(tmp_path.iterdir()) == []
    assert "0 artefacts are there, 12 to make" in text
    run(composed(f"artefacts={store}", "dry=true"), tmp_path, lines.append)
    assert "12 artefacts are there, 0 to make" in lines[-1]
    assert "rank R2Rec without RL" in lines[-1]


def test_keys_of_a_dry_run_are_those_of_the_run(smoke, store, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from r2rec.run.entry import run

    lines: list[str] = []
    run(composed(f"artefacts={store}", "dry=true"), tmp_path, lines.append)
    for name in ("split", "think", "sft", "rl"):
        assert f"{name}/{smoke.stages[name]['key']}" in lines[0]


def test_code_that_changed_since_is_said_and_how_to_remake(store, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from r2rec.run import runner

    real = runner.job_code

    def edited(job: Job) -> dict:
        code = real(job)
        if job.stage.name in ("think", "sft"):
            code = code | {"modules": code["modules"] | {"r2rec.thoughts.think": "edited"}}
        return code

    monkeypatch.setattr(runner, "job_code", edited)
    done = go(store)
    (line,) = [line for line in done.lines if "code has changed" in line]
    assert "(r2rec.thoughts.think)" in line
    assert "force=[think,sft]" in line
    assert done.made() == set()
