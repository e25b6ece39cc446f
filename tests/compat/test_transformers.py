"""What this project leans on in transformers and PEFT: each test says what breaks if it moves."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    DynamicCache,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    ReformerModelWithLMHead,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from r2rec.compat import transformers as upstream
from r2rec.llm import load
from r2rec.llm.constrain import masked

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
    "pad_token_id": 0,
    "eos_token_id": None,
}
TINY = Path(load.__file__).parent / "weights" / "tiny_closed"
IDS = torch.tensor([[0, 0, 5, 9, 7, 3], [8, 4, 5, 9, 7, 3]])
MASK = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])


def llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**(SIZES | changes))).eval()


@pytest.fixture(scope="module")
def model() -> Any:
    return llama()


def adapted(**settings: Any) -> Any:
    """A model under an adapter that changes what it says."""
    tuned = get_peft_model(llama(), LoraConfig(r=4, target_modules="all-linear", **settings))
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return tuned.eval()


def products_of_adapter(tuned: Any) -> list[str]:
    """Names of the adapter's layers that a pass goes through."""
    passed = []
    hooks = []
    for name, part in tuned.named_modules():
        if name.endswith("lora_A.default"):
            hooks.append(part.register_forward_hook(lambda *_, name=name: passed.append(name)))
    with torch.no_grad():
        tuned(input_ids=IDS)
    for hook in hooks:
        hook.remove()
    return passed


def test_merged_adapter_says_the_same_and_is_taken_out_again():
    tuned = adapted()
    before = {
        name: (weight.data_ptr(), weight.clone()) for name, weight in tuned.named_parameters()
    }
    with torch.no_grad():
        apart = tuned(input_ids=IDS).logits
        with upstream.adapter_merged(tuned):
            assert products_of_adapter(tuned) == []
            torch.testing.assert_close(tuned(input_ids=IDS).logits, apart, rtol=1e-4, atol=1e-4)
        with tuned.disable_adapter():
            bare = tuned(input_ids=IDS).logits
        assert not torch.allclose(bare, apart, atol=1e-3)
        torch.testing.assert_close(tuned(input_ids=IDS).logits, apart, rtol=0, atol=0)
    assert len(products_of_adapter(tuned)) == 14
    for name, weight in tuned.named_parameters():
        assert weight.data_ptr() == before[name][0]
        assert torch.equal(weight, before[name][1])


def test_adapter_is_taken_out_after_an_error_too():
    tuned = adapted()
    with pytest.raises(KeyError), upstream.adapter_merged(tuned):
        raise KeyError
    assert len(products_of_adapter(tuned)) == 14


def test_adapters_with_more_than_products_stay_apart():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT says that such an adapter cannot be merged
        tuned = adapted(lora_bias=True)
    with upstream.adapter_merged(tuned):
        assert len(products_of_adapter(tuned)) == 14


def written(model: Any, **options: Any) -> Any:
    """Greedy tokens and their logits."""
    out = model.generate(
        input_ids=IDS,
        attention_mask=MASK,
        max_new_tokens=20,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        **options,
    )
    return out.sequences, torch.stack(out.logits), out.past_key_values


# Else training prints a warning per step, and the library's log lines break the progress lines.
def test_silence_hushes_the_library(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        upstream.silence()
        text = "`is_gradient_checkpointing` is deprecated and will be removed in v6"
        warnings.warn(text, FutureWarning, stacklevel=1)
        assert not caught
        warnings.warn("something else is deprecated", FutureWarning, stacklevel=1)
        assert len(caught) == 1
    logging.get_logger("transformers.models").warning("a line")
    assert not logging.is_progress_bar_enabled()
    assert capfd.readouterr().err == ""


# Else "[INFO] Running in WANDB offline mode" stands between the lines of a run.
def test_silence_covers_what_is_printed_on_import() -> None:
    code = """
from r2rec.compat import transformers
transformers.silence()
import transformers.integrations.integration_utils
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""


# Else `hf` and the rollouts of GRPO fail, or write other texts than `generate` alone.
def test_default_cache_is_what_generate_makes(model: Any) -> None:
    tokens, logits, made = written(model)
    cache = upstream.default_cache(model)
    assert type(cache) is type(made) is DynamicCache
    assert [type(a) for a in cache.layers] == [type(b) for b in made.layers]
    got = written(model, past_key_values=cache)
    assert got[2] is cache
    assert torch.equal(got[0], tokens)
    assert torch.equal(got[1], logits)


def test_default_cache_sees_through_an_adapter(model: Any) -> None:
    tuned = get_peft_model(llama(), LoraConfig(r=2, target_modules="all-linear"))
    assert type(upstream.default_cache(tuned)) is DynamicCache


# Else models with a cache of their own, or with none, are given one that they cannot use.
def test_default_cache_is_none_where_generate_makes_none() -> None:
    model = llama()
    model.generation_config.use_cache = False
    assert upstream.default_cache(model) is None
    assert not ReformerModelWithLMHead._supports_default_dynamic_cache()


# Else rows that share a prompt are read by the usual attention, which takes no split states.
def test_attention_takes_the_place_of_the_usual_one(model: Any) -> None:
    tokens, logits, _ = written(model)
    calls = []

    def attend(module: Any, *args: Any, **options: Any) -> Any:
        calls.append(module)
        return sdpa_attention_forward(module, *args, **options)

    usual = model.config._attn_implementation
    with upstream.attention(model, "watched", attend):
        assert model.config._attn_implementation == "watched"
        got = written(model)
    assert len(calls) == 20 * len(model.model.layers)
    assert torch.equal(got[0], tokens)
    assert torch.equal(got[1], logits)
    assert model.config._attn_implementation == usual
    written(model)
    assert len(calls) == 20 * len(model.model.layers)


def test_attention_is_restored_after_an_error(model: Any) -> None:
    usual = model.config._attn_implementation

    def interrupted() -> None:
        with upstream.attention(model, "unused", sdpa_attention_forward):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert model.config._attn_implementation == usual


# Else `model.path` of an adapter's folder loads whatever model its settings name, pickled or not.
def test_holds_adapter(tmp_path: Path) -> None:
    assert not upstream.holds_adapter(str(tmp_path), None)
    assert not upstream.holds_adapter(str(TINY), None)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert upstream.holds_adapter(str(tmp_path), None)


# Else an adapter's settings run code: PEFT has another way to import what they name.
def test_imports_code_is_how_peft_imports() -> None:
    assert upstream.imports_code({"megatron_config": {}})
    assert not upstream.imports_code({"megatron_config": None, "r": 8})
    assert not upstream.imports_code({})
    with pytest.raises(ModuleNotFoundError, match="megatron"):
        get_peft_model(
            llama(),
            LoraConfig(
                target_modules=["q_proj"],
                megatron_config={"a": 1},
                megatron_core="megatron.no_such",
            ),
        )
    get_peft_model(llama(), LoraConfig(target_modules=["q_proj"], megatron_core="megatron.no_such"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    settings = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(llama(), settings).save_pretrained(str(folder))
    return folder


# Else training starts from the bare backbone, or what it saves names a folder that is gone.
def test_attached_adapter_is_the_saved_one(adapter: Path, tmp_path: Path) -> None:
    base = llama()
    base.save_pretrained(str(tmp_path / "base"))
    base_path = str(tmp_path / "base")
    tuned = upstream.attach_adapter(base, adapter, base_path, train=True)
    trained = [name for name, p in tuned.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora" in name for name in trained)
    tuned.save_pretrained(str(tmp_path))
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == base_path
    before = load_file(adapter / "adapter_model.safetensors")
    after = load_file(tmp_path / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    frozen = upstream.attach_adapter(llama(), adapter, base_path, train=False)
    assert not any(p.requires_grad for p in frozen.parameters())


# Else ZeRO-3 cannot gather the weights, which it does for one type alone.
@pytest.mark.parametrize("zero3", [True, False])
def test_attached_adapter_has_the_backbones_type_under_zero3(
    adapter: Path, zero3: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "transformers.integrations.deepspeed.is_deepspeed_zero3_enabled", lambda: zero3
    )
    base = llama().to(torch.bfloat16)
    tuned = upstream.attach_adapter(base, adapter, "base", train=True)
    types = {p.dtype for name, p in tuned.named_parameters() if "lora" in name}
    if zero3:
        assert types == {torch.bfloat16}
    else:
        assert types == {torch.float32}


def paged(rule: Any = None) -> list[list[int]]:
    """Tokens written by continuous batching, after a filter where a rule is given."""
    model = llama(vocab_size=60)
    prompts = [[5, 9, 7, 3], [8, 4], [6, 6, 6]]
    settings = GenerationConfig(max_new_tokens=12, do_sample=False, pad_token_id=0, eos_token_id=1)
    manager = model.init_continuous_batching(settings, small_batches())
    if rule is not None:
        upstream.restrict_requests(manager, rule, masked)
    for index, ids in enumerate(prompts):
        arguments = {}
        if rule is not None:
            arguments = {"labels": index, "start": len(ids)}
        manager.add_request(ids, request_id=str(index), **arguments)
    assert upstream.worker_error(manager) is None
    manager.start()
    results = {}
    try:
        while len(results) < len(prompts):
            result = manager.get_result(timeout=1)
            if result is not None:
                results[result.request_id] = list(result.generated_tokens)
            assert upstream.worker_error(manager) is None
    finally:
        manager.stop(hard_stop=True)
        manager.destroy()
    return [results[str(index)] for index in range(len(prompts))]


def small_batches() -> Any:
    from transformers import ContinuousBatchingConfig

    return ContinuousBatchingConfig(
        max_requests_per_batch=2,
        page_size=32,
        num_blocks=8,
        max_batch_tokens=64,
        use_async_batching=False,
    )


# Else `paged` with generation.constrained=true writes unconstrained answers, or none.
def test_restricted_requests_take_allowed_tokens_only() -> None:
    seen = []

    def rule(tokens: list[int], labels: int) -> list[int] | None:
        seen.append((labels, len(tokens)))
        if labels == 0:
            return None
        return [10 * labels + len(tokens) % 3]

    free = paged()
    restricted = paged(rule)
    assert restricted[0] == free[0]
    assert restricted[1] == [10, 11, 12] * 4
    assert restricted[2] == [20, 21, 22] * 4
    assert {(labels, n) for labels in range(3) for n in range(12)} <= set(seen)


def test_a_rule_that_allows_everything_changes_nothing() -> None:
    assert paged(lambda tokens, labels: None) == paged()


# Else a worker that died, for example of memory, is waited for without an end.
def test_worker_error_is_what_ended_the_worker() -> None:
    def rule(tokens: list[int], labels: int) -> list[int] | None:
        raise MemoryError("too much")

    with pytest.raises(AssertionError) as caught:
        paged(rule)
    assert "MemoryError" in str(caught.value)


# Else weights of another quantisation than transformers knows would be read as plain numbers.
def test_methods_of_quantisation_are_known_by_name() -> None:
    assert upstream.quantisation(LlamaConfig()) is None
    packed = LlamaConfig(quantization_config={"quant_method": "gptq", "bits": 4})
    assert upstream.quantisation(packed) == "gptq"
    assert upstream.quantisation(LlamaConfig(quantization_config={"load_in_4bit": True})) == (
        "bitsandbytes"
    )
    for method in ("bitsandbytes", "gptq", "awq", "compressed-tensors", "hqq", "torchao"):
        assert upstream.unpacks(method), method
    assert not upstream.unpacks("nope")


# Else a whole adapter is refused, or half of one is taken.
@pytest.mark.parametrize("saved", [None, ["norm"]])
def test_weights_of_an_adapter_are_named_as_in_its_file(tmp_path: Path, saved: Any) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=saved)
    tuned = get_peft_model(llama(), config)
    tuned.save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "adapter_model.safetensors"))
    assert upstream.adapter_weights(tuned) == names
    assert "base_model.model.model.layers.0.self_attn.q_proj.weight" in upstream.base_weights(tuned)
