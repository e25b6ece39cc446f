"""Executing a plan: it is walked job by job, and each job's artefact is reused or made."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r2rec.base import cleanup, cores, processes, progress, provenance, signals, store, tracking
from r2rec.base.code import changed_modules
from r2rec.base.files import write_json
from r2rec.base.jobs import TRAIN_ON, WITNESS_FIT, Finished, Job
from r2rec.base.workspace import Workspace
from r2rec.config import Config, Model
from r2rec.data.moments import refuse_without_times
from r2rec.execution import size_rules
from r2rec.execution.keys import endpoints, job_code, key_inputs, keyed, models
from r2rec.execution.outlook import Outlook
from r2rec.llm import ledger

NO_TORCH = ("prepare", "split", "tell", "weigh", "chain", "think", "score", "ask", "report")
RESPONSES = "responses"  # folder of the store with answers of endpoints
MAX_CHANGED = 5  # changed modules that a note names

Say = Callable[[str], None]


class CurrentRun:
    """A run's folder, and the jobs that it has done so far."""

    def __init__(self, config: Config, folder: Path, say: Say) -> None:
        self.config = config
        self.folder = folder
        self.say = say
        self.root = Path(config.artefacts).expanduser()
        self.finished: dict[str, Finished] = {}
        self.unchecked: list[Model] = []
        self.is_sized = False
        self.n_jobs = 0
        self.outlook = Outlook([], self.root, [])
        ledger.begin()
        folder.mkdir(parents=True, exist_ok=True)
        self.foreign_files = cleanup.clear(folder)
        provenance.write_config(asdict(config), folder / "config.yaml")
        self.provenance = provenance.collect(config)

    def walk(self, jobs: Sequence[Job]) -> list[dict[str, Any]]:
        """Do all jobs in order; the rows of metrics.json, [] where the plan has no report."""
        records: list[dict[str, Any]] = []
        self.n_jobs = len(jobs)
        self.outlook = Outlook(jobs, self.root, self.config.force)
        signals.forget()
        if self.config.evaluation.temporal:
            # Data sets without times are refused before anything is trained on another.
            jobs = sorted(jobs, key=lambda job: job.dataset is None)
        self.unchecked = _local_models(jobs)
        for job in jobs:
            signals.check()
            if job.stage.name == "report":
                records = self._report(job)
            else:
                artefact = self._obtain(job)
                self._finish(job, artefact)
                if job.dataset and self.config.evaluation.temporal:
                    refuse_without_times(artefact.facts, job.dataset.name)
        signals.check()
        if not records:
            self._note_other_code()
        return records

    def _obtain(self, job: Job) -> store.Artefact:
        """A job's artefact, reused or made."""
        parents = {role: self.finished[name].artefact for role, name in job.inputs.items()}
        raw = self._raw_files(job)
        inputs = key_inputs(job, parents, raw)
        recipe = store.Recipe(
            stage=job.stage.place,
            key=store.key_of(job.stage.place, inputs),
            inputs=provenance.scrubbed(inputs),
            made_from={role: artefact.content for role, artefact in parents.items()},
            code=job_code(job),
            keeps=job.stage.keeps,
        )
        folders = {role: artefact.path for role, artefact in parents.items()} | raw
        books = [ledger.of(endpoint) for endpoint in endpoints(job.choices)]
        spent_before = sum(book.spent for book in books)

        def build(folder: Path) -> dict[str, Any]:
            self._check_models()
            self._check_size()
            with progress.announced(f"{job.name} (stage {self._number()})", self.say):
                facts = self._run_stage(job, folders, folder)
            dollars = round(sum(book.spent for book in books) - spent_before, 4)
            return {"dollars": dollars, **facts} if dollars else facts

        artefact = store.obtain(
            self.root,
            recipe,
            build,
            force=job.stage.place in self.config.force,
            say=self.say,
        )
        if not artefact.made:
            for book in books:
                book.reused += artefact.facts.get("dollars", 0.0)
        return artefact

    def _check_models(self) -> None:
        """Refuse backbones that do not load, before the first artefact is made."""
        if self.unchecked:
            from r2rec.llm.load import check_model

            for model in self.unchecked:
                check_model(model)
            self.unchecked = []

    def _check_size(self) -> None:
        """Refuse data too large for a method, before the first artefact that is made of them."""
        prepared = self.finished.get("prepare")
        if prepared and not self.is_sized:
            size_rules.refuse_sizes(self.config, prepared.artefact.facts)
            self.is_sized = True

    def _raw_files(self, job: Job) -> dict[str, Path]:
        """The raw data files of a job that reads a data set."""
        if job.dataset is None:
            return {}
        from r2rec.data.prepare import locate

        return dict(locate(job.dataset, self.root, self.say))

    def _run_stage(self, job: Job, folders: Mapping[str, Path], folder: Path) -> dict[str, Any]:
        """Call the stage's function; what it reports of its result."""
        work = Workspace(folder, self.config.hardware, self.root / RESPONSES)
        asks_server = _asks_server(job.choices)
        perform = processes.run_here
        if job.stage.all_processes and not asks_server:
            perform = processes.run_in_all
        facts: dict[str, Any] = perform(job.stage.function(), job.choices, folders, work) or {}
        if job.stage.trains:
            self._write_card(job, folders, folder, facts)
        return {**facts, **_threads(job)}

    def _write_card(
        self, job: Job, folders: Mapping[str, Path], folder: Path, facts: Mapping[str, Any]
    ) -> None:
        """The model card of an adapter that a stage has trained."""
        from r2rec.train.card import write_card

        write_card(
            folder,
            stage=job.stage.name,
            title=job.stage.title,
            method="R2Rec" if job.stage.method else job.choices.name,
            choices=keyed(job.choices),
            inputs=folders,
            facts=facts,
            base=job.choices.model,
            seed=job.choices.seed,
        )

    def _report(self, job: Job) -> list[dict[str, Any]]:
        """Tables, plots, page and metrics.json in the run folder."""
        from r2rec.report.report import write_report

        begin = time.perf_counter()
        finished = list(self.finished.values())
        notes = self._note_other_code()
        written = write_report(self.config, finished, self.folder, notes)
        seconds = round(time.perf_counter() - begin, 3)
        rankings = self.folder / "rankings.parquet"
        tracking.log_results(written.records, rankings, written.verdict)
        artefact = store.Artefact("report", "", self.folder, seconds, 0.0, made=True, facts={})
        self._finish(job, artefact)
        self.say(f"\n{written.text}")
        return written.records

    def _finish(self, job: Job, artefact: store.Artefact) -> None:
        """Record a job that is done, and say so."""
        place = self._number()
        self.finished[job.name] = Finished(job, artefact)
        self.write_manifest()
        place = f"  [{', '.join(filter(None, (place, self._left())))}]"
        counts = [f"{v} {name}" for name, v in artefact.facts.items() if type(v) is int]
        how = f"{artefact.seconds:.1f} s" if artefact.made else "reused"
        self.say(f"{job.name:<24} {how:>8}  {', '.join(counts)}{place}")
        for note in [*artefact.facts.get("notes", []), *self._fewer(job, artefact)]:
            self.say(f"  note: {note}")
        tracking.log_stage(_label(job), artefact.facts, artefact.path, made=artefact.made)

    def _number(self) -> str:
        """Which job is at work: "3 of 12"."""
        return f"{len(self.finished) + 1} of {self.n_jobs}"

    def _left(self) -> str:
        """How long the rest may take."""
        return self.outlook.left({name: done.artefact for name, done in self.finished.items()})

    def _fewer(self, job: Job, artefact: store.Artefact) -> list[str]:
        """A note where the data have less than the run asks for."""
        config = self.config
        limits = {  # place -> (key, its value, the fact that may be less, what it counts)
            "split": ("evaluation.users", config.evaluation.users, "users", "can be evaluated"),
            "sft": ("sft.samples", config.sft.samples, "samples", "traces can be learnt from"),
            "rl": ("rl.samples", config.rl.samples, "prompts", "prompts can be asked"),
            "diagnose": ("diagnostic.users", config.diagnostic.users, "users", "are evaluated"),
        }
        if job.stage.place not in limits:
            return []
        key, wanted, fact, there = limits[job.stage.place]
        found = artefact.facts.get(fact, wanted)
        if found >= wanted:
            return []
        return [f"{key}={wanted}, but only {found} {there}"]

    def _note_other_code(self) -> list[str]:
        """Say in one line what was reused although other code made it, and how to remake it."""
        stages: dict[str, None] = {}
        modules: set[str] = set()
        for done in self.finished.values():
            if not done.artefact.made:
                changed = changed_modules(done.artefact.code, job_code(done.job))
                if changed:
                    stages[done.job.stage.place] = None
                    modules.update(changed)
        if not stages:
            return []
        names = sorted(modules)
        shown = ", ".join(names[:MAX_CHANGED])
        if len(names) > MAX_CHANGED:
            shown += f" and {len(names) - MAX_CHANGED} more"
        note = (
            f"reused although the code has changed since ({shown}): {', '.join(stages)}; "
            f"to remake: force=[{','.join(stages)}]"
        )
        self.say(f"  note: {note}")
        return [note]

    def write_manifest(self) -> None:
        """manifest.json of the run: revision, versions, seeds, and every stage's artefact."""
        stages: dict[str, Any] = {}
        for done in self.finished.values():
            name = entry_of(done.job)
            record = done.artefact.record()
            if done.job.arm:
                arms = stages.get(name, {}).get("arms", {}) | {done.job.arm.method: record}
                record = record | {"arms": arms}
            stages[name] = record
        results = sorted(cleanup.shown(self.folder) - self.foreign_files)
        manifest = self.provenance | {"stages": stages, "results": results}
        write_json(self.folder / store.MANIFEST, manifest)


def _asks_server(choices: Any) -> bool:
    """Whether another machine writes the answers, which one process asks."""
    generation = getattr(choices, "generation", None)
    return generation is not None and generation.endpoint is not None


def _threads(job: Job) -> dict[str, int]:
    """`threads`, of a stage that has computed with torch."""
    if job.stage.name in NO_TORCH or "torch" not in sys.modules or _asks_server(job.choices):
        return {}
    return cores.threads_used()


def _local_models(jobs: Sequence[Job]) -> list[Model]:
    """The models whose weights these jobs read, save those that the run makes itself."""
    found: list[Model] = []
    for job in jobs:
        if job.stage.name == "report" or _asks_server(job.choices):
            continue
        for _, model in models(job.choices):
            if model.path and not model.packed and model not in found:
                found.append(model)
    return found


def _label(job: Job) -> str:
    """How trackers call a job, wherever it was trained: "rank R2Rec", "sft"."""
    return job.name.removeprefix(TRAIN_ON)


def entry_of(job: Job) -> str:
    """Where the run's manifest lists a job: "sft", "train_on/sft"; fused arms under "rank"."""
    place = "rank" if job.stage.place == "fuse" else job.stage.place
    if job.name.endswith(WITNESS_FIT):
        place = WITNESS_FIT  # beside the `fit` of a fusion
    prefix = TRAIN_ON if job.name.startswith(TRAIN_ON) else ""
    return f"{prefix}{place}"
