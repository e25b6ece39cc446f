"""`seeds.data`, `seeds.train`, `seeds.answer`: each names and changes what it should, no more."""

import hashlib
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r2rec.base.errors import R2RecError
from r2rec.config.run import SIDES
from r2rec.execution.keys import keyed
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from tests.conftest import ROOT
from tests.small import composed, go

FUSED = ("baseline@fusion=sasrec", "fusion.fit.epochs=1")
EVERYTHING = (*FUSED, "diagnostic=consistency")
WITNESS = ("chain_sampler=evidence", "baseline@witness=sasrec")
TRIPLES = st.tuples(*[st.integers(0, 2)] * 3)


def identities(*overrides: str) -> dict[str, str]:
    """Job -> digest of all that names its artefact, those of the jobs that it reads included."""
    found: dict[str, str] = {}
    for job in plan(checked_config(composed(*overrides))):
        if job.stage.name != "report":
            parents = [found[name] for name in job.inputs.values()]
            named = json.dumps([job.stage.name, keyed(job.choices), parents], sort_keys=True)
            found[job.name] = hashlib.sha256(named.encode()).hexdigest()
    return found


def set_apart(seeds: Sequence[int]) -> list[str]:
    return [f"seeds.{side}={seed}" for side, seed in zip(SIDES, seeds, strict=True)]


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that measures what each seed changes."""
    monkeypatch.syspath_prepend(ROOT / "experiments" / "trust")
    return importlib.import_module("seeds")


@settings(max_examples=8)
@given(st.integers(0, 2), TRIPLES, TRIPLES)
def test_artefacts_are_named_by_the_seeds_that_hold(
    root: int, one: tuple[int, ...], other: tuple[int, ...]
) -> None:
    plain = identities(f"seed={root}", *EVERYTHING)
    assert plain == identities("seed=7", *set_apart([root] * 3), *EVERYTHING)
    mine, theirs = (identities(*set_apart(triple), *EVERYTHING) for triple in (one, other))
    assert (mine == theirs) == (one == other)


@pytest.mark.parametrize("more", [(), WITNESS], ids=["no witness", "witness"])
def test_a_seed_renames_what_it_is_for(more: tuple[str, ...], seeds: Any) -> None:
    first = identities(*EVERYTHING, *more)
    told_by_witness = ("chain", "weigh", "rank counter", "rank backbone", "diagnose backbone")
    for name in ("seed", "seeds.data", "seeds.train", "seeds.answer"):
        other = identities(f"{name}=1", *EVERYTHING, *more)
        for job in first:
            sides = seeds.sides_of(job)
            if more and job in told_by_witness:
                sides = ("train", *sides)  # a trained model speaks in these prompts
            depends = any(name in ("seed", f"seeds.{side}") for side in sides)
            assert (first[job] != other[job]) == depends, (name, job)


@pytest.mark.slow
def test_a_seed_changes_what_it_is_for(store: Path, seeds: Any) -> None:
    runs = {name: go(store, *FUSED, *([f"{name}=1"] if name else [])) for name in seeds.RUNS}
    table = seeds.compared({name: run.folder for name, run in runs.items()})
    assert not seeds.faults(table)
    records = runs["seeds.train"].by_method()
    assert records["R2Rec"]["seeds"] == {"data": 0, "train": 1, "answer": 0}
    assert "seeds" not in runs["seed"].by_method()["R2Rec"]
    for method in ("backbone", "popularity"):
        same = {k: v for k, v in records[method].items() if k != "seeds"}
        assert same == runs[""].by_method()[method]


def test_a_seed_below_zero_is_refused() -> None:
    with pytest.raises(R2RecError, match=r"seeds\.train=-1 should be 0 or more"):
        checked_config(composed("seeds.train=-1"))
