"""Whom stage `chain` draws for."""

from pathlib import Path

import pytest

from r2rec import pipeline
from r2rec.data.split import evaluated
from r2rec.evaluate.rank import evaluation_cases
from tests.small import Done, composed, go


def users(done: Done) -> set[int]:
    return set(done.table("chain", "chains")["user"])


def test_everybody_has_chains_where_that_is_little(tmp_path: Path) -> None:
    few, more = (go(tmp_path / "store", "until=chain", f"evaluation.users={n}") for n in (5, 8))
    assert few.made() == {"prepare", "split", "chain"}
    assert not more.made()
    assert few.stages["chain"]["key"] == more.stages["chain"]["key"]
    assert users(few) == set(few.table("split", "train")["user"])


@pytest.mark.parametrize("sampler", ["closed", "open", "retrieval"])
def test_the_evaluated_users_alone_have_chains_where_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setattr(pipeline, "EVERYONE", 10)
    choices = ("until=chain", f"chain_sampler={sampler}", "chain_sampler.per_user=2")
    few, more = (go(tmp_path / "store", *choices, f"evaluation.users={n}") for n in (5, 8))
    assert more.made() == {"chain"}
    for done, n in ((few, 5), (more, 8)):
        cfg = composed(*choices, f"evaluation.users={n}")
        asked = evaluated(cfg, done.folders()["split"])
        assert done.stages["chain"]["users"] == asked.height == n
        assert users(done) == set(asked["user"])
        cases = evaluation_cases(cfg, done.folders(), asked)
        assert done.stages["chain"]["users_with_fewer"] == sum(
            len(case.chains) < 2 for case in cases
        )
    assert users(few) < users(more)
