"""Planted secrets, looked for in everything that a run leaves: files of any kind, what is printed,
dashboards.
"""

import time
from pathlib import Path

import pytest

from tests.command import SMALL, call

KEYS = {
    "OPENAI_API_KEY": "planted-openai-9f3a61",
    "HF_TOKEN": "planted-hub-51c7e2",
    "WANDB_API_KEY": "planted-" + "7d" * 20,
    "MY_PASSWORD": "planted-password-08b",
}
URL = "dataset.downloads=[{url: 'https://me:planted-in-a-url@example.org/x.zip'}]"
NAMED = "+dataset.params.token=planted-by-name"  # no such option: the run ends in a line
VALUE = f"hardware.name=on {KEYS['MY_PASSWORD']}"
FROM_ENV = "hardware.name=on ${oc.env:MY_PASSWORD}"


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def found(folder: Path, printed: str) -> list[str]:
    """Where a planted secret is."""
    places = everything(folder) | {"printed": printed.encode()}
    return [
        name
        for name, content in places.items()
        if b"planted-" in content or b"planted-" in name.encode()
    ]


@pytest.mark.parametrize(
    "words",
    [
        (URL, VALUE, "logger=wandb"),
        (URL, VALUE, "logger=tensorboard"),
        ("-m", "seed=0,1", URL, VALUE),
        (NAMED,),
        (FROM_ENV,),
        ("-m", "seed=0,1", NAMED),
        ("dataset=ml_1m", URL.replace("https", "ftp")),
    ],
    ids=[
        "wandb",
        "tensorboard",
        "sweep",
        "refused",
        "refused environment",
        "refused sweep",
        "refused url",
    ],
)
def test_no_secret_is_left_anywhere(words: tuple[str, ...], tmp_path: Path) -> None:
    if "logger=wandb" in words:
        pytest.importorskip("wandb", reason="needs the wandb extra")
    world = (
        () if "dataset=ml_1m" in words else (*SMALL, "baseline=popularity", "evaluation.users=9")
    )
    done = call(tmp_path, *words, *world, **KEYS)
    if "logger=wandb" in words:
        time.sleep(2)  # its own process may write a moment longer
        assert [name for name in everything(tmp_path) if name.endswith(".wandb")]
    assert done.returncode == (0 if VALUE in words else 2), done.stderr
    assert len(everything(tmp_path)) > 2 or done.returncode
    assert found(tmp_path, done.stdout + done.stderr) == []
