"""What ran, and what it cost: facts, a strip of totals, and a table of stages for a run's page."""

import json
import math
import shlex
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from r2rec.base.cleanup import manifest_of_run
from r2rec.base.jobs import Finished
from r2rec.base.store import MANIFEST
from r2rec.config import Config
from r2rec.llm.fingerprints import resolve
from r2rec.report.numbers import large, seconds
from r2rec.report.repeats import Repeat

TOLD_UNTIL = {"train": "validation", "all": "test"}  # the positive at which a history ends
WRITTEN = "new_tokens"  # the fact that counts tokens of answers
TRAINED = "tokens"  # the fact that counts tokens of a training
MAX_HEADER = 100_000_000  # bytes; what the format allows


class StageCost(NamedTuple):
    """A line of the table of stages."""

    name: str
    how: str  # "made" or "reused"
    seconds: str
    memory: str
    tokens: str


class Cost(NamedTuple):
    """What the artefacts of a run took to make."""

    strip: Mapping[str, str]
    stages: Sequence[StageCost]


def facts(
    config: Config, finished: Sequence[Finished], folder: Path, leakage: str
) -> dict[str, str]:
    """What ran, for the top of a page."""
    manifest = manifest_of_run(folder / MANIFEST) or {}
    of = {done.job.stage.place: done.artefact.facts for done in finished}
    chains = config.chain_sampler.name
    if config.witness._target_:
        chains += f", with {config.witness.name} as a witness"
    found = {
        "started": str(manifest.get("started", "")),
        "code": _revision(manifest),
        "data": _data(config.dataset.name, of.get("prepare", {})),
        "seed": _seed(config),
        "backbone": _backbone(config, of.get("backbone", {})),
        "negatives": _negatives(of.get("split", {})),
        "chains": chains,
        "told of users": f"all before the {TOLD_UNTIL[config.evaluation.history]} positive",
        "reward": config.reward.name,
        "thoughts taught": _thoughts(of.get("think", {})),
        "leakage": leakage,
        "command": _command(manifest),
    }
    return {name: text for name, text in found.items() if text}


def cost(finished: Sequence[Finished]) -> Cost:
    """Seconds, tokens and memory, in all and by stage, as far as manifests have them."""
    stages = []
    for done in finished:
        artefact = done.artefact
        stage = StageCost(
            name=done.job.name,
            how="made" if artefact.made else "reused",
            seconds=seconds(artefact.seconds),
            memory=_memory(artefact.peak_memory_mb),
            tokens=_tokens(artefact.facts),
        )
        stages.append(stage)
    artefacts = [done.artefact for done in finished]
    strip = {
        "time of all stages": seconds(sum(artefact.seconds for artefact in artefacts)),
        "of it in this run": seconds(sum(a.seconds for a in artefacts if a.made)),
        "tokens trained on": _sum(artefacts, TRAINED),
        "tokens written": _sum(artefacts, WRITTEN),
        "most memory": _memory(max((a.peak_memory_mb for a in artefacts), default=0.0)),
        "dollars": _sum(artefacts, "dollars"),
    }
    return Cost({name: text for name, text in strip.items() if text}, stages)


def parameters(folder: Path) -> int | None:
    """How many weights the safetensors files of a folder hold, by their headers; None: unknown."""
    total = 0
    try:
        for path in folder.glob("*.safetensors"):
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, MAX_HEADER)))
            header.pop("__metadata__", None)
            total += sum(math.prod(tensor["shape"]) for tensor in header.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return None
    return total or None


def _seed(config: Config) -> str:
    seeds = Repeat(config.data_seed, config.train_seed, config.answer_seed)
    return seeds.text().removeprefix("seed ")


def _revision(manifest: Mapping[str, Any]) -> str:
    if not manifest:
        return ""
    version = f"r2rec {manifest.get('r2rec', '')}"
    git = manifest.get("git")
    if not git:
        return version
    changed = ", changed since" if git["dirty"] else ""
    return f"{version}, revision {git['revision'][:10]}{changed}"


def _command(manifest: Mapping[str, Any]) -> str:
    words = manifest.get("command")
    if words is None:
        return ""
    return shlex.join(["r2rec", *map(str, words)])


def _data(name: str, counts: Mapping[str, Any]) -> str:
    told = [f"{counts[key]:,} {key}" for key in ("users", "items", "ratings") if key in counts]
    return f"{name}: {', '.join(told)}" if told else name


def _backbone(config: Config, made: Mapping[str, Any]) -> str:
    """Its name and size; weights that are not on this machine have no size."""
    n_weights = made.get("parameters")
    if config.model.path and not config.model.packed:
        n_weights = parameters(Path(resolve(config.model.path)))
    if not n_weights:
        return config.model.name
    return f"{config.model.name}, {large(n_weights)} parameters"


def _thoughts(written: Mapping[str, Any]) -> str:
    if not written.get("traces"):
        return ""
    share = written["accepted"] / written["traces"]
    told = f"{written['accepted']:,} of {written['traces']:,} accepted by the audit ({share:.0%})"
    if "from_heavy_users" in written:
        told += f", {written['from_heavy_users']:.0%} about the tenth of users with most ratings"
    return told


def _negatives(drawn: Mapping[str, Any]) -> str:
    """How many negatives can be known by their texts alone; older artefacts do not tell."""
    if "unrated_negatives" not in drawn:
        return ""
    return f"{drawn['unrated_negatives']:.1%} of those to be ranked have no train rating"


def _memory(megabytes: float) -> str:
    if not megabytes:
        return ""
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def _tokens(told: Mapping[str, Any]) -> str:
    if told.get(WRITTEN):
        return f"{large(told[WRITTEN])} written"
    return f"{large(told[TRAINED])} trained on" if told.get(TRAINED) else ""


def _sum(artefacts: Sequence[Any], fact: str) -> str:
    total = sum(artefact.facts.get(fact) or 0 for artefact in artefacts)
    if not total:
        return ""
    return f"{total:.2f}" if fact == "dollars" else large(total)
