"""Whether a training fits into a GPU as it is, or has to recompute its activations."""

from pathlib import Path
from typing import Any

from r2rec.config import Hardware, Model

ROOM = 0.7  # share of a GPU that weights and activations may take: the estimate is rough
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # of a number


def checkpointed(hardware: Hardware, model: Model, made: Path | None, tokens: int) -> bool:
    """Whether a training drops activations and computes them again, to save memory.

    Args:
        made: The backbone trained here, where `model` has no path.
        tokens: Of all sequences that are read at once, padding included.
    """
    from r2rec.llm.load import settings_of
    from r2rec.llm.runtime import device

    if hardware.checkpointing != "auto":
        return hardware.checkpointing == "on"
    if device(hardware) != "cuda":
        return False  # a CPU is short of time, not of memory
    import torch

    memory = torch.cuda.get_device_properties(0).total_memory
    if hardware.rollouts == "vllm":
        memory = int(memory * (1 - hardware.vllm_memory))
    return not has_room(model, settings_of(model, made), tokens, memory)


def has_room(model: Model, settings: Any, tokens: int, memory: int) -> bool:
    """Whether frozen weights and the activations of a step fit into so many bytes.

    Args:
        settings: The model's config in transformers.
    """
    text = settings.get_text_config()
    needed = weight_bytes(model, text) + tokens * activation_bytes(text)
    return needed <= ROOM * memory


def weight_bytes(model: Model, text: Any) -> int:
    """Bytes of a decoder's weights: attention, feed-forward, embeddings and head."""
    width = text.hidden_size
    heads = text.num_attention_heads
    shared = getattr(text, "num_key_value_heads", None) or heads
    attention = 2 * width * width * (1 + shared / heads)
    feed_forward = 3 * width * text.intermediate_size
    tables = 1 if getattr(text, "tie_word_embeddings", False) else 2
    weights = text.num_hidden_layers * (attention + feed_forward)
    return int(BYTES[model.dtype] * (weights + tables * text.vocab_size * width))


def activation_bytes(text: Any) -> int:
    """Bytes that a token leaves for the backward pass, under autocast to 16 bits.

    A layer keeps about 8 vectors of its width and 4 of its feed-forward in 16 bits, and two norms
    in 32; the head keeps the logits of a token in 32 (after Korthikanti et al., 2022, for a gated
    feed-forward and attention that keeps no scores).
    """
    width = text.hidden_size
    layer = 2 * (8 * width + 4 * text.intermediate_size) + 4 * 2 * width
    return int(text.num_hidden_layers * layer + 4 * text.vocab_size)
