"""The words before Hydra's: what they print, and how they end."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from r2rec.__main__ import main
from r2rec.base import signals
from r2rec.base.files import write_json
from r2rec.base.store import MANIFEST
from r2rec.commands import COMMANDS
from r2rec.results import prune
from r2rec.results.find import folders
from tests.small import Done

WIDTH = 80


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """(status, standard output, standard error) of `r2rec WORDS`, in this process."""
    monkeypatch.setattr(signals, "install", lambda: None)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["r2rec", *map(str, words)])
        status = 0
        try:
            main()
        except SystemExit as error:
            status = int(error.code or 0)
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def outputs(smoke: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one run in outputs/; it is the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(smoke.folder, tmp_path / "outputs" / "smoke" / "2026-01-01_00-00-00")
    return tmp_path / "outputs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_leaves_nothing(name, call, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    status, out, err = call(name, "--help")
    assert (status, err) == (0, "")
    assert f"usage: r2rec {name}" in out
    assert max(map(len, out.splitlines())) <= WIDTH + 10
    assert list(tmp_path.iterdir()) == []


MISTAKES = {
    "runs --metric precision": "no metric precision; there are hr@K, ndcg@K and mrr",
    "show last --metrics hr1": r"no metric hr1 \(did you mean hr@1\?\)",
    "compare last --metric ncdg@3": r"no metric ncdg@3 \(did you mean ndcg@3\?\)",
    "show": "required: RUN; `r2rec show --help`",
    "show last --user nobody": "nobody is not in the data, nor ranked for; 8 users were, such as 4",
    "show last --user 4 --method x": "no method x; there are random, popularity",
    "show smoke/nope": "no run smoke/nope: `r2rec runs` lists those in outputs",
    "explore": "required: RUN; `r2rec explore --help`",
    "explore last --port 70000": "--port 70000: ports go from 1 to 65535",
    "explore last nope": "no run nope: `r2rec runs` lists those in outputs",
    "runs --nope": "unrecognized arguments: --nope",
    "compare last last --method nope": "no method nope",
    "prune --store nowhere": "nowhere is no store",
    "prune --store store --runs nowhere --delete": "there is no run in nowhere",
    "list basline": "no group basline .did you mean baseline",
    "shwo": r"unknown command shwo \(did you mean show",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(words, call, outputs) -> None:  # type: ignore[no-untyped-def]
    (outputs.parent / "store").mkdir()
    status, out, err = call(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(MISTAKES[words], err), err


def test_runs_are_listed_with_what_they_were_and_gave(call, outputs) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = call("runs")
    assert status == 0
    assert out.startswith("outputs/smoke/2026-01-01_00-00-00  01 Jan 00:00  toy_small")
    assert "HR@1: random 0." in out
    assert max(map(len, out.splitlines())) <= WIDTH
    (row,) = json.loads(call("runs", "TOY_small", "r2rec", "--finished", "--json")[1])
    assert (row["state"], row["datasets"], row["jobs"]) == ("finished", ["toy_small"], 0)
    assert "NDCG@2: random 0." in call("runs", "--metric", "ndcg@2")[1]
    assert call("runs", "ml_1m")[1] == "no such run in outputs\n"
    assert json.loads(call("runs", "--last", "0", "--json")[1]) == []


def test_a_user_is_shown_by_raw_id_and_by_index(call, outputs, smoke) -> None:  # type: ignore[no-untyped-def]
    number = smoke.table("rank", "rankings")["user"][0]
    raw_id = smoke.table("prepare", "users")["raw_id"][number]
    status, by_id, _ = call("show", "last", "--user", raw_id)
    assert status == 0
    assert by_id == call("show", "last", "--index", number)[1]
    assert by_id.startswith(f"user {raw_id} (number {number} ")
    plain = json.loads(call("show", "last", "--user", raw_id, "--json")[1])
    assert (plain["user"], plain["raw_id"]) == (number, raw_id)
    assert call("show", "last", "--user", raw_id, "--only", "prompt")[1].endswith(
        plain["prompt"] + "\n"
    )
    assert len(call("show", "last")[1].splitlines()) > len(smoke.records)
    assert "MRR   HR@2" in call("show", "last", "--metrics", "mrr,hr@2")[1]


def test_a_comparison_fits_a_terminal_or_is_json(call, outputs, smoke) -> None:  # type: ignore[no-untyped-def]
    status, out, _ = call("compare", "last", "--method", "R2Rec", "--method", "random")
    assert status == 0
    assert "R2Rec sft+rl, toy_small, 1 seed" in out
    (row,) = json.loads(
        call("compare", "last", "--json", "--method", "R2Rec", "--method", "random")[1]
    )
    hr = {record["method"]: record["hr@1"] for record in smoke.records}
    assert row["difference"] == pytest.approx(hr["R2Rec"] - hr["random"])
    assert "MRR" in call("compare", "last", "--metric", "mrr")[1]
    assert max(map(len, call("compare", "last")[1].splitlines())) <= WIDTH


def test_prune_removes_what_no_run_needs_and_asks_first(call, outputs, smoke, store) -> None:  # type: ignore[no-untyped-def]
    copy = Path(shutil.copytree(store, outputs / "artefacts"))
    (run,) = folders(outputs)
    manifest = json.loads((run / MANIFEST).read_text())
    used = set()
    manifest["stages"].pop("report")
    for stage in manifest["stages"].values():
        for part in (stage, *stage.get("arms", {}).values()):
            part["path"] = part["path"].replace(str(store), "outputs/artefacts")
            used.add(Path(part["path"]).resolve())
    write_json(run / MANIFEST, manifest)
    shutil.copytree(copy / "prepare", copy / "prepare_of_old")
    part = copy / "sft" / "0123456789abcdef.part" / "checkpoints"
    part.mkdir(parents=True)
    (copy / "downloads" / "x").mkdir(parents=True)
    before = {path for path in copy.rglob("*") if path.is_file()}

    status, out, _ = call("prune")
    assert status == 0
    assert "prepare_of_old" in out
    assert {path for path in copy.rglob("*") if path.is_file()} == before
    found = prune.stored(copy, [outputs])
    assert {one.path.resolve() for one in found if one.needed} == used

    status, out, _ = call("prune", "--delete")
    assert out.startswith("removed ")
    left = prune.stored(copy, [outputs])
    assert {one.path.resolve() for one in left if not one.unfinished} == used
    assert part.exists()
    assert (copy / "downloads" / "x").exists()
    assert call("prune", "--delete", "--unfinished")[0] == 0
    assert not part.exists()


def test_groups_have_members_with_a_line_on_each(call) -> None:  # type: ignore[no-untyped-def]
    assert "baseline" in call("list")[1].splitlines()
    _, out, _ = call("list", "baselines")
    assert "SASRec (Kang & McAuley, 2018)" in out
    assert max(map(len, out.splitlines())) <= WIDTH


def test_help_names_every_command(call) -> None:  # type: ignore[no-untyped-def]
    out = call("help")[1]
    assert all(f"r2rec {command.usage}" in out for command in COMMANDS.values())
