"""One run at work: each stage gets the choices it declared and its parents' folders, and leaves an artefact."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from r2rec.base import cleanup as leftovers
from r2rec.base import processes, provenance, store, tracking
from r2rec.llm import ledger

EMPTY: Mapping[str, Any] = MappingProxyType({})
MANNERS = (
    "key",
    "ceiling",
    "concurrency",
    "timeout",
    "retries",
    "backoff",
    "replay",
)  # of asking an endpoint


class Stage(NamedTuple):
    """A function `(cfg, input folders, folder) -> facts` of another file, and what its result depends on."""

    name: str
    run: str  # module:function, imported when the stage runs and not before
    needs: tuple[str, ...] = ()  # stages whose artefacts it reads, where this run has them
    choices: tuple[str, ...] = ()  # config keys it may read; they name its artefact
    keeps: tuple[str, ...] = ()  # what an interrupted run leaves for the next
    version: int = 1  # raised when the function's result changes
    together: bool = False  # run by all processes of the run, where it has several


class Run:
    """A run's folder, its artefacts so far, and what it says on the way."""

    def __init__(self, cfg: DictConfig, folder: Path, say: Callable[[str], None]) -> None:
        self.cfg, self.folder, self.say = cfg, folder, say
        self.plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        self.store = Path(cfg.artefacts).expanduser()
        self.made: dict[str, store.Artefact] = {}
        self.ranked: dict[str, store.Artefact] = {}
        self.diagnosed: dict[str, store.Artefact] = {}
        self.elsewhere: dict[
            str, store.Artefact
        ] = {}  # made on the data set that was trained on, if another
        ledger.begin()
        folder.mkdir(parents=True, exist_ok=True)
        self.others = leftovers.clear(folder)  # files that are no results of a run
        provenance.write_config(cfg, folder / "config.yaml")
        self.provenance = provenance.collect(cfg)

    def make(self, stage: Stage, instead: Mapping[str, Any] = EMPTY) -> None:
        """The artefact of a stage, reused or made.

        Args:
            instead: Groups of the configuration that the stage reads in place of this run's.
        """
        from r2rec.data.prepare import locate

        dataset = OmegaConf.create(instead["dataset"]) if "dataset" in instead else self.cfg.dataset
        raw = locate(dataset, self.store, self.say) if stage.name == "prepare" else {}
        self.made[stage.name] = self._obtain(stage, stage.name, raw, instead=instead)
        self.write_manifest()

    def move(self) -> None:
        """Go on to the data set that is ranked: what was made so far is of the one that was trained on."""
        self.elsewhere, self.made = (
            self.made,
            {k: v for k, v in self.made.items() if k == "backbone"},
        )

    def rank(self, stage: Stage, arm: Any) -> None:
        """The rankings of one arm (an `arms.Arm`), reused or made."""
        self.ranked[arm.method] = self._obtain(stage, f"{stage.name} {arm.method}", {}, arm)
        self.write_manifest()

    def diagnose(self, stage: Stage, arm: Any) -> None:
        """What the diagnostic finds of an arm that was ranked, reused or made."""
        ranked = {"rank": self.ranked[arm.method]}
        self.diagnosed[arm.method] = self._obtain(
            stage, f"{stage.name} {arm.method}", {}, arm, more=ranked
        )

    def fuse(self, stage: Stage, arm: Any) -> Any:
        """The arm that ranks as this one and baseline `fusion` together do, reused or made."""
        fused = arm._replace(method=f"{arm.method} + {self.cfg.fusion.name}")
        ranked = {"rank": self.ranked[arm.method]}
        self.ranked[fused.method] = self._obtain(
            stage, f"{stage.name} {arm.method}", {}, arm, more=ranked
        )
        self.write_manifest()
        return fused

    def _obtain(
        self,
        stage: Stage,
        label: str,
        raw: Mapping[str, Path],
        arm: Any = None,
        instead: Mapping[str, Any] = EMPTY,
        more: Mapping[str, store.Artefact] = EMPTY,
    ) -> store.Artefact:
        parents = {name: self.made[name] for name in stage.needs if name in self.made} | dict(more)
        if arm and arm.adapter:
            parents["adapter"] = {**self.elsewhere, **self.made}[arm.adapter]
        choices = pick({**self.plain, **instead}, stage.choices)
        if arm:  # its variant is a word for readers: an adapter's folder, or what a card says
            choices["arm"] = {
                key: value for key, value in arm._asdict().items() if key != "variant"
            }
        inputs: dict[str, Any] = {
            "version": stage.version,
            "config": placeless(choices),
            "parents": {name: artefact.key for name, artefact in parents.items()},
            "raw": {name: store.checksum(path) for name, path in raw.items()}
            | self._weights(choices),
        }
        # hardware changes where and how, never what: readable, and in no key
        cfg = OmegaConf.create(choices | pick(self.plain, ("hardware",)))
        OmegaConf.set_struct(
            cfg, True
        )  # a choice that was not declared cannot be read: no key would know of it
        folders = {name: artefact.path for name, artefact in parents.items()} | dict(raw)
        alone = not stage.together or OmegaConf.select(cfg, "generation.endpoint") is not None
        perform = processes.run_here if alone else processes.run_in_all
        paid = [ledger.of(server) for server in _endpoints(choices)]
        before = sum(book.spent for book in paid)

        def build(folder: Path) -> dict[str, Any]:
            facts = perform(function(stage.run), cfg, folders, folder) or {}
            dollars = round(sum(book.spent for book in paid) - before, 4)
            return {**({"dollars": dollars} if dollars else {}), **facts}

        artefact = store.obtain(
            self.store,
            stage.name,
            store.key_of(stage.name, **inputs),
            build,
            inputs=provenance.scrubbed(inputs),
            force=stage.name in self.cfg.force,
            keeps=stage.keeps,
            say=self.say,
        )
        for book in paid if not artefact.made else []:
            book.reused += artefact.facts.get("dollars", 0.0)
        self._tell(label, artefact)
        tracking.log_stage(label, artefact.facts, artefact.path, artefact.made)
        return artefact

    def _weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """Checksums of local weights, where the stage reads any."""
        found: dict[str, str] = {}
        for where, model in _models(choices).items():
            from r2rec.llm.load import fingerprint

            whole = (
                "path" in model
            )  # the stage that makes a backbone reads what it starts from alone
            parts = (
                {"": model["path"], "adapter/": model["adapter"]}
                if whole
                else {"": model["tiny"]["start"]}
            )
            for part, path in parts.items():
                found |= {
                    f"{where}{part}{name}": digest for name, digest in fingerprint(path).items()
                }
        return found

    def _tell(self, label: str, artefact: store.Artefact) -> None:
        facts = ", ".join(f"{v} {k}" for k, v in artefact.facts.items() if type(v) is int)
        how = f"{artefact.seconds:.1f} s" if artefact.made else "reused"
        self.say(f"{label:<24} {how:>8}  {facts}")
        for note in artefact.facts.get("notes", []):
            self.say(f"  note: {note}")

    def write_manifest(self) -> None:
        """manifest.json of the run folder: revision, versions, seeds, and every stage's artefact."""
        stages = {name: artefact.record() for name, artefact in self.made.items()}
        stages |= {
            f"train_on/{name}": artefact.record() for name, artefact in self.elsewhere.items()
        }
        if self.ranked:
            rows = {name: artefact.record() for name, artefact in self.ranked.items()}
            stages["rank"] = list(rows.values())[-1] | {"arms": rows}
        if self.diagnosed:
            rows = {name: artefact.record() for name, artefact in self.diagnosed.items()}
            stages["diagnose"] = list(rows.values())[-1] | {"arms": rows}
        results = sorted(leftovers.shown(self.folder) - self.others)
        store.write_json(
            self.folder / store.MANIFEST, self.provenance | {"stages": stages, "results": results}
        )

    def report(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Tables, plots, page and metrics.json in the run folder, from the rankings of these arms."""
        from r2rec.evaluate import leakage
        from r2rec.report.report import Row, write_report
        from r2rec.report.tables import results_table
        from r2rec.train import card

        begin = time.perf_counter()
        folders = {name: artefact.path for name, artefact in self.made.items()}
        trained = {name: artefact.path for name, artefact in self.elsewhere.items()}
        artefacts = [*self.made.values(), *self.ranked.values()]
        facts = {
            "data set": self.cfg.dataset.name,
            "seed": str(self.cfg.seed),
            "backbone": self.cfg.model.name,
            "chains": self.cfg.chain_sampler.name,
            "reward": self.cfg.reward.name,
            "leakage": "; ".join(
                leakage.check_leakage(world) for world in (trained, folders) if world
            ),
        }
        notes = [note for artefact in artefacts for note in artefact.facts.get("notes", [])]
        given = card.about(self.cfg.model.adapter).get("dataset")
        source = (
            {"sft": self.cfg.train_on.name, "rl": self.cfg.train_on.name} if self.elsewhere else {}
        )
        ranked = [
            Row(arm.method, arm.variant, self.ranked[arm.method].path,
                given if arm.method == "adapter" else source.get(arm.adapter))
            for arm in rows
        ]  # fmt: skip
        found: tuple[str, dict[str, str]] = ("", {})
        if self.diagnosed:
            from r2rec.report.diagnosis import diagnosis

            artefacts_of = {method: artefact.path for method, artefact in self.diagnosed.items()}
            found = diagnosis(self.cfg.diagnostic.name, artefacts_of, self.folder)
        records = write_report(
            self.cfg, ranked, {**trained, **folders}, self.folder, facts, notes, found[1]
        )
        tracking.log_results(records, self.folder / "rankings.parquet")
        self.made["report"] = store.Artefact(
            "report", "", self.folder, time.perf_counter() - begin, 0.0, True, {}
        )
        self.write_manifest()
        self._tell("report", self.made["report"])
        planned = ""
        if self.cfg.forecast.enabled:
            from r2rec.report.forecast import plan

            planned = plan(self.cfg, {**self.elsewhere, **self.made}, self.ranked)
        told = "\n\n".join(filter(None, [results_table(records), found[0], planned]))
        self.say(f"\n{told}\n\nleakage check: {facts['leakage']}\n{self.folder / 'report.html'}")
        return records


def pick(plain: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The entries of a nested dict under these dotted keys, nested as before."""
    part: dict[str, Any] = {}
    for key in keys:
        *path, name = key.split(".")
        source, target = plain, part
        for step in path:
            source, target = source[step], target.setdefault(step, {})
        target[name] = source[name]
    return part


def placeless(choices: Mapping[str, Any]) -> dict[str, Any]:
    """The same choices with what makes the content alone.

    Without local folders: what lies in them names an artefact, by checksum, not where. And without how an endpoint is
    asked: how fast, how often, for how much and with whose key changes no answer.
    """
    placed = deepcopy(dict(choices))
    for model in _models(placed).values():
        for part, key in ((model, "path"), (model, "adapter"), (model.get("tiny") or {}, "start")):
            if part.get(key) and Path(part[key]).is_dir():
                part[key] = "(folder)"
    for endpoint in _endpoints(placed):
        for key in MANNERS:
            endpoint.pop(key, None)
    return placed


def _models(choices: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The models that a stage may read, by what their files are called under: the run's own, and a teacher's."""
    models = {"": choices.get("model"), "teacher/": (choices.get("teacher") or {}).get("model")}
    return {where: model for where, model in models.items() if model}


def _endpoints(choices: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The endpoints that a stage may ask: a baseline's, an engine's, a teacher's."""
    groups = [
        choices.get("baseline"),
        choices.get("generation"),
        (choices.get("teacher") or {}).get("generation"),
    ]
    return [group["endpoint"] for group in groups if group and group.get("endpoint")]


def function(dotted: str) -> Callable[..., Any]:
    """What `module:name` names."""
    module, name = dotted.split(":")
    return getattr(import_module(module), name)
