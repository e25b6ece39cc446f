"""The repository as a whole: what ships, what is committed, what is pinned."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, text=True)
    (built,) = folder.glob("r2rec-*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Paths in git's index, as `git ls-files` gives them."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: nothing says which files are committed")
    paths = [path for path in listed.split("\0") if path and os.path.lexists(ROOT / path)]
    if not paths:
        pytest.skip("git tracks no file here yet")
    return paths


def test_wheel_has_every_config_and_every_package_file(unpacked: Path) -> None:
    assert (unpacked / "r2rec/conf/config.yaml").is_file()
    configs = {f"r2rec/{path}" for path in _files(ROOT, "conf")}
    # Code, templates, toy tables, weights.
    assert _files(unpacked, "r2rec") == configs | _files(ROOT, "r2rec")


def test_wheel_runs_from_another_place(unpacked: Path, tmp_path: Path) -> None:
    # PYTHONPATH comes before an editable install; -P keeps the working folder out.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "r2rec", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "dataset" in done.stdout
    assert list(tmp_path.iterdir()) == [], "asking for help leaves nothing behind"


def test_no_symlink_and_no_large_file_is_committed(tracked: list[str]) -> None:
    assert [path for path in tracked if (ROOT / path).is_symlink()] == []
    assert [path for path in tracked if (ROOT / path).stat().st_size > 12_000_000] == []


# Names the data sets ship under. Licences forbid passing them on; a few hand-written lines are
# fine.
DATA_FILE = re.compile(
    r"(^|/)(ratings\.(dat|csv)|movies\.(dat|csv)|users\.dat|u\.(data|item|user)|u[1-5ab]\.(base|test)|ml-[\w-]+\.zip"
    r"|(meta_|reviews_)?[A-Z]\w*\.(jsonl?|csv)(\.gz)?)$"
)


@pytest.mark.parametrize(
    ("path", "is_data"),
    [
        ("data/ml-1m/ratings.dat", True),
        ("u.data", True),
        ("raw/ml-100k.zip", True),
        ("meta_Office_Products.jsonl.gz", True),
        ("reviews_Books_5.json.gz", True),
        ("ratings_table.csv", False),
        ("experiments/main/metrics.json", False),
    ],
)
def test_data_set_names_are_known(path: str, is_data: bool) -> None:
    assert bool(DATA_FILE.search(path)) == is_data


def test_no_data_set_is_committed(tracked: list[str]) -> None:
    large = [path for path in tracked if (ROOT / path).stat().st_size > 20_000]
    assert [path for path in large if DATA_FILE.search(path)] == []


def test_no_path_of_one_machine_is_committed(tracked: list[str]) -> None:
    absolute = re.compile(rb"(?<![\w.~>)}\]-])/(home|work|root|Users)/\w")
    found = []
    for path in tracked:
        content = (ROOT / path).read_bytes()
        if b"\0" in content[:8192]:
            continue  # weights, images
        found += [
            f"{path}:{number}: {line.decode(errors='replace').strip()}"
            for number, line in enumerate(content.splitlines(), 1)
            if absolute.search(line)
        ]
    assert found == []


def test_test_folders_mirror_the_package() -> None:
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert [str(folder) for folder in folders if not (ROOT / "r2rec" / folder).is_dir()] == []


def test_lock_pins_what_pyproject_asks_for() -> None:
    pins = dict(_pinned())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        Requirement(line)
        for line in project["dependencies"] + project["optional-dependencies"]["dev"]
    ]
    missing = [str(want) for want in wanted if _normal(want.name) not in pins]
    assert missing == []
    outside = [str(want) for want in wanted if pins[_normal(want.name)] not in want.specifier]
    assert outside == []
    # torch brings the CUDA packages its build needs; named here they would reach every machine.
    assert [name for name in pins if name.startswith("nvidia") or name == "triton"] == []


def test_vllm_is_asked_for_in_the_versions_that_trl_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    theirs = [r for r in map(Requirement, requires("trl") or []) if r.name == "vllm"]
    assert [r.specifier for r in map(Requirement, project["optional-dependencies"]["vllm"])] == [
        r.specifier for r in theirs
    ]


def test_every_pinned_package_has_its_licence_listed() -> None:
    told = re.findall(
        r"^\| (\S+) \| (\S+) \| (.+) \|$",
        (ROOT / "experiments/trust/licences.md").read_text(),
        re.MULTILINE,
    )
    assert sorted((name, version) for name, version, _ in told[1:]) == sorted(
        (*_pinned(), ("---", "---"))
    )
    assert not [
        name for name, _, licence in told if "none told" in licence or "not installed" in licence
    ]


def test_every_line_of_the_lock_is_one_public_version_and_its_hashes() -> None:
    text = (ROOT / "requirements.lock").read_text().replace(" \\\n", "")
    for line in (line for line in text.splitlines() if not line.startswith("#")):
        assert re.fullmatch(r"[\w.-]+==[\w.]+(    --hash=sha256:[0-9a-f]{64})+", line), line


def _pinned() -> list[tuple[str, str]]:
    """Package and version of all that `make` installs."""
    lock, make = (ROOT / "requirements.lock").read_text(), (ROOT / "Makefile").read_text()
    torch = re.findall(r"^(TORCH) +:= (\S+)$", make, re.MULTILINE)
    pins = re.findall(r"^([\w.-]+)==(\S+) \\$", lock, re.MULTILINE) + torch
    return [(name.lower(), version) for name, version in pins]


def _files(root: Path, folder: str) -> set[str]:
    """Files under root/folder, relative to root, without what Python leaves behind."""
    paths = (root / folder).rglob("*")
    return {
        path.relative_to(root).as_posix()
        for path in paths
        if path.is_file() and "__pycache__" not in path.parts
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
