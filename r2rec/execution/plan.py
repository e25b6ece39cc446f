"""From a configuration to the jobs of a run, without side effects; only model cards are read."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from r2rec.base.jobs import TRAIN_ON, WITNESS_FIT, Job, Stage
from r2rec.config import Baseline, Config
from r2rec.config.slices import Arm, FitSlice, RegressSlice, ThinkSlice, WitnessSlice, cut
from r2rec.execution.methods import (
    arms,
    counters,
    fitted_counters,
    fusion_knows_later,
    marked_as_later,
    reads_cases,
    stage,
)
from r2rec.pipeline import PLACES, STAGES

SHARED = ("backbone",)  # jobs that depend on no data set
LEARNT_ELSEWHERE = ("think", "witness", "regress")  # beside stages that train an adapter
NEVER_ELSEWHERE = ("tell", "fit", "chain", "adapt")  # stages that only serve the evaluated data set


def plan(config: Config) -> list[Job]:
    """The jobs of a run, ordered so that each follows the jobs that it reads.

    Where `train_on` names another data set, SFT and RL happen there: their jobs come first.
    """
    draft = _Draft(config)
    all_arms = arms(config)
    needed = _before_ranking(config, all_arms)
    if config.train_on.name not in ("same", config.dataset.name):
        elsewhere = replace(config, dataset=config.train_on)
        there = needed.difference(NEVER_ELSEWHERE)
        if not config.probe.users:
            there.discard(WITNESS_FIT)  # only a probe asks about validation positives there
        draft.add_shared(there, elsewhere, prefix=TRAIN_ON)
        needed -= {row.name for row in STAGES if row.trains or row.name in LEARNT_ELSEWHERE}
    draft.add_shared(needed, config)
    for arm in all_arms:
        draft.add(_ranking_stage(config, arm), config, arm=arm)
    text_arms = [arm for arm in all_arms if arm.target is None]
    for arm in text_arms:
        if config.diagnostic._target_:
            draft.add(stage("diagnose"), config, arm=arm)
    for arm in text_arms:
        if config.fusion._target_:
            draft.add(stage("fuse"), config, arm=arm)
    draft.add(stage("report"), config)
    return [job for job in draft.jobs.values() if _is_reached(job, config.until)]


def _is_reached(job: Job, until: str | None) -> bool:
    """Whether a run that stops after `until` comes to this job."""
    return until is None or PLACES.index(job.stage.place) <= PLACES.index(until)


def _before_ranking(config: Config, all_arms: list[Arm]) -> set[str]:
    """Names of the stages that these rows of the results need before they can rank.

    `WITNESS_FIT` is among them where there is a witness.
    """
    names = {"prepare", "split"}
    if config.evaluation.history == "all":
        names.add("tell")
    baseline = config.baseline
    writes = any(arm.target is None for arm in all_arms)
    if writes or reads_cases(baseline):
        names.add("chain")
        if config.chain_sampler.weigh:
            names.add("weigh")
    uses_weights = (writes and not config.generation.endpoint) or baseline.adapt is not None
    if uses_weights and config.model.path is None:
        names.add("backbone")
    if uses_weights and config.model.packed:
        names.add("unpack")
    if baseline.vectors or config.fusion.fit:
        names.add("fit")
    trained = {arm.adapter for arm in all_arms if arm.adapter}
    names |= trained
    if config.sft.enabled and any(stage(name).place in ("sft", "rl") for name in trained):
        names |= {"think", "sft"}
    if config.witness._target_ and "chain" in names:
        names.add(WITNESS_FIT)
        if any(stage(name).place in ("sft", "rl", "regress", "adapt") for name in trained):
            names.add("witness")
    return names


def _ranking_stage(config: Config, arm: Arm) -> Stage:
    """The stage by which an arm ranks."""
    if arm.target is None:
        return stage("rank")
    if arm.method == config.baseline.name and config.baseline.endpoint:
        return stage("ask")
    if arm.method == config.baseline.name and config.baseline.adapt:
        return stage("choose")
    if arm.method in [counter.name for counter in counters(config)]:
        return stage("count")
    return stage("score")


class _Draft:
    """The jobs of a plan so far, by name."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.jobs: dict[str, Job] = {}

    def add_shared(self, needed: set[str], config: Config, *, prefix: str = "") -> None:
        """Add the jobs that serve all arms, in the order of the pipeline."""
        for row in STAGES:
            if row.name == "fit" and WITNESS_FIT in needed:
                self.add(row, replace(config, fusion=config.witness), prefix=prefix, of=WITNESS_FIT)
            if row.name in needed:
                self.add(row, config, prefix=prefix)

    def add(
        self,
        row: Stage,
        config: Config,
        *,
        prefix: str = "",
        arm: Arm | None = None,
        of: str | None = None,
    ) -> None:
        """Add the job of a stage, unless it is there.

        Args:
            of: What the job is called. None: as its stage.
        """
        name = row.place if row.place in SHARED else f"{prefix}{of or row.name}"
        shown_arm = arm
        if arm:
            name = f"{row.place} {arm.method}"
        if arm and row.name == "fuse":
            shown_arm = replace(arm, method=f"{arm.method} + {config.fusion.name}")
            if config.evaluation.temporal and fusion_knows_later(config):
                shown_arm = marked_as_later(shown_arm)
        if name in self.jobs:
            return
        self.jobs[name] = Job(
            name,
            row,
            _choices(row, config, arm),
            dict(self._inputs(row, config, prefix, arm)),
            shown_arm,
            config.dataset if row.name == "prepare" else None,
        )

    def _inputs(
        self, row: Stage, config: Config, prefix: str, arm: Arm | None
    ) -> Iterator[tuple[str, str]]:
        """(role, name of the job that fills it) of all inputs that this plan has."""
        for role in row.needs:
            name = role if role in SHARED else f"{prefix}{role}"
            if role == "adapter":
                name = self._trained(arm)
            elif role == "rank" and arm:
                name = f"rank {arm.method}"
            elif role == "backbone" and row.name == "think" and not _teacher_has_weights(config):
                name = ""
            if name in self.jobs:
                yield role, name

    def _trained(self, arm: Arm | None) -> str:
        """The job whose weights an arm uses."""
        if arm is None or arm.adapter is None:
            return ""
        elsewhere = f"{TRAIN_ON}{arm.adapter}"
        return elsewhere if elsewhere in self.jobs else arm.adapter


def _choices(row: Stage, config: Config, arm: Arm | None) -> Any:
    """What a stage may depend on in this run."""
    if row.slice is FitSlice:
        return cut(FitSlice, replace(config, baseline=_fitted(config)))
    if row.slice is WitnessSlice:
        return cut(WitnessSlice, replace(config, baseline=config.witness))
    if row.slice is RegressSlice:
        return cut(RegressSlice, replace(config, baseline=fitted_counters(config)[0]))
    if row.slice is ThinkSlice:
        teacher_model = (
            config.model if _teacher_has_weights(config) and not config.teacher.model else None
        )
        return cut(ThinkSlice, config, model=teacher_model)
    given: dict[str, Any] = {"config": config}
    if arm:
        given["arm"] = arm
    return cut(row.slice, config, **given)


def _fitted(config: Config) -> Baseline:
    """The baseline that stage `fit` trains: the run's own, its `vectors`, or the fusion's."""
    chosen = config.fusion if config.fusion.fit else config.baseline
    return chosen.vectors or chosen


def _teacher_has_weights(config: Config) -> bool:
    """Whether the teacher, or its judge, is a language model in this process."""
    asked = (config.teacher.generation, config.teacher.judge)
    return any(one is not None and one.endpoint is None for one in asked)
