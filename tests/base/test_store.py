import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest

import r2rec
from r2rec.base.errors import R2RecError
from r2rec.base.store import MANIFEST, Recipe, obtain

SOURCE = Path(r2rec.__file__).parent.parent
KEY = "0123456789abcdef"


class Store:
    """One artefact of a store, with what was said of it and how often it was built."""

    def __init__(self, root):
        self.root, self.final = root, root / "stage" / KEY
        self.builds, self.said = 0, []

    def build(self, folder):
        self.builds += 1
        (folder / "table.txt").write_text("one")
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "table.txt").write_text("two")
        return {"rows": 2}

    def obtain(self, build=None, *, keeps=(), made_from=None, force=False):
        recipe = Recipe("stage", KEY, {"a": 1}, made_from or {}, {"digest": "c0de"}, keeps)
        return obtain(self.root, recipe, build or self.build, force=force, say=self.said.append)

    def whole(self):
        files = {str(p.relative_to(self.final)) for p in self.final.rglob("*") if p.is_file()}
        return (
            files == {"table.txt", "deep/er/table.txt", MANIFEST}
            and not self.final.with_suffix(".part").exists()
        )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "not" / "yet" / "there")


def test_builds_once_and_then_reuses(store):
    made, reused = store.obtain(), store.obtain()
    assert (made.made, reused.made, store.builds) == (True, False, 1)
    assert made._replace(made=False) == reused
    assert made.path == store.final
    assert made.facts == {"rows": 2}
    assert store.whole()
    assert not store.said
    record = reused.record()
    assert (record["status"], record["rows"], record["key"]) == ("reused", 2, KEY)
    assert record["peak_memory_mb"] > 0
    manifest = json.loads((store.final / MANIFEST).read_text())
    assert manifest["inputs"] == {"a": 1}


def test_force_builds_again_without_calling_the_old_one_broken(store):
    store.obtain()
    assert store.obtain(force=True).made
    assert store.builds == 2
    assert store.whole()
    assert not store.said


def altered_manifest(final, **changes):
    manifest = json.loads((final / MANIFEST).read_text())
    (final / MANIFEST).write_text(json.dumps(manifest | changes))


def swapped_for_a_file(final):
    shutil.rmtree(final)
    final.write_text("")


DAMAGE = {
    "altered": lambda final: (final / "table.txt").write_text("One"),
    "altered deep down": lambda final: (final / "deep/er/table.txt").write_text("Two"),
    "truncated": lambda final: (final / "table.txt").write_text("on"),
    "emptied": lambda final: (final / "table.txt").write_text(""),
    "missing": lambda final: (final / "table.txt").unlink(),
    "extra": lambda final: (final / "deep" / "more.txt").write_text(""),
    "no manifest": lambda final: (final / MANIFEST).unlink(),
    "half a manifest": lambda final: (final / MANIFEST).write_text(
        (final / MANIFEST).read_text()[:50]
    ),
    "an empty manifest": lambda final: (final / MANIFEST).write_text(""),
    "a manifest of bytes": lambda final: (final / MANIFEST).write_bytes(b"\xff\xfe"),
    "a manifest of another kind": lambda final: (final / MANIFEST).write_text("[]"),
    "a manifest without files": lambda final: altered_manifest(final, files=None),
    "another key's manifest": lambda final: altered_manifest(final, key=KEY[::-1]),
    "another stage's manifest": lambda final: altered_manifest(final, stage="other"),
    "a file in its place": swapped_for_a_file,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_artefact_is_noticed_and_made_again(store, damage):
    store.obtain()
    damage(store.final)
    assert store.obtain().made
    assert store.whole()
    (line,) = store.said
    assert "made again" in line
    assert "\n" not in line
    assert not store.obtain().made


def test_a_manifest_copied_from_another_artefact_is_no_excuse(store):
    store.obtain()
    obtain(store.root, Recipe("stage", KEY[::-1], {}, {}, {}), store.build)
    shutil.copy(store.final.with_name(KEY[::-1]) / MANIFEST, store.final / MANIFEST)
    assert store.obtain().made


def fails(folder):
    (folder / "half.txt").write_text("half")
    raise ZeroDivisionError("in the middle")


def test_a_failed_build_leaves_nothing_and_the_next_one_works(store):
    with pytest.raises(ZeroDivisionError):
        store.obtain(fails)
    assert not store.final.exists()
    assert store.obtain().made
    assert store.whole()


def test_a_failed_forced_build_leaves_the_old_artefact(store):
    store.obtain()
    with pytest.raises(ZeroDivisionError):
        store.obtain(fails, force=True)
    assert not store.obtain().made
    assert store.builds == 1


def test_kept_names_survive_a_failure_and_are_gone_at_the_end(store):
    def begin(folder):
        (folder / "checkpoint").mkdir()
        (folder / "checkpoint" / "weights").write_text("5")
        (folder / "step").write_text("5")
        (folder / "scraps").mkdir()
        fails(folder)

    def resume(folder):
        assert {p.name for p in folder.iterdir()} == {"checkpoint", "step"}
        assert (
            (folder / "checkpoint" / "weights").read_text() == (folder / "step").read_text() == "5"
        )
        return store.build(folder)

    keeps = ("checkpoint", "step", "never written")
    with pytest.raises(ZeroDivisionError):
        store.obtain(begin, keeps=keeps)
    assert store.obtain(resume, keeps=keeps).made
    assert store.whole()


def file_in_place_of(path):
    def block(store):
        place = Path(os.path.normpath(store.root / path))
        place.parent.mkdir(parents=True)
        place.write_text("")

    return block


BLOCKED = {
    "store": file_in_place_of("."),
    "above the store": file_in_place_of(".."),
    "stage": file_in_place_of("stage"),
    "folder under construction": file_in_place_of(f"stage/{KEY}.part"),
    "lock": lambda store: (store.root / "stage" / f"{KEY}.lock").mkdir(parents=True),
}


@pytest.mark.parametrize("block", BLOCKED.values(), ids=BLOCKED)
def test_a_store_that_cannot_be_written_is_one_line(store, block):
    block(store)
    with pytest.raises(
        R2RecError, match=r"^cannot write artefact .+; free some space or set artefacts=FOLDER$"
    ):
        store.obtain()
    assert not store.builds


def test_a_store_that_vanishes_meanwhile_is_one_line_and_the_next_call_works(store):
    with pytest.raises(R2RecError, match=r"^cannot write artefact .*No such file"):
        store.obtain(lambda folder: shutil.rmtree(store.root))
    assert store.obtain().made


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "write",
    [
        lambda: pl.DataFrame({"a": range(9)}).write_parquet("/dev/full"),
        lambda: Path("/dev/full").write_text("a"),
    ],
    ids=["polars", "python"],
)
def test_a_full_disk_is_one_line(store, write):
    with pytest.raises(R2RecError, match=r"^cannot write artefact .*No space left on device; "):
        store.obtain(lambda folder: write())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_under_torch_is_one_line_too(store):
    torch = pytest.importorskip("torch")
    with pytest.raises(
        R2RecError, match=r"^cannot write artefact .*could not be written to its end; "
    ):
        store.obtain(lambda folder: torch.save({"a": torch.zeros(9)}, "/dev/full"))


def test_a_library_s_own_oserror_is_not_blamed_on_the_disk(store):
    def build(folder):
        raise OSError("no such model")

    with pytest.raises(OSError, match="no such model"):
        store.obtain(build)


def process(code, *arguments):
    head = (
        "import sys, time\nfrom pathlib import Path\nfrom r2rec.base.store import Recipe, obtain\n"
    )
    command = [sys.executable, "-c", head + code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=SOURCE, stdout=subprocess.PIPE, text=True)


def test_two_processes_build_once(store, tmp_path):
    code = """
def build(folder):
    with open(sys.argv[3], "a") as log:
        log.write("built ")
    time.sleep(0.5)
    (folder / "a").write_text("a")

recipe = Recipe("stage", sys.argv[2], {}, {}, {})
print(obtain(Path(sys.argv[1]), recipe, build, say=lambda line: None).made)
"""
    both = [process(code, store.root, KEY, tmp_path / "log") for _ in range(2)]
    assert sorted(p.communicate(timeout=60)[0] for p in both) == ["False\n", "True\n"]
    assert (tmp_path / "log").read_text() == "built "


def test_after_a_kill_the_next_run_finishes(store):
    code = """
def build(folder):
    (folder / "half").write_text("half")
    (folder / "checkpoint").mkdir()
    print("halfway", flush=True)
    time.sleep(60)

obtain(Path(sys.argv[1]), Recipe("stage", sys.argv[2], {}, {}, {}, ["checkpoint"]), build)
"""
    with process(code, store.root, KEY) as killed:
        assert killed.stdout.readline() == "halfway\n"
        killed.send_signal(signal.SIGKILL)
    assert not store.final.exists()

    def resume(folder):
        assert [p.name for p in folder.iterdir()] == ["checkpoint"]
        return store.build(folder)

    assert store.obtain(resume, keeps=["checkpoint"]).made
    assert store.whole()


def test_finding_an_artefact_writes_nothing(store):
    """So a complete store may be read-only: no lock, no new file, no time that changes."""
    store.obtain()
    for path in store.root.rglob("*.lock"):
        path.unlink()

    def state():
        return {path: path.stat().st_mtime_ns for path in [store.root, *store.root.rglob("*")]}

    before = state()
    assert not store.obtain().made
    assert state() == before


def test_an_artefact_made_from_other_parents_is_made_again(store):
    store.obtain(made_from={"sft": "aa", "split": "bb"})
    assert not store.obtain(made_from={"sft": "aa", "split": "bb"}).made
    assert store.obtain(made_from={"sft": "cc", "split": "bb"}).made
    (line,) = store.said
    assert "was made from another sft, made again" in line


def test_content_ignores_logs_but_no_result(store):
    def logged(text, result="1"):
        def build(folder):
            (folder / "log.parquet").write_text(text)
            (folder / "adapter").write_text(result)

        return store.obtain(build, force=True).content

    assert logged("12 s") == logged("13 s") != logged("12 s", result="2")


def test_a_link_in_place_of_an_unfinished_folder_is_not_followed(store, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    part = store.final.with_suffix(".part")
    part.parent.mkdir(parents=True)
    part.symlink_to(precious)
    assert store.obtain().made
    assert (precious / "file").read_text() == "mine"
    assert store.whole()


def test_waiting_for_another_run_is_said_once(store):
    store.final.parent.mkdir(parents=True)
    with store.final.with_name(f"{KEY}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        release = threading.Timer(0.5, lambda: fcntl.flock(held, fcntl.LOCK_UN))
        release.start()
        assert store.obtain().made
    assert store.said == [f"stage: another run is making {KEY}; waiting for it"]


def test_a_missing_file_of_the_user_is_not_blamed_on_the_disk(store, tmp_path):
    missing = tmp_path / "vectors.npy"
    with pytest.raises(R2RecError, match=r"^stage stage needs .*vectors\.npy: No such file"):
        store.obtain(lambda folder: missing.read_bytes())


def test_a_manifest_says_which_code_made_it(store):
    artefact = store.obtain()
    manifest = json.loads((store.final / MANIFEST).read_text())
    assert manifest["code"] == artefact.code == {"digest": "c0de"}
    assert artefact.record()["code"] == "c0de"


WRITE = """
import sys
from pathlib import Path
from r2rec.base.files import write_json
for n in range(150):
    write_json(Path(sys.argv[1]), {"who": sys.argv[2], "text": sys.argv[2] * 20000})
"""


def test_several_processes_write_one_json_file(tmp_path):
    path = tmp_path / "x.json"
    command = [sys.executable, "-c", WRITE, path]
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    writers = [subprocess.Popen([*command, who], env=env) for who in "ab"]
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            told = json.loads(path.read_text())
            assert told["text"] == told["who"] * 20000
    assert [writer.returncode for writer in writers] == [0, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
