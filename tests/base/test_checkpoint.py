"""What an interrupted training goes on from: whole and as it was written, or not used, and that is
said.
"""

import pickle
import shutil

import pytest
import torch

from r2rec.base.checkpoint import SEAL, is_sealed, load_state, save_state, seal
from r2rec.train.common import newest_complete

STATE = {"weights": {"w": torch.arange(6.0)}, "log": [(0, 1.5, 0.1)], "seconds": 2}


def flipped(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_state_comes_back_as_it_was(tmp_path):
    path = tmp_path / "checkpoints" / "state.pt"
    assert load_state(path) is None
    save_state(path, STATE)
    save_state(path, STATE | {"seconds": 3})
    got = load_state(path)
    assert torch.equal(got["weights"]["w"], STATE["weights"]["w"])
    assert (got["log"], got["seconds"]) == (STATE["log"], 3)
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


def test_any_altered_byte_of_a_state_is_noticed(tmp_path, capsys):
    path = tmp_path / "state.pt"
    save_state(path, STATE)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        flipped(path, at)
        assert load_state(path) is None
        path.write_bytes(whole)
    assert capsys.readouterr().out.count("was altered and is not used") == len(
        range(0, len(whole), 7)
    )
    for content in (b"", whole[:10], whole[:-1], whole[32:], whole + b"x"):
        path.write_bytes(content)
        assert load_state(path) is None


def test_a_pickle_in_the_place_of_a_state_is_not_loaded(tmp_path):
    path = tmp_path / "state.pt"
    path.write_bytes(pickle.dumps(STATE))
    assert load_state(path) is None


@pytest.fixture
def checkpoints(tmp_path):
    """Two whole checkpoints."""
    for step in (5, 10):
        folder = tmp_path / f"checkpoint-{step}"
        (folder / "deep").mkdir(parents=True)
        for name in ("optimizer.pt", "deep/adapter.safetensors", "trainer_state.json"):
            (folder / name).write_text(f"{name} of {step}")
        seal(folder)
    return tmp_path


ALTERED = {
    "a byte": lambda f: flipped(f / "optimizer.pt", 3),
    "a byte deep down": lambda f: flipped(f / "deep/adapter.safetensors", 0),
    "a byte of the seal": lambda f: flipped(f / SEAL, 20),
    "cut": lambda f: (f / "optimizer.pt").write_text("opt"),
    "gone": lambda f: (f / "trainer_state.json").unlink(),
    "one more": lambda f: (f / "scheduler.pt").write_text(""),
    "swapped": lambda f: shutil.copy(
        f.with_name("checkpoint-5") / "optimizer.pt", f / "optimizer.pt"
    ),
    "half a seal": lambda f: (f / SEAL).write_text("{"),
}


@pytest.mark.parametrize("alter", ALTERED.values(), ids=ALTERED)
def test_an_altered_checkpoint_gives_way_to_the_one_before(checkpoints, alter, capsys):
    newest = checkpoints / "checkpoint-10"
    assert newest_complete(checkpoints) == str(newest)
    assert capsys.readouterr().out == ""
    alter(newest)
    assert newest_complete(checkpoints) == str(checkpoints / "checkpoint-5")
    assert capsys.readouterr().out.count("\n") == 1
    flipped(checkpoints / "checkpoint-5" / "optimizer.pt", 0)
    assert newest_complete(checkpoints) is None


def test_a_checkpoint_that_a_killed_run_was_writing_is_none(checkpoints, capsys):
    (checkpoints / "checkpoint-10" / SEAL).unlink()
    assert not is_sealed(checkpoints / "checkpoint-10")
    assert newest_complete(checkpoints) == str(checkpoints / "checkpoint-5")
    assert capsys.readouterr().out == ""
    assert newest_complete(checkpoints / "nowhere") is None
