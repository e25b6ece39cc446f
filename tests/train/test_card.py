"""An adapter as others find it: the card, ranking with it elsewhere, and the way to the Hub."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from r2rec.base.errors import R2RecError
from r2rec.pipeline import NAMES
from r2rec.run.rules import check
from r2rec.train import card
from tests.small import Done, composed, go

TOKEN = "hf_correcthorsebattery"


@pytest.fixture(scope="module")
def adapter(smoke: Done) -> Path:
    return smoke.folders()["rl"]


def front(folder: Path):
    return OmegaConf.create((folder / card.CARD).read_text().split("---\n")[1])


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_the_card_says_what_it_was_made_of(smoke: Done, stage: str) -> None:
    folder = smoke.folders()[stage]
    assert front(folder)["library_name"] == "peft"
    assert card.about(str(folder)) == {"stage": stage, "dataset": "toy_small", "seed": "0"}
    text = (folder / card.CARD).read_text()
    for part in (
        "## Data",
        "## Configuration",
        "## Training figures",
        "## Limits",
        "toy_small (60 users",
        "samples:",
    ):
        assert part in text
    assert str(smoke.folder.parent) not in text
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "tiny_scratch"
    assert "base_model" not in front(folder)  # no id that the Hub knows


def test_a_backbone_of_the_hub_is_named_by_its_id(tmp_path: Path) -> None:
    cfg = composed("model=qwen3_4b", experiment="smoke")
    card.write_card(
        tmp_path,
        "sft",
        cfg,
        {"prepare": tmp_path, "split": tmp_path},
        {"loss_last": 0.5, "notes": ["few"]},
    )
    assert front(tmp_path).base_model == "Qwen/Qwen3-4B"
    assert "| loss last | 0.5 |" in (tmp_path / card.CARD).read_text()
    cfg.model.path = str(tmp_path)
    assert card.backbone_name(cfg.model) == "qwen3_4b"


OTHERS = ["", "# no front matter", "---\n- a list\n---\n", "---\nr2rec: 3\n---\n", "---\n[\n---\n"]


@pytest.mark.parametrize("text", OTHERS)
def test_the_cards_of_others_say_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / card.CARD).write_text(text)
    assert card.about(str(tmp_path)) == {}


def test_a_card_is_read_as_text(
    smoke: Done, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is somebody else's: no variable of the environment, no file and no table comes in by it."""
    monkeypatch.setenv("MY_PASSWORD", "planted-password-08b")
    planted = shutil.copytree(adapter, tmp_path / "planted")
    said = "---\nr2rec: {stage: '${oc.env:MY_PASSWORD}', dataset: \"a\\nb${oc.env:MY_PASSWORD}\", seed: 0}\n---\n"
    (planted / card.CARD).write_text(said)
    assert card.about(str(planted))["stage"] == "${oc.env:MY_PASSWORD}"
    done = go(smoke.folder.parent / "store", f"model.adapter={planted}", "sft=off", "rl=off")
    assert done.records[-1]["variant"].startswith("${oc.env:MY_PASSWORD} on a b")
    artefacts = [Path(done.stages["rank"]["arms"]["adapter"]["path"]), done.folder]
    files = [path for folder in artefacts for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if b"planted-password" in path.read_bytes()]
    for other in ("[sft]", "{a: b}", "2026-01-01", "null", "!!python/name:os.getcwd"):
        (planted / card.CARD).write_text(
            f"---\nr2rec: {{stage: {other}, dataset: toy, seed: 0}}\n---\n"
        )
        assert card.about(str(planted)) == {}
    (planted / card.CARD).write_text(
        f"---\nr2rec: {{stage: {'x' * 999}, dataset: toy, seed: 0}}\n---\n"
    )
    assert card.about(str(planted))["stage"] == "x" * 60


def test_a_given_adapter_ranks_as_where_it_was_trained(smoke: Done, adapter: Path) -> None:
    done = go(
        smoke.folder.parent / "store",
        f"model.adapter={adapter}",
        "sft=off",
        "rl=off",
        "dataset.name=other",
    )
    record = done.records[-1]
    assert (record["method"], record["variant"], record["train_dataset"]) == (
        "adapter",
        "rl on toy_small",
        "toy_small",
    )
    assert record["dataset"] == "other"
    assert done.made() >= {"rank adapter"}
    assert not {"think", "sft", "rl"} & set(done.stages)
    mine = pl.read_parquet(done.folder / "rankings.parquet").filter(method="adapter").drop("method")
    theirs = (
        pl.read_parquet(smoke.folder / "rankings.parquet").filter(method="R2Rec").drop("method")
    )
    assert mine.equals(theirs)


def test_its_weights_name_the_ranking_and_its_place_does_not(
    smoke: Done, adapter: Path, tmp_path: Path
) -> None:
    def ranked(folder: Path) -> str:
        words = (f"model.adapter={folder}", "sft=off", "rl=off", "until=rank", "dataset.name=other")
        return go(smoke.folder.parent / "store", *words).stages["rank"]["arms"]["adapter"]["key"]

    moved = shutil.copytree(adapter, tmp_path / "moved")
    assert ranked(moved) == ranked(adapter)
    (moved / card.CARD).unlink()  # a row is then named after the folder
    assert ranked(moved) == ranked(adapter)
    weights = load_file(moved / "adapter_model.safetensors")
    save_file(
        {name: values + 1e-3 for name, values in weights.items()},
        moved / "adapter_model.safetensors",
    )
    assert ranked(moved) != ranked(adapter)


def test_no_adapter_there_is_one_line(smoke: Done, tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match=r"no adapter_model\.safetensors"):
        go(
            smoke.folder.parent / "store",
            f"model.adapter={tmp_path}",
            "sft=off",
            "rl=off",
            "until=rank",
        )


class Hub:
    """What stands in for the Hub: it keeps what it is sent."""

    calls: list = []  # noqa: RUF012
    fault: Exception | None = None

    def __init__(self, token: str) -> None:
        self.token = token

    def create_repo(self, repository: str, **options) -> None:
        if self.fault:
            raise self.fault
        self.calls.append((self.token, repository, options))

    def upload_folder(self, **what) -> None:
        self.calls.append(what)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr(Hub, "calls", [])
    monkeypatch.setattr(Hub, "fault", None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return Hub


def test_nothing_is_pushed_unasked(smoke: Done, hub) -> None:
    go(smoke.folder.parent / "store", "until=rl")
    assert hub.calls == []


def test_the_last_adapter_is_pushed_and_the_token_is_nowhere(
    smoke: Done, adapter: Path, hub
) -> None:
    done = go(smoke.folder.parent / "store", "until=rl", "push_to_hub=me/x")
    (token, repository, options), sent = hub.calls
    assert (token, repository, options["private"]) == (TOKEN, "me/x", True)
    assert (sent["repo_id"], sent["folder_path"]) == ("me/x", str(adapter))
    assert "pushed rl to https://huggingface.co/me/x" in done.lines
    assert all(TOKEN not in path.read_text() for path in done.folder.iterdir() if path.is_file())
    hub.fault = OSError(f"401 for {TOKEN}\nsecond line")
    with pytest.raises(R2RecError, match=r"push_to_hub=me/x: 401 for \*\*\* second line") as caught:
        go(smoke.folder.parent / "store", "until=rl", "push_to_hub=me/x")
    assert TOKEN not in str(caught.value)


def test_artefact_books_stay_here(adapter: Path) -> None:
    from fnmatch import fnmatch

    from r2rec.train.push import FILES

    sent = {p.name for p in adapter.iterdir() if any(fnmatch(p.name, pattern) for pattern in FILES)}
    assert {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
    } <= sent
    assert not sent & {"manifest.json", "log.parquet"}


def test_what_cannot_be_pushed_is_told_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(R2RecError, match="set the environment variable HF_TOKEN"):
        check(composed("push_to_hub=me/x"), NAMES)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check(composed("push_to_hub=me/x"), NAMES)
    for words in (["baseline=popularity"], ["sft=off", "rl=off"]):
        with pytest.raises(R2RecError, match="trains none"):
            check(composed("push_to_hub=me/x", *words), NAMES)
    with pytest.raises(R2RecError, match="until=rl or later"):
        check(composed("push_to_hub=me/x", "until=think"), NAMES)
