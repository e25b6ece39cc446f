"""Trackers: what lands in their files is read back; they never decide over a run."""

import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from r2rec.base import tracking
from r2rec.base.errors import R2RecError
from r2rec.base.sinks import RunNames, run_names
from r2rec.execution.entry import CURVES
from tests.small import PLANTED, SECRET, composed, go, typed


def records(data: bytes) -> Iterator[bytes]:
    """LevelDB's log format behind a header of 7 bytes: blocks of 32 KiB, records in one part or in
    several.
    """
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield whole
            whole = b""


def offline(folder: Path) -> tuple[dict[str, dict[int, dict]], dict, dict]:
    """(history by stage and step, config, summary) of the one offline run in a folder.

    wandb's own process writes it, and may be a moment behind `finish`, amid a record even.
    """
    from google.protobuf.message import DecodeError

    for _ in range(100):
        try:
            found = read(folder)
        except DecodeError:
            found = ({}, {}, {})
        if "_exit" in found[2]:
            return found
        time.sleep(0.1)
    raise AssertionError(f"the run in {folder} was not finished")


def read(folder: Path) -> tuple[dict[str, dict[int, dict]], dict, dict]:
    from wandb.proto import wandb_internal_pb2 as pb

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    history, config, summary = {}, {}, {}
    for data in records(path.read_bytes()):
        record = pb.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            row = {
                item.key or ".".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }
            summary["_logged"] = summary.get("_logged", set()) | {
                key.partition(".")[0] for key in row
            }
            for key, value in row.items():
                if key == "rl/rollouts.path":
                    summary.setdefault("_tables", []).append(path.parent / "files" / value)
            for stage in CURVES:
                if f"{stage}/step" in row:
                    history.setdefault(stage, {}).setdefault(row[f"{stage}/step"], {}).update(row)
        elif kind == "run":
            config |= {u.key: json.loads(u.value_json) for u in record.run.config.update}
            config |= {"_group": record.run.run_group, "_project": record.run.project}
            config |= {"_notes": record.run.notes, "_name": record.run.display_name}
            config |= {"_tags": list(record.run.tags), "_job_type": record.run.job_type}
        elif kind == "artifact":
            summary["_files"] = {entry.path for entry in record.artifact.manifest.contents}
        elif kind == "summary":
            summary |= {
                u.key or ".".join(u.nested_key): json.loads(u.value_json)
                for u in record.summary.update
            }
        elif kind == "exit":
            summary["_exit"] = record.exit.exit_code
    return history, config, summary


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("wandb", reason="needs the wandb extra")
    return tmp_path_factory.mktemp("track") / "store"


def test_a_run_is_whole_in_its_offline_file_made_or_reused(store: Path) -> None:
    import polars as pl

    whole = []
    for _ in ("made", "reused"):
        done = go(store, "logger=wandb", PLANTED, drawn=True)
        history, config, summary = offline(done.folder)
        for stage in ("sft", "rl"):
            log = pl.read_parquet(Path(done.stages[stage]["path"]) / "log.parquet")
            rows = log.filter(pl.col("loss").is_not_null())
            assert {row["step"] for row in rows.iter_rows(named=True)} <= set(history[stage])
            for row in rows.iter_rows(named=True):
                assert history[stage][row["step"]][f"{stage}/loss"] == pytest.approx(row["loss"])
            assert summary[f"{stage}/artefact"] == done.stages[stage]["key"]
        assert any("rl/reward" in row for row in history["rl"].values())
        assert (config["seed"], config["reward"]["name"], config["_project"]) == (
            0,
            "ndcg",
            "r2rec",
        )
        assert config["_group"] == "smoke on toy_small"
        assert config["_job_type"] == "R2Rec"
        assert {"toy_small", "closed"} <= set(config["_tags"])
        assert config["_name"] == "smoke"  # nothing was changed on a command line
        assert not [key for key in summary if " " in key]
        assert {"report.html", "plots/forest.svg", "tables/results.md"} <= summary["_files"]
        assert "figures/forest" in summary["_logged"]
        assert summary["R2Rec/hr@1"] == done.by_method()["R2Rec"]["hr@1"]
        assert summary["verdict"] == config["_notes"]
        assert summary["verdict"].startswith("No winner on 8 users of toy_small")
        assert {"results", "rankings", "thoughts"} <= summary["_logged"]
        assert summary["_exit"] == 0
        assert SECRET not in "".join(
            p.read_bytes().decode("latin-1") for p in done.folder.rglob("*.wandb")
        )
        tables = [json.loads(table.read_text()) for table in summary.get("_tables", [])]
        assert bool(tables) == (not whole)  # answers are told as they come, and not stored
        for table in tables:
            assert table["columns"] == [
                "step",
                "prompt",
                "answer",
                "paid for step",
                "paid for ranking",
            ]
        whole.append({stage: set(rows) for stage, rows in history.items()})
    assert whole[0]["rl"] == whole[1]["rl"]


def test_a_run_that_fails_is_finished_and_says_so(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from r2rec.evaluate import rank

    def broken(*_):
        raise R2RecError("planted")

    monkeypatch.setattr(rank, "rank_by_scorer", broken)
    folder = store.parent / "failed"
    from r2rec.execution.entry import run_config

    with pytest.raises(R2RecError, match="planted"):
        run_config(
            composed(f"artefacts={store.parent / 'other'}", "logger=wandb", "baseline=popularity"),
            folder,
            print,
        )
    assert offline(folder)[2]["_exit"] == 1


def test_without_a_network_it_goes_on_offline(store: Path) -> None:
    """A server that is not there: a note, and the same run offline, in the time that
    `logger.patience` allows.
    """
    code = """
from tests.small import go
import sys
from pathlib import Path
words = ("logger=wandb", "logger.mode=online", "logger.patience=2", "baseline=popularity")
done = go(Path(sys.argv[1]), *words)
print("\\n".join(done.lines)); print("FOLDER", done.folder)
"""
    env = {**os.environ, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    env.pop("WANDB_MODE", None)
    said = subprocess.run(
        [sys.executable, "-c", code, str(store.parent / "online" / "store")],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert "wandb goes on offline" in said
    folder = Path(said.rpartition("FOLDER ")[2].strip())
    assert offline(folder)[2]["popularity/hr@1"] >= 0


def test_a_tracker_that_breaks_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def bad(*_):
        raise OSError("disk of the dashboard is full")

    broken = tracking.Sink("bad", bad, bad, bad, bad)
    monkeypatch.setitem(tracking.OPENERS, "wandb", lambda *_: broken)
    done = go(tmp_path / "store", "logger=wandb", "baseline=popularity")
    assert done.records
    assert [
        line
        for line in done.lines
        if "bad is left out from here on: disk of the dashboard is full" in line
    ]


def test_a_tracker_that_cannot_open_leaves_no_other_unfinished(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []
    fine = tracking.Sink(
        "fine", *([lambda *_: None] * 3), lambda well: told.append(f"finished: {well}")
    )  # type: ignore[arg-type]

    def missing(*_: object) -> tracking.Sink:
        raise R2RecError("not installed")

    openers = {"tensorboard": lambda *_: fine, "wandb": missing}
    monkeypatch.setattr(tracking, "OPENERS", openers)
    logger = typed("logger.report_to=[tensorboard,wandb]").logger
    with (
        pytest.raises(R2RecError, match="not installed"),
        tracking.trackers_open(logger, {}, tmp_path, (), print),
    ):
        pass
    assert told == ["finished: False"]


def test_tensorboard_has_every_step(store: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = go(store, "logger=tensorboard", "baseline=sasrec", "baseline.fit.epochs=2", drawn=True)
    events = EventAccumulator(str(done.folder / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("fit/loss")] == [0, 1]
    assert events.Scalars("facts/sasrec/hr@1")[0].value == pytest.approx(
        done.by_method()["sasrec"]["hr@1"]
    )
    tags = events.Tags()
    curves = {tag for tag in tags["scalars"] if not tag.startswith("facts/")}
    assert all(len(events.Scalars(tag)) == 2 for tag in curves)
    results = {tag.removeprefix("facts/") for tag in tags["scalars"]} - curves
    assert all(tag.partition("/")[0] in done.by_method() for tag in results)
    assert "_hparams_/session_start_info" in events.PluginTagToContent("hparams")
    texts = {tag.removesuffix("/text_summary") for tag in tags["tensors"]}
    assert {"verdict", "results", "config", "facts/fit", "rankings"} <= texts
    assert "figures/forest" in tags["images"]


def test_runs_are_named_by_what_was_changed(tmp_path: Path) -> None:
    config = {"name": "evidence", "dataset": {"name": "toy"}, "baseline": {"name": "none"}}
    words = ["+experiment=evidence", "seed=3", "artefacts=x", "hardware.threads=1", "~noise"]
    alone = run_names(config, tmp_path / "time", {"overrides": words, "sweep": False})
    assert alone == RunNames("seed=3 ~noise", "evidence on toy", "R2Rec", ["toy"])
    folder = tmp_path / "2026-01-01" / "4"
    sasrec = config | {"baseline": {"name": "sasrec"}}
    swept = run_names(sasrec, folder, {"overrides": ["baseline=sasrec"], "sweep": True})
    assert swept == RunNames(
        "baseline=sasrec", "evidence 2026-01-01", "baseline", ["toy", "sasrec"]
    )
    assert run_names(config, folder, {}).name == "evidence"
    long = run_names(config, folder, {"overrides": [f"seed={'9' * 500}"]})
    assert len(long.name) == 100


def test_no_tracker_costs_nothing() -> None:
    tracking.log_step("rl", 1, {"loss": 1.0})
    tracking.log_stage("rl", {}, Path("nowhere"), made=False)


def test_trackers_named_here_are_those_of_accelerate() -> None:
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    assert set(tracking.TRACKERS) == {str(name) for name in LOGGER_TYPE_TO_CLASS}


def test_a_tracker_that_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match=r"logger aim is not installed: pip install aim"):
        go(tmp_path / "store", "logger.report_to=[aim]", "until=prepare")
