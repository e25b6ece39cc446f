"""What a configuration may read from the environment: addresses, and nothing that is told."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from r2rec.base.errors import R2RecError
from r2rec.results.recorded import config_of
from tests.command import Here
from tests.small import composed

REFUSED = [
    ("name", "${oc.env:PLANTED}"),
    ("name", "a ${oc.env:PLANTED} b"),
    ("name", "${oc.env:${oc.decode:PLANTED}}"),
    ("name", "${oc.decode:${oc.env:PLANTED}}"),
    ("baseline.name", "${oc.env:PLANTED,other}"),
    ("hardware.name", "${oc.env:PLANTED}"),
    ("dataset.words.verb", "${oc.env:PLANTED}"),
    ("dataset.category", "${oc.env:PLANTED}"),
    ("generation.endpoint.model", "${oc.env:PLANTED}"),
    ("artefacts", "${oc.env:PLANTED_TOKEN}"),
    ("dataset.root", "/x/${oc.env:PLANTED_API_KEY}"),
    ("baseline.endpoint.base_url", "https://${oc.env:PLANTED_SECRET}@x/v1"),
]


def setting(key: str, value: str) -> list[str]:
    quoted = value.replace("'", "\\'")
    group = ["baseline=gpt_4o_mini"] if "baseline.endpoint" in key else []
    group += ["generation=openai"] if "generation.endpoint" in key else []
    return [*group, f"{key}='{quoted}'"]


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_what_is_printed_cannot_come_from_the_environment(
    key: str, value: str, call_here: Here, tmp_path: Path
) -> None:
    planted = dict.fromkeys(("PLANTED", "PLANTED_TOKEN", "PLANTED_API_KEY"), "planted-1234")
    for more in ([], ["--cfg", "job", "--resolve"]):
        done = call_here(tmp_path, *setting(key, value), *more, **planted)
        printed = done.stdout + done.stderr
        assert "planted-1234" not in printed
        assert done.returncode != 0, printed
        assert printed.startswith(f"error: {key} "), printed
        assert printed.count("\n") == 1, printed
    assert list(tmp_path.rglob("config.yaml")) == []


def test_folders_and_addresses_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/there")
    words = ["baseline=gpt_4o_mini", "+roots.ml_1m='${oc.env:PLACE}/ml'"]
    for key in ("artefacts", "dataset.root", "model.path", "baseline.endpoint.base_url"):
        words.append(f"{key}='${{oc.env:PLACE}}/x'")
    cfg = composed(*words)
    assert cfg.artefacts == cfg.dataset.root == cfg.model.path == "/there/x"
    assert cfg.baseline.endpoint.base_url == "/there/x"
    assert cfg.roots.ml_1m == "/there/ml"


def test_other_programs_read_theirs_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    composed()  # whatever has been composed here
    monkeypatch.setenv("MY_TOKEN", "abc")
    cfg = OmegaConf.create({"name": "${oc.env:MY_TOKEN}", "other": "${oc.env:NOPE,5}"})
    assert (cfg.name, cfg.other) == ("abc", "5")


def test_what_is_not_set_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLACE", raising=False)
    cfg = composed("dataset.root='${oc.env:PLACE}'", "model.path='${oc.env:PLACE,null}'")
    with pytest.raises(Exception, match=r"dataset.root asks for .* PLACE, which is not set"):
        assert cfg.dataset.root
    assert cfg.model.path is None


def test_a_strangers_run_folder_tells_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLANTED", "planted-1234")
    (tmp_path / "config.yaml").write_text("name: ${oc.env:PLANTED}\n")
    with pytest.raises(R2RecError, match="cannot be read from the environment") as caught:
        config_of(tmp_path)
    assert "planted-1234" not in str(caught.value)
