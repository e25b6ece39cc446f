"""The measurement on a GPU: its lines compose, and it goes on where it ended. Nothing is timed."""

import json
import subprocess
from pathlib import Path

import pytest

from r2rec.execution import model_rules
from r2rec.execution.rules import checked_config
from tests.small import composition

ROOT = Path(__file__).resolve().parent.parent
GPU = ROOT / "experiments" / "gpu"
EXAMPLES = ROOT / "examples" / "slurm"


@pytest.fixture
def lines(monkeypatch, tmp_path):
    """The module, which works in a folder of the test and meets no device."""
    monkeypatch.syspath_prepend(GPU)
    import lines

    monkeypatch.setattr(lines, "WORK", tmp_path / "work")
    monkeypatch.setattr(lines, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(lines, "_has_gpu", lambda: True)
    monkeypatch.setattr(lines, "machine", lambda: {"device": "a GPU"})
    monkeypatch.setattr(lines, "stages", lambda folder: {"sft": {"seconds": 1.0}})
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.delenv("REHEARSE", raising=False)
    return lines


@pytest.fixture
def calls(lines, monkeypatch):
    """Commands that are run; one that has a word of `fails` in it does not end well."""
    made = []

    def run(command, seconds):
        made.append(command)
        return (any(word in command for word in run.fails), ["9 passed"])

    run.fails = ()
    monkeypatch.setattr(lines, "run", run)
    return made, run


def test_every_line_and_its_rehearsal_compose(lines, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_rules, "find_spec", lambda name: object())
    (tmp_path / ".gpu" / "ratings").mkdir(parents=True)
    (tmp_path / ".gpu" / "smollm2.gguf").touch()
    for part, of_part in lines.PARTS.items():
        for line in of_part:
            if part != "tests":
                full = checked_config(composition(*line.words))
                small = checked_config(composition(*lines.rehearsed(line.words)))
                assert full.hardware.device == "cuda", line.name
                assert small.hardware.device == "cpu", line.name
                assert small.evaluation.users == 2


def test_names_of_lines_differ(lines):
    names = [line.name for part in lines.PARTS.values() for line in part]
    assert len(names) == len(set(names))


def test_a_part_goes_on_where_it_ended(lines, calls, tmp_path):
    made, run = calls
    run.fails = ("rl.group_size=16",)
    assert lines.main("large") == 1
    assert list(json.loads((tmp_path / "out" / "large.json").read_text())) == [
        "steps llama_8b_random group 8"
    ]
    run.fails = ()
    made.clear()
    for path in (tmp_path / "out").iterdir():
        path.unlink()  # the folder is emptied before each command
    assert lines.main("large") == 0
    assert ["rl.group_size=16" in command for command in made] == [True]
    assert len(json.loads((tmp_path / "out" / "large.json").read_text())) == 2


def test_what_an_earlier_session_recorded_is_not_measured_again(lines, calls, tmp_path):
    made, _ = calls
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded" / "toy.json").write_text('{"toy run": {}}')
    assert lines.main("toy") == 0
    assert made == []


def test_a_rehearsal_is_no_measurement(lines, calls, tmp_path, monkeypatch):
    made, _ = calls
    monkeypatch.setenv("REHEARSE", "1")
    assert lines.main("toy") == 0
    assert not (tmp_path / "out").exists()
    monkeypatch.delenv("REHEARSE")
    assert lines.main("toy") == 0
    assert len(made) == 2
    record = json.loads((tmp_path / "out" / "toy.json").read_text())["toy run"]
    assert record["device"] == "a GPU"
    assert str(ROOT) not in json.dumps(record)


def test_no_line_begins_when_the_time_is_over(lines, calls, monkeypatch):
    made, _ = calls
    monkeypatch.setattr(lines, "LIMIT", 0.0)
    assert lines.main("small") == 1
    assert made == []


def test_a_line_without_its_data_is_left_out(lines, calls, capsys):
    assert lines.main("ratings") == 0
    assert "left out: .gpu/ratings is not here" in capsys.readouterr().out


def test_a_command_is_ended_in_time(lines, monkeypatch):
    monkeypatch.undo()
    status, printed = lines.run(["bash", "-c", "echo begun; sleep 60"], 1)
    assert (status, printed) == (124, ["begun"])


def test_wheels_are_of_the_releases_that_are_tested():
    wanted = dict(
        line.split("==") for line in (GPU / "wheels.txt").read_text().splitlines() if "==" in line
    )
    lock = (ROOT / "requirements.lock").read_text()
    differ = [name for name, release in wanted.items() if f"{name}=={release} " not in lock]
    assert differ == ["polars"]


@pytest.mark.parametrize(
    "script", [*GPU.glob("*.sh"), *EXAMPLES.glob("*.sbatch")], ids=lambda path: path.name
)
def test_scripts_are_shell(script):
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("name", ["nodes", "vllm"])
def test_cluster_scripts_name_keys_that_exist(name, monkeypatch):
    """Each key=value of the command that a node runs, with numbers in the place of variables."""
    monkeypatch.setattr("r2rec.execution.hardware_rules.find_spec", lambda package: object())
    text = (EXAMPLES / f"{name}.sbatch").read_text().replace("\\\n", " ")
    command = text.partition("-m r2rec")[2].partition("hydra.run.dir")[0]
    numbers = {
        "$PROCESSES": "16",
        "$SLURM_NNODES": "2",
        "$TRAINERS": "2",
        "$SLURM_NODEID": "1",
        "$MODEL": "me/Mine-1B",
    }
    for variable, number in numbers.items():
        command = command.replace(variable, number)
    config = checked_config(
        composition(
            "+experiment=paper",
            "dataset=toy",
            *command.replace("$", "").split(),
            "rl=off",
            "sft=off",
        )
    )
    assert config.hardware.processes == 16
    assert config.hardware.node == 1
    assert config.hardware.rollouts == {"nodes": "hf", "vllm": "server"}[name]
