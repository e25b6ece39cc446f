"""GGUF files: unpacked once into an artefact of `backbone`, and then a model like any other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from r2rec.base.errors import R2RecError
from r2rec.config import Model
from r2rec.config.slices import UnpackSlice
from r2rec.execution.keys import key_inputs
from r2rec.execution.plan import plan
from r2rec.execution.rules import checked_config
from r2rec.llm import chat, load, turns
from r2rec.llm.gguf import unpack
from tests.small import composed, go, typed, workspace

TINY = Path(load.__file__).parent / "weights" / "tiny_closed"
NAMES = {  # of a layer's weights in llama.cpp
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def llama_cpp_name(name: str) -> str:
    name = name.removeprefix("model.").removesuffix(".weight")
    if name == "embed_tokens":
        return "token_embd.weight"
    if name == "norm":
        return "output_norm.weight"
    _, layer, part = name.split(".", 2)
    return f"blk.{layer}.{NAMES[part]}.weight"


def rotated(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of queries and keys in the order in which llama.cpp rotates them."""
    halves = weight.reshape(heads, 2, len(weight) // heads // 2, -1)
    return halves.swapaxes(1, 2).reshape(weight.shape)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone in half precision."""
    return written(tmp_path_factory.mktemp("gguf") / "tiny-F16.gguf", "F16")


def written(path: Path, kind: str) -> Path:
    """The tiny backbone as llama.cpp's converter writes it: norms whole, matrices as `kind`."""
    gguf = pytest.importorskip("gguf", reason="needs the gguf extra")
    packing = gguf.GGMLQuantizationType[kind]
    config = json.loads((TINY / "config.json").read_text())
    heads = config["num_attention_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_vocab_size(config["vocab_size"])
    _add_tokenizer(writer, gguf)
    for name, weight in load_file(TINY / "model.safetensors").items():
        if "q_proj" in name or "k_proj" in name:
            weight = rotated(weight, heads)
        if weight.ndim == 1:
            writer.add_tensor(llama_cpp_name(name), weight.numpy())
        else:
            packed = gguf.quants.quantize(weight.numpy(), packing)
            writer.add_tensor(llama_cpp_name(name), packed, raw_dtype=packing)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, gguf: Any) -> None:
    words = AutoTokenizer.from_pretrained(TINY)
    model = json.loads((TINY / "tokenizer.json").read_text())["model"]
    added = words.added_tokens_decoder
    tokens, kinds = [], []
    for token, number in sorted(words.get_vocab().items(), key=lambda entry: entry[1]):
        kind = gguf.TokenType.NORMAL
        if number in added:
            special = added[number].special
            kind = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        tokens.append(token)
        kinds.append(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    writer.add_token_merges(merges)
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_pad_token_id(words.pad_token_id)
    writer.add_chat_template((TINY / "chat_template.jinja").read_text())


def model_of(file: Path) -> Model:
    return replace(typed("model=tiny").model, path=str(file), tiny=None)


@pytest.mark.parametrize(("kind", "error"), [("F16", 0.01), ("Q8_0", 0.2)])
def test_what_is_unpacked_is_the_model(kind: str, error: float, tmp_path: Path) -> None:
    file = written(tmp_path / f"tiny-{kind}.gguf", kind)
    tmp_path = tmp_path / "unpacked"
    tmp_path.mkdir()
    facts = unpack(UnpackSlice(str(file), "float32"), {}, workspace(tmp_path))
    original = load.weights(model_of(TINY), None)
    assert facts == {"parameters": original.num_parameters()}
    unpacked = load.weights(model_of(file), tmp_path)
    words = load.tokenizer(model_of(file), tmp_path)
    prompt = "Rank the candidates.\n- A: Heat"
    text = chat.rendered_conversation(words, prompt, reasoning=True)
    assert text == chat.rendered_conversation(AutoTokenizer.from_pretrained(TINY), prompt, True)
    ids = torch.tensor([chat.encode(words, prompt, reasoning=True)])
    off = unpacked(ids).logits - original(ids).logits
    assert off.abs().mean() < error
    end = words.convert_tokens_to_ids("<|end|>")
    assert turns.end_tokens(words, unpacked.generation_config) == [end]


def test_a_run_unpacks_once(file: Path, tmp_path: Path) -> None:
    words = (
        "model=tiny",
        f"model.path={file}",
        "sft=off",
        "rl=off",
        "evaluation.users=3",
        "generation.max_new_tokens=8",
    )
    first = go(tmp_path / "store", *words)
    assert first.stages["backbone"]["parameters"] > 0
    assert "backbone" in first.by_method()
    assert go(tmp_path / "store", *words).status()["backbone"] == "reused"


def test_the_file_enters_the_key_by_its_content(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("r2rec.execution.model_rules.find_spec", lambda name: name)

    def key_of(path: Path, content: bytes) -> dict[str, Any]:
        path.write_bytes(content)
        config = checked_config(composed("model=tiny", f"model.path={path}"))
        jobs = {job.name: job for job in plan(config)}
        assert jobs["backbone"].stage.name == "unpack"
        assert jobs["sft"].inputs["backbone"] == "backbone"
        return key_inputs(jobs["backbone"], {}, {})

    one = key_of(tmp_path / "one.gguf", b"GGUF one")
    assert key_of(tmp_path / "two.gguf", b"GGUF one") == one
    assert key_of(tmp_path / "one.gguf", b"GGUF two") != one


def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the gguf extra")
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF and then nothing")
    with pytest.raises(R2RecError, match=r"^model\.path=\S+ cannot be unpacked: ") as caught:
        unpack(UnpackSlice(str(path), "float32"), {}, workspace(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_said_before_anything_runs(tmp_path: Path, monkeypatch: Any) -> None:
    given = f"model.path={tmp_path / 'model.gguf'}"
    with pytest.raises(R2RecError, match=r"model\.gguf: No such file; give a GGUF file"):
        checked_config(composed("model=tiny", given))
    (tmp_path / "model.gguf").touch()
    monkeypatch.setattr("r2rec.execution.model_rules.find_spec", lambda name: None)
    with pytest.raises(R2RecError, match=r"model\.gguf needs pip install 'r2rec\[gguf\]'"):
        checked_config(composed("model=tiny", given))
