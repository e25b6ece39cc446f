"""Which users stage `chain` draws for."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r2rec.chains import chain
from r2rec.config.slices import Arm, ChainSlice, RankSlice
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from tests.small import Done, choices, go, workspace

CHAINS = "chains.parquet"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run up to `chain`, with chains for everybody."""
    return go(tmp_path_factory.mktemp("chain") / "store", "until=chain", "evaluation.users=5")


def drawn(base: Done, folder: Path, *overrides: str) -> tuple[dict[str, Any], Path]:
    """The facts of the stage under these choices, and the file that it writes."""
    folder.mkdir()
    facts = chain.chain(choices(ChainSlice, *overrides), base.folders(), workspace(folder))
    return facts, folder / CHAINS


def users(file: Path) -> set[int]:
    return set(pl.read_parquet(file, columns=["user"])["user"])


def test_chain_serves_everybody_on_small_data(base: Done, tmp_path: Path) -> None:
    everybody = base.folders()["chain"] / CHAINS
    assert users(everybody) == set(base.table("split", "train")["user"])
    for n_users in (1, 8, 1000):
        _, file = drawn(base, tmp_path / str(n_users), f"evaluation.users={n_users}")
        assert file.read_bytes() == everybody.read_bytes()


def test_chain_to_candidates_serves_everybody_on_small_data(base: Done, tmp_path: Path) -> None:
    few, file = drawn(base, tmp_path / "few", "chain_sampler=retrieval", "evaluation.users=5")
    more, other = drawn(base, tmp_path / "more", "chain_sampler=retrieval", "evaluation.users=8")
    assert file.read_bytes() == other.read_bytes()
    assert few == more
    assert few["users"] == base.table("split", "candidates").height


def test_chain_counts_users_by_their_candidates(
    base: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_users = base.table("split", "candidates").height
    n_all = base.table("split", "train")["user"].n_unique()
    for limit, expected in ((n_users, n_all), (n_users - 1, 5)):
        monkeypatch.setattr(chain, "MAX_USERS_WITH_FULL_CHAINS", limit)
        facts, _ = drawn(base, tmp_path / str(limit), "evaluation.users=5")
        assert facts["users"] == expected


@pytest.mark.parametrize("sampler", ["closed", "open", "retrieval"])
def test_chain_serves_evaluated_users_alone_on_large_data(
    base: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampler: str
) -> None:
    monkeypatch.setattr(chain, "MAX_USERS_WITH_FULL_CHAINS", 10)
    own = (f"chain_sampler={sampler}", "chain_sampler.per_user=2")
    served = {}
    for n_users in (5, 8):
        overrides = (*own, f"evaluation.users={n_users}")
        facts, file = drawn(base, tmp_path / str(n_users), *overrides)
        question = choices(RankSlice, *overrides, arm=Arm("base"))
        asked = evaluated(base.folders()["split"], question.seed, n_users)
        served[n_users] = users(file)
        assert facts["users"] == asked.height == n_users
        assert served[n_users] == set(asked["user"])
        cases = evaluation_cases(question, {**base.folders(), "chain": file.parent}, asked)
        assert facts["users_with_fewer"] == sum(len(case.chains) < 2 for case in cases)
    assert served[5] < served[8]
