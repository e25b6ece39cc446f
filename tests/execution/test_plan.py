"""The plan: which jobs a configuration needs, in which order, from what."""

import pytest

from r2rec.base.jobs import Job
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from tests.small import composed, go

WITNESS = "baseline@witness=gru4rec chain_sampler=evidence prompt=evidence"
EVIDENCE = "chain_sampler=evidence prompt=evidence"
CONFIGURATIONS = [
    "",
    "rl=off",
    "sft=off",
    "rl=rft",
    "baseline=sasrec",
    "baseline=llara",
    "baseline=direct",
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
    EVIDENCE,
    f"{EVIDENCE} sft=off",
    f"{EVIDENCE} baseline=counter",
    f"{EVIDENCE} baseline=counter_fitted evaluation.history=all",
    f"{EVIDENCE} dataset@train_on=ml_100k",
    f"{WITNESS} baseline=counter",
    f"{WITNESS} baseline=counter_fitted",
    WITNESS,
    f"{WITNESS} rl=rft sft=off",
    f"{WITNESS} evaluation.arms=[base]",
    f"{WITNESS} baseline=gpt_4o_mini",
    f"{WITNESS} baseline=direct",
    f"{WITNESS} baseline@fusion=sasrec evaluation.history=all",
    f"{WITNESS} dataset@train_on=ml_100k",
    f"{WITNESS} dataset@train_on=ml_100k probe=slice",
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
    learns |= {"weigh", "regress"}
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


def test_a_witness_is_the_baseline_of_its_name_and_places_targets_out_of_fold() -> None:
    jobs = jobs_of(f"{WITNESS} baseline@fusion=sasrec")
    baseline = jobs_of("baseline=gru4rec")["fit"]
    assert jobs["witness_fit"].choices == baseline.choices
    assert jobs["witness_fit"].inputs == baseline.inputs
    assert jobs["fit"].choices.name == "sasrec"
    told = {"weigh", "chain", "sft", "rl", "fuse R2Rec", "fuse R2Rec without RL", "fuse backbone"}
    assert {name for name, job in jobs.items() if "witness_fit" in job.inputs} == told
    out_of_fold = {name for name, job in jobs.items() if "witness" in job.inputs}
    assert out_of_fold == {"think", "rl", "regress"}
    assert "witness" not in jobs_of(f"{WITNESS} baseline=gpt_4o_mini")  # it learns nothing


def test_a_witness_elsewhere_is_of_the_data_set_that_it_is_asked_about() -> None:
    jobs = jobs_of(f"{WITNESS} dataset@train_on=ml_100k")
    assert jobs["chain"].inputs["witness_fit"] == "witness_fit"
    assert jobs["train_on/think"].inputs["witness"] == "train_on/witness"
    assert {"witness", "train_on/witness_fit"}.isdisjoint(jobs)
    probed = jobs_of(f"{WITNESS} dataset@train_on=ml_100k probe=slice")
    assert probed["train_on/sft"].inputs["witness_fit"] == "train_on/witness_fit"


def test_every_table_with_evidence_has_the_counters() -> None:
    jobs = jobs_of(EVIDENCE)
    ranked = [job.arm.method for job in jobs.values() if job.stage.place == "rank" and job.arm]
    writing = ["backbone", "R2Rec without RL", "R2Rec"]
    assert ranked == ["random", "popularity", "counter", "counter_fitted", *writing]
    for name in ("counter", "counter_fitted"):
        alone = jobs_of(f"{EVIDENCE} baseline={name}")
        for job in ("chain", f"rank {name}"):
            assert alone[job].choices == jobs[job].choices
            assert alone[job].inputs == jobs[job].inputs
    assert jobs["regress"].choices.count.samples == jobs["think"].choices.samples
    assert jobs["rank counter_fitted"].inputs["adapter"] == "regress"
    assert "adapter" not in jobs["rank counter"].inputs


def test_counters_are_left_out_where_they_would_have_nothing_to_read() -> None:
    for words in ("chain_sampler=closed", "chain_sampler=retrieval", "prompt=no_chain"):
        assert "rank counter" not in jobs_of(words)
    without = jobs_of(f"{EVIDENCE} sft=off")
    assert "rank counter" in without
    assert {"regress", "rank counter_fitted"}.isdisjoint(without)
    chosen = jobs_of(f"{EVIDENCE} ~baseline@counters.counter_fitted")
    assert {"regress", "rank counter_fitted"}.isdisjoint(chosen)


def test_a_counter_learns_where_r2rec_learns() -> None:
    jobs = jobs_of(f"{EVIDENCE} dataset@train_on=ml_100k")
    assert jobs["train_on/regress"].inputs["split"] == "train_on/split"
    assert jobs["train_on/regress"].inputs["weigh"] == "train_on/weigh"
    assert jobs["rank counter_fitted"].inputs["adapter"] == "train_on/regress"
    assert jobs["rank counter_fitted"].inputs["chain"] == "chain"
    assert "regress" not in jobs


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
    from r2rec.execution.entry import run_config

    assert (
        run_config(composed(f"artefacts={tmp_path / 'new'}", "dry=true"), tmp_path, lines.append)
        == []
    )
    (text,) = lines
    assert list(tmp_path.iterdir()) == []
    assert "0 artefacts are there, 12 to make" in text
    run_config(composed(f"artefacts={store}", "dry=true"), tmp_path, lines.append)
    assert "12 artefacts are there, 0 to make" in lines[-1]
    assert "rank R2Rec without RL" in lines[-1]


def test_keys_of_a_dry_run_are_those_of_the_run(smoke, store, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from r2rec.execution.entry import run_config

    lines: list[str] = []
    run_config(composed(f"artefacts={store}", "dry=true"), tmp_path, lines.append)
    for name in ("split", "think", "sft", "rl"):
        assert f"{name}/{smoke.stages[name]['key']}" in lines[0]


def test_code_that_changed_since_is_said_and_how_to_remake(store, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from r2rec.execution import runner

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
