"""Package code and `Stage.version`: whoever changes what a stage makes must raise its version.

`versions.json` has, for each stage, what it makes of the smallest inputs: digests of tables, and
numbers where a network is trained (their last digits differ between processors). After raising a
version, `make record` writes the file anew.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r2rec.evaluate.answers import read_answers
from r2rec.pipeline import STAGES
from tests.small import Done, go

FILE = Path(__file__).with_name("versions.json")
VERSIONS = {stage.name: stage.version for stage in STAGES if stage.name != "report"}
PLACES = {stage.name: stage.place for stage in STAGES}
RELATIVE = 0.02  # how far a trained number may be off
TABLES = {
    "prepare": ("interactions", "users", "items"),
    "split": ("train", "heldout", "candidates", "validation_candidates"),
    "tell": ("told",),
    "chain": ("chains",),
    "think": ("traces",),
}
NUMBERS = {
    "backbone": ("parameters", "steps", "tokens", "loss_first"),
    "sft": ("samples", "steps", "tokens", "loss_first"),
    "rl": ("prompts", "steps", "reward_first"),
    "rft": ("prompts", "rounds"),
    "fit": ("parameters", "epochs", "validation_ndcg"),
    "witness": ("folds", "epochs", "validation_ndcg"),
    "adapt": ("questions", "steps", "loss_first"),
    "weigh": ("users", "window", "decay", "popularity"),
    "regress": ("targets", "loss"),
    "adapt_cases": ("questions", "steps", "loss_first"),
}
EVIDENCE = ("chain_sampler=evidence", "chain_sampler.per_user=20", "prompt=evidence")
WITNESS = ("baseline@witness=sasrec", "witness.fit.epochs=2", "chain_sampler=evidence")


def digest(folder: Path, name: str) -> str:
    """Digest of a table's columns and rows, whatever release of Polars has written it."""
    table = pl.read_parquet(folder / f"{name}.parquet")
    text = f"{table.schema}\n{table.write_ndjson()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def made(smoke: Done, store: Path) -> dict[str, dict[str, Any]]:
    """What each stage makes here."""
    runs = {
        "fit": go(store, "baseline=sasrec", "baseline.fit.epochs=2"),
        "witness": go(store, *WITNESS, "until=witness"),
        "tell": go(store, "evaluation.history=all", "until=tell"),
        "adapt": go(store, "baseline=tallrec", "baseline.adapt.samples=16", "until=adapt"),
        "adapt_cases": go(store, "baseline=direct", "baseline.adapt.samples=16", "until=adapt"),
        "weigh": go(store, *EVIDENCE, "until=weigh"),
        "regress": go(store, *EVIDENCE, "baseline=counter_fitted", "until=regress"),
        "count": go(store, *EVIDENCE, "baseline=counter"),
        "rft": go(store, "rl=rft", "until=rl", "rl.params.rounds=1"),
        "fuse": go(store, "baseline@fusion=ease", "rl=off"),
        "diagnose": go(store, "diagnostic=memory", "rl=off"),
    }
    found: dict[str, dict[str, Any]] = {}
    for stage, names in TABLES.items():
        folder = Path(runs.get(stage, smoke).stages[stage]["path"])
        found[stage] = {name: digest(folder, name) for name in names}
    for stage, names in NUMBERS.items():
        facts = runs.get(stage, smoke).stages[PLACES[stage]]
        found[stage] = {name: facts[name] for name in names}
    arms = smoke.stages["rank"]["arms"]
    found["score"] = {
        name: digest(Path(arms[name]["path"]), "rankings") for name in ("random", "popularity")
    }
    counted = runs["count"].stages["rank"]["arms"]["counter"]
    found["count"] = {"rankings": digest(Path(counted["path"]), "rankings")}
    found["rank"] = columns(Path(arms["R2Rec"]["path"]), "rankings") | {"parsed": parsed(smoke)}
    fused = runs["fuse"].stages["rank"]["arms"]["backbone + ease"]
    found["fuse"] = columns(Path(fused["path"]), "rankings")
    asked = runs["diagnose"].stages["diagnose"]["arms"]["backbone"]
    found["diagnose"] = columns(Path(asked["path"]), "diagnosis")
    return found


ANSWERS = (
    "<think>\nStep 1: a\n</think>\nRanking: B > A > C",
    "Ranking: A, A, B",
    "<think>Ranking: C > B</think> Ranking: D > C",
    "no answer",
)


def parsed(smoke: Done) -> str:
    """Digest of what is read in fixed answers, on the smoke run's candidates."""
    candidates = smoke.table("split", "candidates").head(len(ANSWERS))
    table = read_answers("method", candidates, list(ANSWERS), reasoned=True)
    return hashlib.sha256(table.write_ndjson().encode()).hexdigest()[:16]


def columns(folder: Path, name: str) -> dict[str, Any]:
    """Of a table that a language model's answers are in: its shape, not its content."""
    table = pl.read_parquet(folder / f"{name}.parquet")
    return {"columns": ", ".join(table.columns), "rows": table.height}


NOT_HERE = ("choose", "ask", "unpack")  # tested with models and servers of their own


@pytest.mark.slow
@pytest.mark.parametrize("stage", [name for name in VERSIONS if name not in NOT_HERE])
def test_a_stage_that_makes_something_else_has_a_new_version(
    stage: str, made: dict[str, dict[str, Any]]
) -> None:
    recorded = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("R2REC_RECORD"):
        recorded[stage] = {"version": VERSIONS[stage], "makes": made[stage]}
        FILE.write_text(json.dumps(recorded, indent=2, sort_keys=True) + "\n")
        return
    known = recorded.get(stage, {})
    assert known.get("version") == VERSIONS[stage], "run `make record` and commit versions.json"
    for name, value in known["makes"].items():
        now = made[stage][name]
        expected = pytest.approx(value, rel=RELATIVE) if isinstance(value, float) else value
        assert now == expected, (
            f"stage {stage} makes another {name} than before: raise its version in "
            "r2rec/pipeline.py (old artefacts would be reused), then run `make record`"
        )
