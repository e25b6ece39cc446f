"""An adapter as others find it: its card, ranking with it elsewhere, its way to the Hub."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file

from r2rec.base.errors import R2RecError
from r2rec.config import Model
from r2rec.execution.rules import checked_config
from r2rec.train import card
from tests.small import Done, composed, go, typed

TOKEN = "hf_correcthorsebattery"


@pytest.fixture(scope="module")
def adapter(smoke: Done) -> Path:
    return smoke.folders()["rl"]


def front(folder: Path):
    return OmegaConf.create((folder / card.CARD).read_text().split("---\n")[1])


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_card_describes_the_adapter(smoke: Done, stage: str) -> None:
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


def write(folder: Path, stage: str, base: Model, method: str = "R2Rec") -> str:
    card.write_card(
        folder,
        stage=stage,
        title="LoRA on traces",
        method=method,
        choices={"sft": {"epochs": 2.0, "name": "1e-5"}, "seed": 3},
        inputs={"prepare": folder, "split": folder},
        facts={"loss_last": 0.5, "steps": 7, "name": "x", "notes": ["few"]},
        base=base,
        seed=3,
    )
    return (folder / card.CARD).read_text()


def test_card_of_a_hub_backbone(tmp_path: Path) -> None:
    base = typed("model=qwen3_4b").model
    text = write(tmp_path, "sft", base)
    assert front(tmp_path).base_model == "Qwen/Qwen3-4B"
    assert "\nLoRA on traces. Backbone: `Qwen/Qwen3-4B`." in text
    assert "| loss last | 0.5 |\n| steps | 7 |\n\nfew\n" in text
    assert "```yaml\nsft:\n  epochs: 2.0\n  name: 1e-5\nseed: 3\n```" in text
    assert card.about(str(tmp_path)) == {"stage": "sft", "dataset": "unknown", "seed": "3"}
    base.path = str(tmp_path)
    assert card.backbone_name(base) == "qwen3_4b"


@pytest.mark.parametrize(
    ("stage", "method", "heading", "use"),
    [
        ("rft", "R2Rec", "# R2Rec: `rft` on unknown", "sft=off rl=off until=rank"),
        ("adapt", "llara", "# llara: `adapt` on unknown", "baseline=llara until=rank"),
    ],
)
def test_card_says_how_to_rank_with_it(
    tmp_path: Path, stage: str, method: str, heading: str, use: str
) -> None:
    text = write(tmp_path, stage, typed().model, method)
    assert heading in text.split("\n")
    assert f"model.adapter=<this repository or folder> {use}" in text


OTHERS = ["", "# no front matter", "---\n- a list\n---\n", "---\nr2rec: 3\n---\n", "---\n[\n---\n"]


@pytest.mark.parametrize("text", OTHERS)
def test_foreign_card_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / card.CARD).write_text(text)
    assert card.about(str(tmp_path)) == {}


def test_card_is_read_as_plain_text(
    smoke: Done, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is somebody else's: no variable of the environment, no file and no table comes in."""
    monkeypatch.setenv("MY_PASSWORD", "planted-password-08b")
    planted = shutil.copytree(adapter, tmp_path / "planted")
    said = (
        "---\nr2rec: {stage: '${oc.env:MY_PASSWORD}', "
        'dataset: "a\\nb${oc.env:MY_PASSWORD}", seed: 0}\n---\n'
    )
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


def test_given_adapter_ranks_as_where_it_was_trained(smoke: Done, adapter: Path) -> None:
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


def test_ranking_key_has_the_weights_and_not_their_place(
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


def test_missing_adapter_is_one_line(smoke: Done, tmp_path: Path) -> None:
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


def test_nothing_is_pushed_by_default(smoke: Done, hub) -> None:
    go(smoke.folder.parent / "store", "until=rl")
    assert hub.calls == []


def test_last_adapter_is_pushed_without_the_token(smoke: Done, adapter: Path, hub) -> None:
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


def test_push_leaves_the_manifest_out(adapter: Path) -> None:
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


def test_push_is_checked_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(R2RecError, match="set the environment variable HF_TOKEN"):
        checked_config(composed("push_to_hub=me/x"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    checked_config(composed("push_to_hub=me/x"))
    for words in (["baseline=popularity"], ["sft=off", "rl=off"]):
        with pytest.raises(R2RecError, match="trains none"):
            checked_config(composed("push_to_hub=me/x", *words))
    with pytest.raises(R2RecError, match="until=rl or later"):
        checked_config(composed("push_to_hub=me/x", "until=think"))
