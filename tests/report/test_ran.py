"""What ran and what it cost, as a page tells it."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from r2rec.report.numbers import large, seconds, signed
from r2rec.report.ran import cost, facts, parameters
from tests.report.finished import finished
from tests.small import typed


def test_weights_are_counted_by_their_headers(tmp_path: Path) -> None:
    tensors = {"a": np.zeros((3, 5), np.float32), "b": np.zeros(7, np.float16)}
    save_file(tensors, tmp_path / "one.safetensors", metadata={"format": "pt"})
    save_file({"c": np.zeros((2, 2), np.float32)}, tmp_path / "two.safetensors")
    assert parameters(tmp_path) == 15 + 7 + 4


@pytest.mark.parametrize(
    "content", [b"", b"\x01", struct.pack("<Q", 1 << 60), struct.pack("<Q", 2) + b"[]"]
)
def test_damaged_weights_have_no_count(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert parameters(tmp_path) is None
    assert parameters(tmp_path / "nowhere") is None


def test_facts_name_command_code_backbone_and_data(tmp_path: Path) -> None:
    manifest = {
        "r2rec": "1.2",
        "stages": {},
        "git": {"revision": "0123456789abcdef", "dirty": True},
        "started": "2026-01-02 03:04+00:00",
        "command": ["seed=3", "dataset.root=a folder"],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    prepare = finished("prepare", tmp_path, facts={"users": 6040, "items": 3, "ratings": 10})
    split = finished("split", tmp_path, facts={"unrated_negatives": 0.2026})
    wrote = {"traces": 40, "accepted": 10, "from_heavy_users": 0.361}
    think = finished("think", tmp_path, facts=wrote)
    told = facts(typed("model=tiny", "seeds.train=4"), [prepare, split, think], tmp_path, "none")
    assert told["command"] == "r2rec seed=3 'dataset.root=a folder'"
    assert told["code"] == "r2rec 1.2, revision 0123456789, changed since"
    assert told["data"] == "toy_small: 6,040 users, 3 items, 10 ratings"
    assert told["backbone"].startswith("tiny, 0.")
    assert told["backbone"].endswith("M parameters")
    assert told["thoughts taught"] == (
        "10 of 40 accepted by the audit (25%), 36% about the tenth of users with most ratings"
    )
    assert told["negatives"] == "20.3% of those to be ranked have no train rating"
    assert told["seed"] == "data 0, train 4, answer 0"
    assert told["started"].startswith("2026-01-02")


def test_facts_without_a_manifest_leave_out_what_is_not_known(tmp_path: Path) -> None:
    told = facts(typed(), [], tmp_path, "none")
    assert not {"command", "code", "started", "thoughts taught", "negatives"} & told.keys()
    assert told["seed"] == "0"


def test_cost_adds_up_what_manifests_have(tmp_path: Path) -> None:
    done = [
        finished("prepare", tmp_path, seconds=1.5, peak_memory_mb=300),
        finished("sft", tmp_path, seconds=100, facts={"tokens": 655_450}),
        finished("rank", tmp_path, seconds=3600, peak_memory_mb=2650.3),
    ]
    told = cost(done)
    assert told.strip == {
        "time of all stages": "62 min",
        "of it in this run": "62 min",
        "tokens trained on": "0.655M",
        "most memory": "2.7 GB",
    }
    assert [stage.tokens for stage in told.stages] == ["", "0.655M trained on", ""]
    assert cost([]).stages == []


def test_numbers_are_short() -> None:
    assert [large(n) for n in (7, 950, 26_720, 810_000, 7.24e9)] == [
        *("7", "950", "26.7K", "0.81M", "7.24B"),
    ]
    assert [seconds(s) for s in (0.04, 42, 960, 7500)] == ["0.0 s", "42 s", "16 min", "2 h 05 min"]
    assert [signed(x) for x in (0.0001, -0.0004, 0.25, -1.0)] == [
        *("0.000", "0.000", "+0.250", "−1.000"),
    ]
