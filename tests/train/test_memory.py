"""Activations are recomputed where they would not fit into a GPU, and nowhere else."""

import pytest
import torch

from r2rec.config import Hardware
from r2rec.llm import load
from r2rec.train.memory import activation_bytes, checkpointed, has_room, weight_bytes
from tests.small import typed

GB = 10**9


def of(name):
    model = typed(f"model={name}").model
    return model, load.settings_of(model, None)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("llama_8b_random", 8030),
        ("qwen2_1_5b_random", 1777),
        ("qwen2_0_5b_random", 494),
        ("llama_135m_random", 134.5),
        ("tiny", 0.836),
    ],
)
def test_weights_are_counted(name, millions):
    model, settings = of(name)
    bytes_each = 4 if model.dtype == "float32" else 2
    assert weight_bytes(model, settings) / bytes_each == pytest.approx(millions * 1e6, rel=0.03)


@pytest.mark.parametrize(
    ("name", "tokens", "gigabytes", "expected"),
    [
        ("llama_8b_random", 8 * 1536, 80, False),
        ("llama_8b_random", 1536, 80, True),
        ("llama_8b_random", 1, 16, False),  # the weights alone
        ("qwen2_0_5b_random", 8 * 1536, 80, True),
        ("tiny", 16 * 2560, 16, True),
    ],
)
def test_large_steps_do_not_fit(name, tokens, gigabytes, expected):
    model, settings = of(name)
    assert has_room(model, settings, tokens, gigabytes * GB) == expected


def test_estimate_is_what_autograd_keeps():
    """Of a decoder in 16 bits, but for its norms; less is kept where nothing is trained."""
    settings = of("llama_135m_random")[1]
    settings.num_hidden_layers = 4
    decoder = load.imagined({**settings.to_dict(), "model_type": "llama"}, torch.bfloat16)
    ids = torch.arange(256)[None]
    kept = {}

    def keep(tensor):
        if tensor.requires_grad or tensor.grad_fn is not None or tensor.shape[:1] == (1,):
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    for parameter in decoder.parameters():
        parameter.requires_grad_(False)
    decoder.enable_input_require_grads()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        decoder(ids, use_cache=False).logits.float().logsumexp(-1).sum()
    own = {p.data_ptr() for p in decoder.parameters()}
    total = sum(size for place, size in kept.items() if place not in own)
    assert 0.4 < total / (256 * activation_bytes(settings)) < 1.6


class H100:
    total_memory = 80 * GB


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, True),
        ({"checkpointing": "off"}, False),
        ({"checkpointing": "on", "device": "cpu"}, True),
        ({"device": "cpu"}, False),
    ],
)
def test_choice_goes_before_the_estimate(words, expected, monkeypatch):
    monkeypatch.setattr("r2rec.llm.runtime.device", lambda hardware: hardware.device)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: H100)
    hardware = Hardware(**{"name": "gpu", "device": "cuda", **words})
    assert checkpointed(hardware, typed("model=llama_8b_random").model, None, 8 * 1536) == expected


def test_vllm_beside_it_leaves_less_room(monkeypatch):
    monkeypatch.setattr("r2rec.llm.runtime.device", lambda hardware: hardware.device)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: H100)
    alone = Hardware(name="gpu", device="cuda")
    beside = Hardware(name="gpu", device="cuda", rollouts="vllm", vllm_memory=0.5)
    tokens = 5 * 1024
    model = typed("model=llama_8b_random").model
    assert not checkpointed(alone, model, None, tokens)
    assert checkpointed(beside, model, None, tokens)
