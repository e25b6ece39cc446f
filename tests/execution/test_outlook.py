"""What is left of a run is judged by what the same stages took before."""

from pathlib import Path

import pytest

from r2rec.base.files import write_json
from r2rec.execution.outlook import Outlook
from r2rec.execution.plan import plan
from tests.small import typed


def earlier(root: Path, place: str, name: str, seconds: float, inputs: dict[str, object]) -> None:
    (root / place / name).mkdir(parents=True)
    write_json(root / place / name / "manifest.json", {"seconds": seconds, "inputs": inputs})


@pytest.fixture
def finished(smoke, store):
    """The artefacts of the shared run's first stages, by job."""
    from r2rec.base.store import Artefact

    found = {}
    for name in ("prepare", "split"):
        path = Path(smoke.stages[name]["path"])
        found[name] = Artefact(name, path.name, path, 0.0, 0.0, made=True, facts={})
    return found


def test_nothing_is_left_where_all_is_there(smoke, store, finished) -> None:
    jobs = plan(typed())
    assert Outlook(jobs, store, []).left(finished) == ""


def test_the_most_similar_artefact_of_a_stage_is_the_measure(tmp_path, finished) -> None:
    jobs = plan(typed("until=chain"))
    names = [job.name for job in jobs]
    assert names == ["prepare", "split", "chain"]
    outlook = Outlook(jobs, tmp_path, [])
    assert outlook.left(finished) == ""  # nobody knows
    config = {"seed": 0, "users": 8}
    earlier(tmp_path, "chain", "far", 9000.0, {"row": "chain", "config": {"seed": 7}})
    earlier(tmp_path, "chain", "near", 240.0, {"row": "chain", "config": config})
    earlier(tmp_path, "chain", "other", 5.0, {"row": "else", "config": config})
    assert Outlook(jobs, tmp_path, []).left(finished) == "about 4 min left"


def test_what_is_unknown_makes_it_more_than(tmp_path, finished) -> None:
    jobs = plan(typed("until=think"))
    earlier(tmp_path, "chain", "near", 240.0, {"row": "chain", "config": {"seed": 0}})
    assert Outlook(jobs, tmp_path, []).left(finished) == "more than 4 min left"
