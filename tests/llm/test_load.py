"""Weights of others: safetensors alone, no code of theirs, no pickle; faults in one line."""

import json
import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from r2rec.base.errors import R2RecError
from r2rec.config import Model
from r2rec.llm import load
from tests.small import Done, go, typed

Parts = tuple[Path, Path]  # folders of a backbone and an adapter
REACHED: list[str] = []


class Trap:
    """Unpickling this is noticed."""

    def __reduce__(self):
        return REACHED.append, ("unpickled",)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with an SFT adapter."""
    return go(tmp_path_factory.mktemp("load") / "store", "until=sft")


@pytest.fixture
def parts(trained: Done, tmp_path: Path) -> Parts:
    """Copies of a backbone and an adapter, to be tampered with."""
    for stage in ("backbone", "sft"):
        shutil.copytree(trained.stages[stage]["path"], tmp_path / stage)
    REACHED.clear()
    return tmp_path / "backbone", tmp_path / "sft"


def model_in(folder: Path, **changes: object) -> Model:
    return replace(typed().model, path=str(folder), tiny=None, **changes)


def weights(base: Path, adapter: Path | None = None) -> Any:
    return load.weights(model_in(base), None, adapter)


@pytest.mark.parametrize(
    ("device", "has_units", "computed"),
    [("cpu", False, torch.float32), ("cpu", True, torch.bfloat16), ("cuda", False, torch.bfloat16)],
)
def test_a_cpu_without_units_for_bfloat16_computes_in_float32(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, device: str, has_units: bool, computed: Any
):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_units)
    model = model_in(parts[0], dtype="bfloat16")
    load.weights(model, None).save_pretrained(parts[0])
    loaded = load.weights(model, None, device=device)
    assert {weight.dtype for weight in loaded.parameters()} == {computed}
    stored = load.weights(model, None)
    for weight, as_stored in zip(loaded.parameters(), stored.parameters(), strict=True):
        assert torch.equal(weight, as_stored.to(computed))  # no number is lost


def test_attention_is_computed_as_asked(parts: Parts):
    for attention in ("eager", "sdpa"):
        loaded = load.weights(model_in(parts[0], attention=attention), None)
        assert loaded.config._attn_implementation == attention
    with pytest.raises(R2RecError, match="cannot load model"):
        load.weights(model_in(parts[0], attention="nonsense"), None)


def only_pickled(folder: Path, name: str) -> None:
    for path in folder.glob("*.safetensors"):
        path.unlink()
    with (folder / name).open("wb") as file:
        pickle.dump({"weight": Trap()}, file)


def settings(folder: Path, **changes: object) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def of_another(base: Path, adapter: Path) -> None:
    """A backbone's folder that names an adapter's settings as well."""
    shutil.copy(adapter / "adapter_config.json", base)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


TAMPERED = {
    "pickled backbone": (lambda b, a: only_pickled(b, "pytorch_model.bin"), "cannot load model"),
    "pickled adapter": (
        lambda b, a: only_pickled(a, "adapter_model.bin"),
        "no adapter_model.safetensors",
    ),
    "pickle named safetensors": (
        lambda b, a: only_pickled(a, "adapter_model.safetensors"),
        "does not load",
    ),
    "adapter in the place of a model": (of_another, "holds an adapter"),
    "settings that import": (
        lambda b, a: settings(a, megatron_config={}, megatron_core="antigravity"),
        "asks for megatron",
    ),
    "settings of no kind": (lambda b, a: settings(a, peft_type="NOPE"), "does not load"),
    "settings of another shape": (lambda b, a: settings(a, r=3), "does not load"),
    "no settings": (lambda b, a: (a / "adapter_config.json").unlink(), "cannot be read"),
    "settings that are a list": (
        lambda b, a: (a / "adapter_config.json").write_text("[]"),
        "is not an object with settings",
    ),
    "adapter cut off": (lambda b, a: cut(a / "adapter_model.safetensors"), "does not load"),
    "backbone cut off": (lambda b, a: cut(b / "model.safetensors"), "cannot load model"),
}


@pytest.mark.parametrize("tampered", TAMPERED)
def test_tampered_weights_are_refused(parts: Parts, tampered: str) -> None:
    change, message = TAMPERED[tampered]
    change(*parts)
    with pytest.raises(R2RecError, match=message) as caught:
        weights(*parts)
    assert "\n" not in str(caught.value)
    assert not REACHED
    assert "antigravity" not in sys.modules


def test_a_fair_folder_loads(parts: Parts) -> None:
    model = weights(*parts)
    assert sum(p.numel() for name, p in model.named_parameters() if "lora" in name) > 0


def test_missing_folder_is_no_hub_id(parts: Parts) -> None:
    base, _ = parts
    shutil.rmtree(base)
    message = r"cannot load model .*: No such file or directory; give model\.path=FOLDER"
    with pytest.raises(R2RecError, match=message):
        weights(base)


def test_code_beside_the_weights_is_not_run(parts: Parts) -> None:
    base, _ = parts
    (base / "theirs.py").write_text(
        "import pathlib; pathlib.Path('reached').touch()\nclass Model: ...\n"
    )
    settings = json.loads((base / "config.json").read_text())
    settings["auto_map"] = {"AutoModelForCausalLM": "theirs.Model", "AutoTokenizer": "theirs.Model"}
    (base / "config.json").write_text(json.dumps(settings))
    weights(base)
    load.tokenizer(model_in(base), None)
    assert not Path("reached").exists()
    assert not [name for name in sys.modules if name.endswith("theirs")]
    settings["model_type"] = "theirs"  # known nowhere else: nothing is left but a line
    (base / "config.json").write_text(json.dumps(settings))
    with pytest.raises(R2RecError, match="cannot load model"):
        weights(base)


LORA = {
    "model.lora.targets=foo": (
        "until=sft",
        "model.lora.targets=foo: no foo; choose from all-linear, .*q_proj",
    ),
    "model.lora.targets='q_proj,norm'": ("until=sft", "no norm; choose from"),
    "model.lora.targets=''": ("until=sft", "choose from"),
    "baseline.adapt.lora.targets=foo": (
        "baseline=tallrec",
        "baseline.adapt.lora.targets=foo: no foo",
    ),
}


@pytest.mark.parametrize("override", LORA)
def test_unknown_lora_targets_are_refused(trained: Done, override: str) -> None:
    with pytest.raises(R2RecError, match=LORA[override][1]) as caught:
        go(trained.folder.parent / "store", override, LORA[override][0])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "targets", ["all-linear", "q_proj,v_proj", "embed_tokens", "self_attn.o_proj"]
)
def test_known_lora_targets_are_accepted(parts: Parts, targets: str) -> None:
    load.targeted(weights(parts[0]), targets, "model.lora")


def test_missing_start_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(R2RecError, match="cannot load model /nonexistent") as caught:
        go(tmp_path / "store", "model.tiny.start=/nonexistent", "until=backbone")
    assert "\n" not in str(caught.value)


def test_fingerprint_reads_a_tokenizers_text_files(tmp_path: Path) -> None:
    for name in ("merges.txt", "vocab.txt"):
        (tmp_path / name).write_text("a b")
    before = load.fingerprint(str(tmp_path))
    (tmp_path / "README.txt").write_text("not read by anyone")
    assert load.fingerprint(str(tmp_path)) == before
    for name in ("merges.txt", "vocab.txt"):
        (tmp_path / name).write_text("a c")
        assert load.fingerprint(str(tmp_path))[name] != before[name]


def test_fingerprint_tells_one_changed_layer(tmp_path: Path) -> None:
    """Two fine-tunes of one model have the same size, head and end."""
    file, size = tmp_path / "model.safetensors", 100 * 2**20
    with file.open("wb") as stream:
        stream.truncate(size)  # sparse: nothing is written
    fingerprints = {load.fingerprint(str(tmp_path))[file.name]}
    for layer in range(1, 31):  # of 32
        with file.open("r+b") as stream:
            stream.seek(size * layer // 32)
            stream.write(b"\1" * (size // 32))
        fingerprints.add(load.fingerprint(str(tmp_path))[file.name])
        with file.open("r+b") as stream:
            stream.seek(size * layer // 32)
            stream.write(b"\0" * (size // 32))
    assert len(fingerprints) == 31


@pytest.mark.slow
def test_a_whole_run_unpickles_nothing(trained: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python tells of every class that a pickle names; torch is asked for weights alone."""
    heard, listening, asked = [], [True], []
    sys.addaudithook(
        lambda event, args: (
            heard.append(args) if event == "pickle.find_class" and listening else None
        )
    )
    plain = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *a, **k: asked.append(k.get("weights_only")) or plain(*a, **k)
    )
    try:
        pickle.loads(pickle.dumps(Path("x")))
        assert heard.pop()[0].startswith("pathlib")
        heard.clear()
        done = go(
            trained.folder.parent / "store",
            "force=[sft]",
            "baseline@fusion=sasrec",
            "fusion.fit.epochs=2",
        )
    finally:
        listening.clear()
    assert done.records
    assert heard == []
    assert all(asked)
