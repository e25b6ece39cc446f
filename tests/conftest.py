"""Settings every test runs under, and the way to the real data."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Before any test module imports torch, which reads them once. `make test` exports them too; here
# they hold for a bare `pytest` as well.
for name, value in {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "WANDB_MODE": "offline",
    "MPLBACKEND": "Agg",
}.items():
    os.environ.setdefault(name, value)

ROOT = Path(__file__).resolve().parent.parent

# A deadline measures the machine, not the code. In CI the examples are the same each time.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


# The longest first, so that no process works on one of them when the others are done.
LONGEST = (
    "test_processes",
    "test_variants",
    "test_config",
    "test_grid",
    "test_main",
    "test_launchers",
    "test_bench",
    "test_pipeline",
    "test_kill",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="module", autouse=True)
def _imports_are_not_searched_for_garbage() -> Iterator[None]:
    """Libraries collect garbage after each training: half a second each time, all over modules."""
    _freeze()
    yield
    _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: $R2REC_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("R2REC_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set R2REC_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """The whole method on as little as can be, made once (`small.Done`)."""
    from tests.small import smoke_run

    return smoke_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def store(smoke) -> Path:  # type: ignore[no-untyped-def]
    """Its artefacts: what a test's run shares with it is reused."""
    return smoke.folder.parent / "store"


@pytest.fixture
def call_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """`python -m r2rec` in this process: (folder, *words) -> `command.Ended`."""
    from tests.command import Here

    return Here(monkeypatch, capsys)
