"""Several processes as one run: the same result as one, all of it, and an end for all when one of
them dies.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from r2rec.base import processes
from r2rec.base.errors import R2RecError
from r2rec.execution import launch
from r2rec.execution.rules import checked_config
from tests.command import SOURCE, call
from tests.small import Done, composed, go, typed

TWO = ("hardware=ddp", "hardware.device=cpu")
TRAINING = (
    "rl.samples=4",
    "rl.prompts_per_step=2",
    "rl.micro_batch_size=4",
    "probe.users=0",
    "reward=complete",
    f"reward.parts.complete._target_={__name__}.letters",
    "seed=1",
)


def letters(completions: Sequence[str]) -> list[float]:
    """A reward that a backbone of no use earns too, and not always the same."""
    return [sum(map(str.isalpha, text)) / max(len(text), 1) for text in completions]


def words_in(folder: Path, *words: str) -> list[str]:
    """The command line of a run in a folder, beside the store there."""
    places = [f"hydra.run.dir={folder / 'run'}", f"artefacts={folder / 'store'}"]
    return ["+experiment=smoke", "chain_sampler=closed", *TRAINING, *words, *places]


@pytest.fixture
def room(store: Path, tmp_path: Path) -> Path:
    """A folder whose store has the backbone of the session and nothing else."""
    shutil.copytree(store / "backbone", tmp_path / "store" / "backbone")
    return tmp_path


@pytest.fixture(scope="module")
def runs(store: Path, tmp_path_factory) -> dict[str, Done]:
    """The same run in one process and in two."""
    folder = tmp_path_factory.mktemp("two")
    shutil.copytree(store / "backbone", folder / "store" / "backbone")
    done = call(folder, *words_in(folder, *TWO))
    assert done.returncode == 0, done.stderr
    return {"one": go(store, *TRAINING), "two": Done.of(folder / "run")}


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(runs: dict[str, Done]) -> None:
    stages = ("sft", "rl", "rank")
    keys = [[done.stages[stage]["key"] for stage in stages] for done in runs.values()]
    assert keys[0] == keys[1]  # hardware is in no key
    trained = {
        stage: [
            load_file(Path(done.stages[stage]["path"]) / "adapter_model.safetensors")
            for done in runs.values()
        ]
        for stage in ("sft", "rl")
    }
    for stage, (weights, others) in trained.items():
        assert weights.keys() == others.keys()
        logs = [done.table(stage, "log") for done in runs.values()]
        assert logs[0]["step"].to_list() == logs[1]["step"].to_list()
    assert max(apart.abs().max() for apart in moves(*trained["sft"]).values()) < 1e-4
    assert logs[0]["reward"].drop_nulls().to_list() == pytest.approx(
        logs[1]["reward"].drop_nulls().to_list()
    )
    assert logs[0]["reward_std"].max() > 0
    one, two = (
        moves(after, start) for after, start in zip(trained["rl"], trained["sft"], strict=True)
    )
    assert max(move.abs().max() for move in one.values()) > 1e-3
    # Adam makes a step of the rounding of a gradient that is nearly 0
    assert length(moves(one, two)) < 0.01 * length(one)


def moves(weights: dict[str, Tensor], others: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: weights[name] - others[name] for name in weights}


def length(weights: dict[str, Tensor]) -> Tensor:
    return sum(value.square().sum() for value in weights.values()).sqrt()


@pytest.mark.slow
def test_two_processes_rank_in_order_and_leave_one_of_everything(runs: dict[str, Done]) -> None:
    one, two = runs.values()
    assert one.records == two.records
    tables = [pl.read_parquet(done.folder / "rankings.parquet") for done in (one, two)]
    assert tables[0].equals(tables[1])
    for stage in ("sft", "rl", "rank"):
        names = [
            sorted(path.name for path in Path(done.stages[stage]["path"]).iterdir())
            for done in (one, two)
        ]
        assert names[0] == names[1]


def wait_for(folder: Path, file: str, running: subprocess.Popen) -> None:
    """Until the process has left such a file under the folder."""
    until = time.monotonic() + 200
    while not any(folder.glob(file)):
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(folder: Path, variable: bytes = b"") -> list[int]:
    """Processes that were given a file or folder under this one, and this variable of the
    environment.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            if (
                str(folder).encode() in (process / "cmdline").read_bytes() + environment
                and variable in environment
            ):
                found.append(int(process.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


BY_PROC = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="finds processes by /proc"
)


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(SOURCE), "MARK": str(folder)}


@pytest.mark.slow
@BY_PROC
def test_a_killed_process_ends_the_run_and_one_alone_goes_on(room: Path) -> None:
    longer = ("sft.epochs=20", "sft.save_steps=2", "until=sft")
    with subprocess.Popen(
        [sys.executable, "-m", "r2rec", *words_in(room, *longer, *TWO)],
        cwd=room,
        env=environment(room),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        wait_for(room, "store/sft/*/checkpoints/checkpoint-*/trainer_state.json", running)
        os.kill(alive(room, b"RANK=1\0")[0], signal.SIGKILL)
        begin = time.monotonic()
        said = running.stderr.read().strip() if running.stderr else ""
        assert running.wait() == 2
        assert time.monotonic() - begin < 30
    assert said.startswith("error: process 1 was killed (SIGKILL)")
    assert "\n" not in said
    assert alive(room) == []
    assert not [p for p in room.glob("store/sft/*") if p.is_dir() and p.suffix != ".part"]
    (kept,) = room.glob("store/sft/*.part/checkpoints")
    assert any(kept.iterdir())
    done = go(room / "store", *TRAINING, *longer)
    log = done.table("sft", "log").drop_nulls("loss")
    assert log["step"].to_list() == list(range(1, 41))


@pytest.mark.slow
@BY_PROC
@pytest.mark.parametrize("by_hand", [False, True])
def test_no_process_outlives_those_that_started_it(room: Path, by_hand: bool) -> None:
    """Not even where all of them are killed at once and can end nothing more."""
    words = words_in(room, "sft.epochs=500", "until=sft")
    command = [sys.executable, "-m", "r2rec", *words, *TWO]
    if by_hand:
        settings = launch.accelerate_settings(typed(*TWO).hardware, launch._free_port())
        OmegaConf.save(OmegaConf.create(settings), room / "accelerate.yaml")
        command[2:2] = [
            "accelerate.commands.launch",
            "--config_file",
            str(room / "accelerate.yaml"),
            "-m",
        ]
    with subprocess.Popen(
        command,
        cwd=room,
        env=environment(room),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as run:
        wait_for(room, "store/sft/*.part/checkpoints", run)
        ranks = alive(room, b"WORLD_SIZE=2\0")
        assert len(ranks) == 2
        for starter in set(alive(room)) - set(ranks):
            os.kill(starter, signal.SIGKILL)
    until = time.monotonic() + 30  # by itself the training would take much longer
    while alive(room) and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(room) == []


WAITS = """
from datetime import timedelta
from pathlib import Path
from r2rec.base import processes, signals
processes.end_with_parent()
signals.install()
from torch.distributed import TCPStore
Path("waits").touch()
TCPStore("127.0.0.1", 1, is_master=False, timeout=timedelta(minutes=5))  # nobody listens there
"""
STARTS = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


@pytest.mark.slow
@BY_PROC
def test_a_process_that_waits_inside_a_library_ends_with_its_parent(tmp_path: Path) -> None:
    """Python handles no signal there: the first process waits so for the others to join it."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS, WAITS],
        cwd=tmp_path,
        env=environment(tmp_path),
        stderr=subprocess.DEVNULL,
    ) as starter:
        wait_for(tmp_path, "waits", starter)
        time.sleep(1)
        starter.kill()
    until = time.monotonic() + 60
    while alive(tmp_path) and time.monotonic() < until:
        time.sleep(0.05)
    assert alive(tmp_path) == []


@pytest.mark.slow
def test_a_mistake_is_told_once_and_in_one_line(room: Path) -> None:
    short = ("model=tiny", "rl=off", "generation.max_new_tokens=8", "model.max_length=20")
    done = call(room, *words_in(room, *short, *TWO))
    assert done.returncode == 2
    assert done.stderr.strip().startswith("error: no trace fits into model.max_length=20")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["ddp", "fsdp", "zero2", "zero3"])
def test_accelerate_reads_what_it_is_given(name, tmp_path, monkeypatch):
    from accelerate.commands.config import load_config_from_file

    monkeypatch.setattr(
        "r2rec.llm.runtime.device", lambda hardware: hardware.device if name != "ddp" else "cpu"
    )
    hardware = typed(
        f"hardware={name}", "hardware.processes=4", "hardware.nodes=2", "hardware.node=1"
    ).hardware
    settings = OmegaConf.create(launch.accelerate_settings(hardware, 29500))
    OmegaConf.save(settings, tmp_path / "accelerate.yaml")
    read = load_config_from_file(str(tmp_path / "accelerate.yaml"))
    assert (read.num_processes, read.num_machines, read.machine_rank, read.main_process_port) == (
        4,
        2,
        1,
        29500,
    )
    kind = {"ddp": "MULTI_GPU", "fsdp": "FSDP", "zero2": "DEEPSPEED", "zero3": "DEEPSPEED"}[name]
    assert str(read.distributed_type.value) == kind
    assert read.use_cpu == (name == "ddp")
    assert read.mixed_precision == ("no" if name == "ddp" else "bf16")
    if name.startswith("zero"):
        assert read.deepspeed_config["zero_stage"] == int(name[-1])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["hardware=ddp", "hardware.processes=3"], "sft.batch_size=4 cannot be shared out"),
        (["hardware=ddp", "hardware.nodes=2", "hardware.processes=3"], "over 2 nodes"),
        (["hardware=ddp", "hardware.nodes=2"], "hardware.port=29500"),
        (["hardware=ddp", "hardware.node=1"], "nodes count from 0 to 0"),
        (["hardware=fsdp", "hardware.device=cpu"], "on a CPU there is ddp"),
        (["hardware.strategy=magic"], "choose from ddp, fsdp"),
        (["hardware.processes=0"], "hardware.processes=0"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(words, why):
    with pytest.raises(R2RecError, match=why):
        checked_config(composed(*words))


def test_one_process_does_it_all(monkeypatch):
    assert processes.map_rows([3, 1, 2], lambda rows: [r * 2 for r in rows]) == [6, 2, 4]
    batch = (torch.arange(5), torch.arange(10).view(5, 2))
    assert processes.own_part(batch) is batch
    assert processes.broadcast((0.5, 1)) == (0.5, 1)
    monkeypatch.setattr(processes, "_joined", True)
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(processes.own_part(batch)[0].tolist())
        assert processes.own_part((torch.tensor([7]),))[0].tolist() == [7]
    assert shares == [[0, 3], [1, 4], [2]]
