"""Several processes as one run: the same result as one, all of it, and an end for all when one of
them dies.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from r2rec.base import processes
from r2rec.base.errors import R2RecError
from r2rec.execution import launch
from r2rec.execution.rules import checked_config
from tests.small import composed, typed
from tests.test_main import SOURCE, call

TWO = ("hardware=ddp", "hardware.device=cpu")
TRAINING = (
    "+experiment=smoke",
    "model=tiny",
    "chain_sampler=closed",
    "dataset.params.users=60",
    "rl.samples=4",
    "rl.prompts_per_step=2",
    "rl.micro_batch_size=4",
    "rl.max_new_tokens=320",
    "generation.max_new_tokens=200",
    "reward=complete",
    "seed=1",
)


def artefact(folder: Path, stage: str) -> Path:
    return (
        folder / json.loads((folder / "run" / "manifest.json").read_text())["stages"][stage]["path"]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run in one process and in two; `sft` is SFT alone, in two.

    In both, RL starts from the SFT adapter that one process trained: adapters differ in their last
    digits, and a token drawn at the border of two would make another rollout.
    """
    folders = {name: tmp_path_factory.mktemp(name) for name in ("one", "two", "sft")}
    for name, words in {"one": (), "two": TWO, "sft": (*TWO, "until=sft")}.items():
        if name == "two":
            shutil.copytree(folders["one"] / "store", folders["two"] / "store")
            for stage in ("rl", "rank"):
                shutil.rmtree(folders["two"] / "store" / stage)
        done = call(folders[name], *TRAINING, *words, "hydra.run.dir=run", "artefacts=store")
        assert done.returncode == 0, done.stderr
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "name"), [("sft", "sft"), ("rl", "two")])
def test_two_processes_learn_what_one_learns(runs, stage, name):
    one, two = artefact(runs["one"], stage), artefact(runs[name], stage)
    assert (one.parent.name, one.name) == (two.parent.name, two.name)  # hardware is in no key
    weights, others = (load_file(path / "adapter_model.safetensors") for path in (one, two))
    assert weights.keys() == others.keys()
    if stage == "sft":
        assert max((weights[k] - others[k]).abs().max() for k in weights) < 1e-4
    logs = [pl.read_parquet(path / "log.parquet") for path in (one, two)]
    assert logs[0]["step"].to_list() == logs[1]["step"].to_list()
    if stage == "rl":
        assert logs[0]["reward"].drop_nulls().to_list() == pytest.approx(
            logs[1]["reward"].drop_nulls().to_list()
        )
        assert logs[0]["reward_std"].max() > 0
        start = load_file(artefact(runs["one"], "sft") / "adapter_model.safetensors")
        moved = sum((weights[k] - start[k]).square().sum() for k in weights).sqrt()
        apart = sum((weights[k] - others[k]).square().sum() for k in weights).sqrt()
        assert max((weights[k] - start[k]).abs().max() for k in weights) > 1e-3
        assert (
            apart < 0.01 * moved
        )  # Adam makes a step of the rounding of a gradient that is nearly 0


@pytest.mark.slow
def test_two_processes_rank_in_order_and_leave_one_of_everything(runs):
    records = [
        json.loads((runs[name] / "run" / "metrics.json").read_text()) for name in ("one", "two")
    ]
    assert records[0] == records[1]
    tables = [pl.read_parquet(runs[name] / "run" / "rankings.parquet") for name in ("one", "two")]
    assert tables[0].equals(tables[1])
    for stage in ("sft", "rl", "rank"):
        names = [
            sorted(p.name for p in artefact(runs[name], stage).iterdir()) for name in ("one", "two")
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


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_killed_process_ends_the_run_and_one_alone_goes_on(tmp_path):
    words = [
        *TRAINING,
        "sft.epochs=8",
        "sft.save_steps=2",
        "until=sft",
        f"hydra.run.dir={tmp_path}/run",
        "artefacts=store",
    ]
    ours = os.environ | {"PYTHONPATH": str(SOURCE), "MARK": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-m", "r2rec", *words, *TWO],
        cwd=tmp_path,
        env=ours,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        wait_for(tmp_path, "store/sft/*/checkpoints/checkpoint-*/trainer_state.json", running)
        os.kill(alive(tmp_path, b"RANK=1\0")[0], signal.SIGKILL)
        begin = time.monotonic()
        said = running.stderr.read().strip() if running.stderr else ""
        assert running.wait() == 2
        assert time.monotonic() - begin < 30
    assert said.startswith("error: process 1 was killed (SIGKILL)")
    assert "\n" not in said
    assert alive(tmp_path) == []
    assert not [p for p in tmp_path.glob("store/sft/*") if p.is_dir() and p.suffix != ".part"]
    done = call(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    log = pl.read_parquet(artefact(tmp_path, "sft") / "log.parquet").drop_nulls(
        "loss"
    )  # without the probe's rows
    assert log["step"].to_list() == list(range(1, 17))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
@pytest.mark.parametrize("by_hand", [False, True])
def test_no_process_outlives_those_that_started_it(tmp_path, by_hand):
    """Not even where all of them are killed at once and can end nothing more."""
    words = [
        *TRAINING,
        "sft.epochs=50",
        "until=sft",
        f"hydra.run.dir={tmp_path}/run",
        "artefacts=store",
    ]
    command = [sys.executable, "-m", "r2rec", *words, *TWO]
    if by_hand:
        settings = launch.accelerate_settings(typed(*TWO).hardware, launch._free_port())
        OmegaConf.save(OmegaConf.create(settings), tmp_path / "accelerate.yaml")
        command[2:2] = [
            "accelerate.commands.launch",
            "--config_file",
            str(tmp_path / "accelerate.yaml"),
            "-m",
        ]
    ours = os.environ | {"PYTHONPATH": str(SOURCE), "MARK": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        wait_for(tmp_path, "store/sft/*.part/checkpoints", run)
        ranks = alive(tmp_path, b"WORLD_SIZE=2\0")
        assert len(ranks) == 2
        for starter in set(alive(tmp_path)) - set(ranks):
            os.kill(starter, signal.SIGKILL)
    time.sleep(2)
    assert alive(tmp_path) == []


@pytest.mark.slow
def test_a_mistake_is_told_once_and_in_one_line(tmp_path):
    done = call(
        tmp_path,
        *TRAINING,
        *TWO,
        "rl=off",
        "generation.max_new_tokens=8",
        "model.max_length=20",
        "hydra.run.dir=run",
        "artefacts=store",
    )
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
