"""What a run says of itself: never a secret, always the code's revision and the versions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import r2rec
from r2rec.base import provenance
from r2rec.config import Config

SECRETS = {
    "teacher": {"api_key": "letmein", "params": {"token": "letmein", "OPENAI_API_KEY": "letmein"}},
    "logger": {
        "password": "letmein",
        "secrets": ["letmein"],
        "note": "use hf_abcdefghijklmnop here",
    },
    "dataset": {"downloads": [{"url": "https://me:letmein@example.org/x.zip"}]},
    "baseline": {"endpoint": {"key": "letmein"}},
}
PLAIN = {
    "generation": {"max_new_tokens": 32, "stop_token": None, "endpoint": {"key": "OPENAI_API_KEY"}},
    "dataset": {"root": "/data/ml_1m"},
    "seed": 3,
}
WORDS = {
    "teacher.params.api_key=letmein": "teacher.params.api_key=(hidden)",
    "+teacher.params.token=letmein": "+teacher.params.token=(hidden)",
    "++token=letmein": "++token=(hidden)",
    "logger.WANDB_API_KEY=letmein": "logger.WANDB_API_KEY=(hidden)",
    "name=https://me:letmein@example.org/x": "name=https(hidden)example.org/x",
    "teacher.params={api_key: letmein, tone: kind}": (
        "teacher.params={api_key: (hidden), tone: kind}"
    ),
    "teacher.params={tone: kind, token: 'letmein'}": "teacher.params={tone: kind, token: (hidden)}",
    "name=sk-abcdefghijklmnop": "name=(hidden)",
    # where it is, not what it is
    "baseline.endpoint.key=OPENAI_API_KEY": ("baseline.endpoint.key=OPENAI_API_KEY"),
    "baseline.endpoint.key=letmein": "baseline.endpoint.key=(hidden)",
    "baseline.endpoint.key=LETMEIN42": "baseline.endpoint.key=(hidden)",
    "teacher.params.password=LET_ME_KEY": "teacher.params.password=(hidden)",
    "generation.max_new_tokens=32": "generation.max_new_tokens=32",
    "dataset.root=/data/task-force": "dataset.root=/data/task-force",
    "evaluation.users=9": "evaluation.users=9",
}


def test_the_written_config_hides_secrets_and_keeps_the_rest(tmp_path: Path) -> None:
    cfg = OmegaConf.to_container(OmegaConf.merge(SECRETS, PLAIN))
    provenance.write_config(cfg, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    assert "letmein" not in text
    assert "abcdefghijklmnop" not in text
    written = OmegaConf.create(text)
    assert written.generation == PLAIN["generation"]
    assert (written.seed, written.dataset.root) == (3, "/data/ml_1m")
    assert written.dataset.downloads[0].url.endswith("example.org/x.zip")
    assert written.baseline.endpoint.key == "(hidden)"
    assert cfg["teacher"]["api_key"] == "letmein"  # what runs is untouched


@pytest.mark.parametrize("word", WORDS)
def test_the_command_line_is_kept_without_secrets(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["r2rec", "seed=1", word])
    collected = provenance.collect(Config(seed=1))
    assert collected["command"] == ["seed=1", WORDS[word]]
    assert json.loads(json.dumps(collected)) == collected


def test_versions_are_those_installed() -> None:
    collected = provenance.collect(Config(seed=1))
    assert collected["r2rec"] == r2rec.__version__
    assert collected["python"].split(".")[:2] == [str(n) for n in sys.version_info[:2]]
    code = "import torch, polars; print(torch.__version__, polars.__version__)"
    torch, polars = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert (collected["packages"]["torch"], collected["packages"]["polars"]) == (torch, polars)


def test_the_revision_is_that_of_this_project_alone(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    package = tmp_path / "r2rec"
    (package / "deep" / "r2rec").mkdir(parents=True)
    assert provenance.git_state(package) is None  # no repository
    git("init")
    assert provenance.git_state(package) is None  # no commit
    (package / "a.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    assert provenance.git_state(package) == {
        "revision": git("rev-parse", "HEAD"),
        "dirty": False,
    }
    (package / "a.py").write_text("2")
    assert provenance.git_state(package) == {"revision": git("rev-parse", "HEAD"), "dirty": True}
    assert (
        provenance.git_state(package / "deep" / "r2rec") is None
    )  # installed inside another project's checkout
    assert provenance.git_state(tmp_path / "nowhere") is None


def test_a_secret_of_the_environment_is_hidden_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "grey squirrel, blue door")
    monkeypatch.setenv("SHORT_KEY", "full")  # as common words are: not hidden
    cfg = OmegaConf.create({"name": "run of ${oc.env:MY_SERVICE_TOKEN}!", "prompt": "full", "n": 3})
    plain = OmegaConf.to_container(cfg, resolve=True)
    provenance.write_config(plain, tmp_path / "config.yaml")
    written = OmegaConf.load(tmp_path / "config.yaml")
    assert written == {"name": "run of (hidden)!", "prompt": "full", "n": 3}
    assert provenance.hidden("see grey squirrel, blue door") == "see (hidden)"
