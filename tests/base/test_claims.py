"""A folder belongs to one run, however many start at the same moment."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from r2rec.base.claims import RUNNING, claimed, new_folder
from r2rec.base.errors import R2RecError
from tests.command import SMALL, SOURCE, Here, call

HOLD = """
import sys
from pathlib import Path
from r2rec.base.claims import claimed
with claimed(Path(sys.argv[1]), "hydra.run.dir"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_new_folders_are_distinct_and_numbered(tmp_path: Path) -> None:
    wanted = str(tmp_path / "deep" / "run")
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: new_folder(wanted), range(20)))
    assert len(set(folders)) == 20
    assert {Path(folder).name for folder in folders} == {"run"} | {f"run-{n}" for n in range(2, 21)}


def test_a_folder_in_use_is_refused_until_it_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=SOURCE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(R2RecError, match=r"in use by another run; .*hydra.run.dir=FOLDER"),
            claimed(folder, "hydra.run.dir"),
        ):
            pass
        holder.stdin.close()
    with claimed(folder, "hydra.run.dir"):
        assert (folder / RUNNING).exists()
    assert list(folder.iterdir()) == []


def test_a_claim_of_a_killed_run_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=SOURCE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        holder.kill()
    with claimed(tmp_path, "hydra.run.dir"):
        pass


@pytest.mark.slow
def test_runs_and_sweeps_started_together_lose_nothing(tmp_path: Path) -> None:
    words = ("until=split", "artefacts=store", *SMALL)
    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(call, tmp_path, *words, f"seed={seed}") for seed in range(3)]
        sweeps = [pool.submit(call, tmp_path, "-m", *words, f"seed={s}") for s in ("3,4", "5,6")]
        done = [started.result() for started in runs + sweeps]
    assert [(d.returncode, d.stderr) for d in done] == [(0, "")] * 5
    manifests = list((tmp_path / "outputs").rglob("manifest.json"))
    seeds = []
    for path in manifests:
        config = (path.parent / "config.yaml").read_text()
        seed = int(config.split("\nseed: ")[1].split("\n")[0])
        assert f'"seed": {seed},' in path.read_text()
        seeds.append(seed)
    own = [path for path in manifests if "store" not in path.parts]
    assert sorted(seeds) == list(range(7))
    assert len(own) == 7


def test_a_sweep_folder_in_use_is_refused_and_nothing_in_it_lost(
    tmp_path: Path, call_here: Here
) -> None:
    words = ("-m", "seed=0,1", "until=prepare", "hydra.sweep.dir=sweep", *SMALL)
    assert call_here(tmp_path, *words).returncode == 0
    with claimed(tmp_path / "sweep", "hydra.sweep.dir"):
        done = call(tmp_path, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: sweep is in use by another run")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "sweep" / "1" / "manifest.json").exists()


def test_a_sweep_leaves_other_runs_in_its_folder_alone(tmp_path: Path, call_here: Here) -> None:
    quick = ("baseline=popularity", "evaluation.resamples=20", *SMALL)
    assert call_here(tmp_path, *quick, "hydra.run.dir=sweep/mine").returncode == 0
    before = sorted(path.name for path in (tmp_path / "sweep" / "mine").iterdir())
    done = call_here(tmp_path, "-m", "seed=0,1", "until=prepare", "hydra.sweep.dir=sweep", *SMALL)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "sweep" / "mine").iterdir()) == before
    with claimed(tmp_path / "sweep" / "1", "hydra.run.dir"):
        done = call(tmp_path, "-m", "seed=0", "until=prepare", "hydra.sweep.dir=sweep", *SMALL)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert (tmp_path / "sweep" / "0" / "manifest.json").exists()
