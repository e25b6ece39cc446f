"""LoRA adapters of others: whole and made for this backbone, or refused by name and shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from r2rec.base.errors import R2RecError
from r2rec.llm import chat, load
from tests.llm.test_soundness import edit, loaded, model_in
from tests.llm.test_soundness import tiny as tiny  # a fixture


def adapter(base: Path, folder: Path, **how: object) -> Path:
    """A LoRA adapter with weights that are not zero."""
    settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | how
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base)
    tuned = get_peft_model(model, LoraConfig(init_lora_weights=False, **settings))
    embeds = "embed_tokens" in settings["target_modules"]
    tuned.save_pretrained(folder, save_embedding_layers=embeds)
    return folder


def adapter_without(folder: Path, part: str) -> None:
    path = folder / "adapter_model.safetensors"
    kept = {name: weight for name, weight in load_file(path).items() if part not in name}
    save_file(kept, path, metadata={"format": "pt"})


def adapter_settings(folder: Path, **changes: object) -> None:
    edit(folder / "adapter_config.json", **changes)


def narrower(base: Path, folder: Path) -> Path:
    """An adapter of a backbone with narrower layers."""
    config = AutoConfig.from_pretrained(base)
    config.update({"hidden_size": 48, "head_dim": 16})
    other = folder.with_name("narrower")
    AutoModelForCausalLM.from_config(config).save_pretrained(other)
    return adapter(other, folder)


def deeper(base: Path, folder: Path) -> Path:
    config = AutoConfig.from_pretrained(base)
    config.update({"num_hidden_layers": 6})
    other = folder.with_name("deeper")
    AutoModelForCausalLM.from_config(config).save_pretrained(other)
    return adapter(other, folder)


EMBEDDINGS: dict[str, Any] = {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True}


def resized(base: Path, folder: Path) -> Path:
    """An adapter of a backbone whose vocabulary has grown: embeddings are saved with it."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(4100)
    other = folder.with_name("resized")
    model.save_pretrained(other)
    return adapter(other, folder, target_modules=["q_proj"], **EMBEDDINGS)


def changed(change: Callable[[Path], None], **how: object) -> Callable[[Path, Path], Path]:
    def make(base: Path, folder: Path) -> Path:
        change(adapter(base, folder, **how))
        return folder

    return make


REFUSED_ADAPTERS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {
    "half": (
        changed(lambda f: adapter_without(f, "layers.1.")),
        r"is not whole: 4 of 16 weights are missing from adapter_model\.safetensors, base_model\.",
    ),
    "without its saved module": (
        changed(lambda f: adapter_without(f, "mlp"), modules_to_save=["down_proj"]),
        r"does not load on .*: adapter_model\.safetensors has no 'base_model\..*down_proj",
    ),
    "more layers": (deeper, r"was made for another model: .* no place for 8 of its 24 weights"),
    "narrower": (narrower, r"size mismatch .*q_proj\.lora_A.*\[4, 48\].*\[4, 96\].*and \d+ more"),
    "larger vocabulary": (resized, r"embed_tokens.*\[4100, 96\].*\[4096, 96\]"),
    "other layers": (
        changed(lambda f: adapter_settings(f, target_modules=["c_attn"])),
        "does not load .*c_attn",
    ),
    "weights of further layers": (
        changed(lambda f: adapter_settings(f, target_modules=["q_proj"])),
        r"was made for another model: .* 8 of its 16 weights, base_model\..*v_proj",
    ),
    "a classifier": (
        changed(lambda f: adapter_settings(f, task_type="SEQ_CLS")),
        "was trained for SEQ_CLS, and not to write text",
    ),
}


@pytest.mark.parametrize("case", REFUSED_ADAPTERS)
def test_an_adapter_that_does_not_fit_is_refused_by_name(
    tiny: Path, tmp_path: Path, case: str
) -> None:
    make, message = REFUSED_ADAPTERS[case]
    folder = make(tiny, tmp_path / "adapter")
    with pytest.raises(R2RecError, match=message) as caught:
        loaded(tiny, folder)
    assert "\n" not in str(caught.value)


WHOLE: dict[str, dict[str, object]] = {
    "attention": {},
    "all layers": {"target_modules": "all-linear"},
    "saved module": {"modules_to_save": ["norm"]},
    "embeddings": {"target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True},
    "saved embeddings": EMBEDDINGS,
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
}


@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_adapter_loads(tiny: Path, tmp_path: Path, case: str) -> None:
    folder = adapter(tiny, tmp_path / "adapter", **WHOLE[case])
    words, model = loaded(tiny, folder)
    ids = torch.tensor([chat.encode(words, "Rank them.", reasoning=False)])
    bare = load.weights(model_in(tiny), None)
    assert not torch.allclose(model(ids).logits, bare(ids).logits)
