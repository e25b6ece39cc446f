"""The method in order, as a table: what each stage makes, from what, and which choices it depends on."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from r2rec import store
from r2rec.check import check
from r2rec.errors import R2RecError


class Stage(NamedTuple):
    """A function `(cfg, input folders, folder) -> facts` of another file, and what its result depends on."""

    name: str
    run: str  # module:function, imported when the stage runs and not before
    needs: tuple[str, ...]  # stages whose artefacts it reads
    choices: tuple[str, ...]  # config keys it may read, and that name its artefact
    surroundings: tuple[str, ...] = ()  # config keys it may read that change where or how, never what
    keeps: tuple[str, ...] = ()  # what an interrupted run leaves for the next
    version: int = 1  # raised when the function's result changes


TASK = ("seed", "dataset.words", "prompt", "chain_sampler", "evaluation.negatives", "evaluation.positive_above", "evaluation.min_history")
HARDWARE = ("hardware", "logger")

# What comes of ratings: Figure 1 of the paper, from left to right.
STAGES = (
    Stage("prepare", "r2rec.data.prepare:prepare", (), ("dataset.name", "dataset._target_", "dataset.category", "dataset.params")),
    Stage("split", "r2rec.data.split:split", ("prepare",), ("seed", "evaluation.negatives", "evaluation.positive_above", "evaluation.min_positives")),
    Stage("chain", "r2rec.chains.chain:chain", ("prepare", "split"), ("seed", "chain_sampler")),
    Stage("think", "r2rec.thoughts.think:think", ("prepare", "split"), (*TASK, "teacher", "sft.samples", "sft.task", "rl.samples")),
    Stage("backbone", "r2rec.llm.tiny:backbone", (), ("model.tiny",), HARDWARE),
    Stage("sft", "r2rec.train.sft:sft", ("think", "backbone"), ("seed", "sft", "model"), HARDWARE, ("checkpoints",)),
    Stage("rl", "r2rec.train.rl:rl", ("prepare", "split", "sft", "backbone"), (*TASK, "rl", "reward", "model"), HARDWARE, ("checkpoints",)),
    Stage("rank", "r2rec.evaluate.rank:rank_by_model", ("prepare", "split", "chain", "backbone"), ("seed", "dataset.words", "prompt", "evaluation.users", "evaluation.positive_above", "generation", "model", "arm"), HARDWARE),
    Stage("report", "r2rec.report.report:report", (), ()),
)  # fmt: skip
BASELINE = Stage("rank", "r2rec.evaluate.rank:rank_by_baseline", ("split",), ("seed", "evaluation.users", "arm"))
NAMES = tuple(stage.name for stage in STAGES)


class Arm(NamedTuple):
    """Who ranks: a model with an adapter or without, or a baseline function."""

    method: str
    variant: str
    adapter: str | None = None  # the stage whose adapter is on top of the backbone
    target: str | None = None  # a baseline's function
    params: Mapping[str, Any] = {}


def arms(cfg: DictConfig) -> list[Arm]:
    """The rows of this run's results, in order: references first, the full method last."""
    plain = [Arm(name, "", target=target) for name, target in cfg.evaluation.references.items() if name != cfg.baseline.name]
    if cfg.baseline._target_ is not None:
        params = OmegaConf.to_container(cfg.baseline.params, resolve=True)
        return [*plain, Arm(cfg.baseline.name, "", target=cfg.baseline._target_, params=params)]  # type: ignore[arg-type]
    after_rl = ("R2Rec", "sft+rl") if cfg.sft.enabled else ("R2Rec without SFT", "rl")
    trained = {
        "base": Arm("backbone", "base"),
        "sft": Arm("R2Rec without RL", "sft", adapter="sft") if cfg.sft.enabled else None,
        "rl": Arm(*after_rl, adapter="rl") if cfg.rl.enabled else None,
    }
    return plain + [arm for name in ("base", "sft", "rl") if name in cfg.evaluation.arms and (arm := trained[name])]


class Run:
    """One run: its folder, its artefacts so far, and what it says on the way."""

    def __init__(self, cfg: DictConfig, folder: Path, say: Callable[[str], None]) -> None:
        self.cfg, self.folder, self.say = cfg, folder, say
        self.store = Path(cfg.artefacts).expanduser()
        self.made: dict[str, store.Artefact] = {}
        self.ranked: dict[str, store.Artefact] = {}

    def stage(self, stage: Stage, *, adapter: str | None = None, arm: Arm | None = None, raw: Mapping[str, Path] = {}) -> store.Artefact:
        """The artefact of a stage, from the store or made now; one line about it."""
        parents = {name: self.made[name] for name in stage.needs if name in self.made}
        if adapter:
            parents["adapter"] = self.made[adapter]
        cfg = self._slice((*stage.choices, *stage.surroundings), arm)
        choices = OmegaConf.to_container(self._slice(stage.choices, arm), resolve=True)
        inputs = {
            "version": stage.version,
            "config": _without_paths(choices),
            "parents": {name: artefact.key for name, artefact in parents.items()},
            "raw": {name: store.checksum(path) for name, path in raw.items()} | self._weights(stage),
        }
        folders = {name: artefact.path for name, artefact in parents.items()} | dict(raw)
        artefact = store.obtain(
            self.store, stage.name, store.key_of(stage.name, **inputs),
            lambda folder: _function(stage.run)(cfg, folders, folder),
            inputs=inputs, force=stage.name in self.cfg.force, keeps=stage.keeps, say=self.say,
        )  # fmt: skip
        self._tell(stage.name, artefact, arm)
        return artefact

    def _slice(self, keys: Iterable[str], arm: Arm | None) -> DictConfig:
        """The part of the configuration that a stage declares: it cannot read, and so not depend on, the rest."""
        part = OmegaConf.create({})
        for key in keys:
            value = arm._asdict() if key == "arm" and arm else OmegaConf.select(self.cfg, key)
            OmegaConf.update(part, key, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value, force_add=True)
        OmegaConf.set_struct(part, True)
        return part

    def _weights(self, stage: Stage) -> dict[str, str]:
        if "model" not in stage.choices:
            return {}
        from r2rec.llm.load import fingerprint

        return fingerprint(self.cfg.model.path) | {f"adapter/{k}": v for k, v in fingerprint(self.cfg.model.adapter).items()}

    def _tell(self, name: str, artefact: store.Artefact, arm: Arm | None) -> None:
        label = f"{name} {arm.method}" if arm else name
        facts = ", ".join(f"{v} {k}" for k, v in artefact.facts.items() if isinstance(v, int) and not isinstance(v, bool))
        how = f"{artefact.seconds:.1f} s" if artefact.made else "reused"
        self.say(f"{label:<24} {how:>8}  {facts}")
        for note in artefact.facts.get("notes", []):
            self.say(f"  note: {note}")

    def write_manifest(self) -> None:
        """manifest.json of the run folder: revision, versions, seeds, and every stage's artefact."""
        from r2rec import provenance

        stages = {name: artefact.record() for name, artefact in self.made.items()}
        if self.ranked:
            *others, last = self.ranked.items()
            stages["rank"] = last[1].record() | {"arms": {name: a.record() for name, a in [*others, last]}}
        store.write_json(self.folder / store.MANIFEST, provenance.collect(self.cfg) | {"stages": stages})


def run(cfg: DictConfig, folder: Path, say: Callable[[str], None] = print) -> list[dict[str, Any]]:
    """Run every stage up to `cfg.until` into `folder`; return the records of metrics.json.

    Raises:
        R2RecError: The configuration, the data or the disk don't allow it.
    """
    check(cfg, NAMES)
    begin = time.perf_counter()
    this = Run(cfg, folder, say)
    folder.mkdir(parents=True, exist_ok=True)
    from r2rec import provenance

    provenance.write_config(cfg, folder / "config.yaml")
    rows = arms(cfg)
    last = NAMES.index(cfg.until) if cfg.until else len(NAMES) - 1
    wanted = _wanted(cfg, rows)
    for stage in STAGES[: min(last, NAMES.index("rank") - 1) + 1]:
        if stage.name in wanted:
            this.made[stage.name] = this.stage(stage, raw=_raw(cfg, this.store) if stage.name == "prepare" else {})
            this.write_manifest()
    if last < NAMES.index("rank"):
        return []
    for arm in rows:
        row = BASELINE if arm.target else next(s for s in STAGES if s.name == "rank")
        this.ranked[arm.method] = this.stage(row, adapter=arm.adapter, arm=arm)
        this.write_manifest()
    if last < NAMES.index("report"):
        return []
    return _report(this, rows, begin)


def _wanted(cfg: DictConfig, rows: list[Arm]) -> set[str]:
    """Stages this run needs: a baseline enters after `split`; a model comes with chains, and with what trains it."""
    wanted = {"prepare", "split"}
    if all(arm.target for arm in rows):
        return wanted
    adapters = {arm.adapter for arm in rows}
    wanted.add("chain")
    if cfg.model.path is None:
        wanted.add("backbone")
    if cfg.rl.enabled and "rl" in adapters:
        wanted.add("rl")
    if cfg.sft.enabled and adapters & {"sft", "rl"}:
        wanted |= {"think", "sft"}
    return wanted


def _raw(cfg: DictConfig, root: Path) -> dict[str, Path]:
    from r2rec.data.prepare import locate

    return locate(cfg.dataset, root)


def _function(dotted: str) -> Callable[..., Any]:
    module, name = dotted.split(":")
    return getattr(import_module(module), name)


def _without_paths(choices: Any) -> Any:
    """A folder's place does not name an artefact; what lies in it does, by checksum."""
    if "model" in choices and "path" in choices["model"]:
        model = choices["model"]
        local = {k: None for k in ("path", "adapter") if model[k] and Path(model[k]).is_dir()}
        return choices | {"model": model | local}
    return choices


def _report(this: Run, rows: list[Arm], begin: float) -> list[dict[str, Any]]:
    from r2rec.report.report import Arm as Row
    from r2rec.report.report import report
    from r2rec.report.tables import results_table

    start = time.perf_counter()
    ranked = [Row(arm.method, arm.variant, this.ranked[arm.method].path) for arm in rows]
    artefacts = [*this.made.values(), *this.ranked.values()]
    notes = [note for a in artefacts for note in a.facts.get("notes", [])]
    folders = {name: artefact.path for name, artefact in this.made.items()}
    facts = {
        "data set": this.cfg.dataset.name, "seed": str(this.cfg.seed), "backbone": this.cfg.model.name,
        "chains": this.cfg.chain_sampler.name, "reward": this.cfg.reward.name,
        "seconds": f"{sum(a.seconds for a in artefacts if a.made):.0f}",
    }  # fmt: skip
    records = report(this.cfg, ranked, folders, this.folder, facts, notes)
    this.write_manifest()
    manifest = json.loads((this.folder / store.MANIFEST).read_text())
    manifest["stages"]["report"] = {
        "key": None, "path": str(this.folder), "seconds": round(time.perf_counter() - start, 3), "status": "made",
    }  # fmt: skip
    manifest["seconds"] = round(time.perf_counter() - begin, 3)
    store.write_json(this.folder / store.MANIFEST, manifest)
    this.say(f"{'report':<24} {time.perf_counter() - start:6.1f} s  {this.folder / 'report.html'}\n")
    this.say(results_table(records))
    return records


__all__ = ["NAMES", "STAGES", "R2RecError", "arms", "run"]
