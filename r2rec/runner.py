"""One run at work: each stage gets the choices it declared and its parents' folders, and leaves an artefact."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from r2rec import provenance, store


class Stage(NamedTuple):
    """A function `(cfg, input folders, folder) -> facts` of another file, and what its result depends on."""

    name: str
    run: str  # module:function, imported when the stage runs and not before
    needs: tuple[str, ...] = ()  # stages whose artefacts it reads, where this run has them
    choices: tuple[str, ...] = ()  # config keys it may read; they name its artefact
    keeps: tuple[str, ...] = ()  # what an interrupted run leaves for the next
    version: int = 1  # raised when the function's result changes


class Run:
    """A run's folder, its artefacts so far, and what it says on the way."""

    def __init__(self, cfg: DictConfig, folder: Path, say: Callable[[str], None]) -> None:
        self.cfg, self.folder, self.say = cfg, folder, say
        self.plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
        self.store = Path(cfg.artefacts).expanduser()
        self.made: dict[str, store.Artefact] = {}
        self.ranked: dict[str, store.Artefact] = {}
        folder.mkdir(parents=True, exist_ok=True)
        provenance.write_config(cfg, folder / "config.yaml")
        self.provenance = provenance.collect(cfg)

    def make(self, stage: Stage) -> None:
        """The artefact of a stage, reused or made."""
        self.made[stage.name] = self._obtain(stage, stage.name, self._raw_files() if stage.name == "prepare" else {})
        self.write_manifest()

    def rank(self, stage: Stage, arm: Any) -> None:
        """The rankings of one arm (a `pipeline.Arm`), reused or made."""
        self.ranked[arm.method] = self._obtain(stage, f"{stage.name} {arm.method}", {}, arm)
        self.write_manifest()

    def _obtain(self, stage: Stage, label: str, raw: Mapping[str, Path], arm: Any = None) -> store.Artefact:
        parents = {name: self.made[name] for name in stage.needs if name in self.made}
        if arm and arm.adapter:
            parents["adapter"] = self.made[arm.adapter]
        choices = pick(self.plain, stage.choices) | ({"arm": arm._asdict()} if arm else {})
        inputs: dict[str, Any] = {
            "version": stage.version,
            "config": placeless(choices),
            "parents": {name: artefact.key for name, artefact in parents.items()},
            "raw": {name: store.checksum(path) for name, path in raw.items()} | self._weights(choices),
        }
        # hardware and logger change where and how, never what: readable, and in no key
        cfg = OmegaConf.create(choices | pick(self.plain, ("hardware", "logger")))
        OmegaConf.set_struct(cfg, True)  # a choice that was not declared cannot be read: no key would know of it
        folders = {name: artefact.path for name, artefact in parents.items()} | dict(raw)
        artefact = store.obtain(
            self.store,
            stage.name,
            store.key_of(stage.name, **inputs),
            lambda folder: function(stage.run)(cfg, folders, folder),
            inputs=provenance.scrubbed(inputs),
            force=stage.name in self.cfg.force,
            keeps=stage.keeps,
            say=self.say,
        )
        self._tell(label, artefact)
        return artefact

    def _raw_files(self) -> dict[str, Path]:
        from r2rec.data.prepare import locate

        return locate(self.cfg.dataset, self.store, self.say)

    def _weights(self, choices: Mapping[str, Any]) -> dict[str, str]:
        """Checksums of local weights, where the stage reads any."""
        model = choices.get("model")
        if not model:
            return {}
        from r2rec.llm.load import fingerprint

        if "path" not in model:
            return fingerprint(model["tiny"]["start"])
        adapter = fingerprint(self.cfg.model.adapter)
        return fingerprint(self.cfg.model.path) | {f"adapter/{name}": digest for name, digest in adapter.items()}

    def _tell(self, label: str, artefact: store.Artefact) -> None:
        facts = ", ".join(f"{v} {k}" for k, v in artefact.facts.items() if type(v) is int)
        how = f"{artefact.seconds:.1f} s" if artefact.made else "reused"
        self.say(f"{label:<24} {how:>8}  {facts}")
        for note in artefact.facts.get("notes", []):
            self.say(f"  note: {note}")

    def write_manifest(self) -> None:
        """manifest.json of the run folder: revision, versions, seeds, and every stage's artefact."""
        stages = {name: artefact.record() for name, artefact in self.made.items()}
        if self.ranked:
            rows = {name: artefact.record() for name, artefact in self.ranked.items()}
            stages["rank"] = list(rows.values())[-1] | {"arms": rows}
        store.write_json(self.folder / store.MANIFEST, self.provenance | {"stages": stages})

    def report(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """Tables, plots, page and metrics.json in the run folder, from the rankings of these arms."""
        from r2rec.evaluate import leakage
        from r2rec.report.report import Row, report
        from r2rec.report.tables import results_table

        begin = time.perf_counter()
        folders = {name: artefact.path for name, artefact in self.made.items()}
        artefacts = [*self.made.values(), *self.ranked.values()]
        facts = {
            "data set": self.cfg.dataset.name,
            "seed": str(self.cfg.seed),
            "backbone": self.cfg.model.name,
            "chains": self.cfg.chain_sampler.name,
            "reward": self.cfg.reward.name,
            "leakage": leakage.check(folders),
        }
        notes = [note for artefact in artefacts for note in artefact.facts.get("notes", [])]
        ranked = [Row(arm.method, arm.variant, self.ranked[arm.method].path) for arm in rows]
        records = report(self.cfg, ranked, folders, self.folder, facts, notes)
        self.made["report"] = store.Artefact("report", "", self.folder, time.perf_counter() - begin, 0.0, True, {})
        self.write_manifest()
        self._tell("report", self.made["report"])
        self.say(f"\n{results_table(records)}\n\nleakage check: {facts['leakage']}\n{self.folder / 'report.html'}")
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
    """The same choices without local folders: what lies in them names an artefact, by checksum, not where."""
    model = choices.get("model", {})
    local = {k: "(folder)" for k in ("path", "adapter") if model.get(k) and Path(model[k]).is_dir()}
    return {**choices, "model": model | local} if local else dict(choices)


def function(dotted: str) -> Callable[..., Any]:
    """What `module:name` names."""
    module, name = dotted.split(":")
    return getattr(import_module(module), name)
