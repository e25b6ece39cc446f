"""Every private or version-dependent part of transformers and PEFT that this project relies on.

Importing this module changes nothing. Each function says which upstream part it leans on, and
tests/compat/test_transformers.py fails where that part moves.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

TokenRule = Callable[[list[int], int], list[int] | None]
TokenMask = Callable[["Tensor", Sequence[list[int] | None]], "Tensor"]


def silence() -> None:
    """Turn off log lines, progress bars, one known warning and what transformers prints on import.

    Upstream: `transformers.utils.logging`; `integration_utils`, which prints where WANDB_MODE is
    offline as soon as a trainer is imported; and the name `gradient_checkpointing`, which TRL 1.16
    and PEFT still call although transformers 5.2x deprecates it with a FutureWarning.
    """
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    logging.disable_default_handler()
    with redirect_stdout(StringIO()):
        import transformers.integrations.integration_utils  # noqa: F401
    warnings.filterwarnings(
        "ignore",
        message=".*gradient_checkpointing.* is deprecated",
        category=FutureWarning,
    )


def default_cache(model: Any) -> Any | None:
    """The empty key-value cache that `model.generate` would make; None where it would make none.

    Upstream: `GenerationMixin._prepare_cache_for_generation` makes `DynamicCache(config=...)`,
    unless `generation_config.use_cache` is False or the private `_supports_default_dynamic_cache`
    says no.
    """
    from transformers import DynamicCache

    if model.generation_config.use_cache is False:
        return None
    if not model._supports_default_dynamic_cache():
        return None
    return DynamicCache(config=model.config.get_text_config(decoder=True))


def chooses_plainly(model: Any) -> bool:
    """Whether `model.generate` chooses tokens by their logits alone, as far as its config says.

    Upstream: `GenerationMixin._get_logits_processor` makes a processor of each of these settings,
    which some published models have.
    """
    config = model.generation_config
    if (getattr(config, "repetition_penalty", None) or 1.0) != 1.0:
        return False
    names = [
        "bad_words_ids",
        "begin_suppress_tokens",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "guidance_scale",
        "min_length",
        "min_new_tokens",
        "no_repeat_ngram_size",
        "sequence_bias",
        "suppress_tokens",
        "watermarking_config",
    ]
    return not any(getattr(config, name, None) for name in names)


@contextmanager
def attention(model: Any, name: str, attend: Callable[..., Any]) -> Iterator[None]:
    """Let the decoder of `model` use the attention function `attend` until the end of the block.

    Upstream: `AttentionInterface` and `AttentionMaskInterface` look functions up by name, and each
    attention layer reads that name from the private `config._attn_implementation` at every call.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, sdpa_mask)
    config = model.config.get_text_config(decoder=True)
    usual = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = usual


def holds_adapter(folder_or_id: str, revision: str | None) -> bool:
    """Whether a folder, or a repository of the hub, has the settings of an adapter.

    `from_pretrained` would follow such settings to another model, in any format.

    Upstream: `transformers.utils.peft_utils.find_adapter_config_file`, the function it asks itself.
    """
    from transformers.utils.peft_utils import find_adapter_config_file

    return find_adapter_config_file(folder_or_id, revision=revision) is not None


def imports_code(adapter_settings: Mapping[str, Any]) -> bool:
    """Whether PEFT would import a module that these adapter settings name.

    Upstream: `peft.tuners.lora` imports what `megatron_core` names where `megatron_config` is set;
    recent versions do so only below the package `megatron`.
    """
    return adapter_settings.get("megatron_config") is not None


def attach_adapter(base: Any, folder: Path, base_path: str, *, train: bool) -> Any:
    """`base` with the adapter in `folder` on top.

    Under ZeRO-3, which gathers weights of a single type only, it takes the backbone's type.

    Args:
        base_path: Folder or hub id of the backbone, which PEFT writes into what it saves.
        train: Keep the adapter's weights trainable.

    Upstream: `is_deepspeed_zero3_enabled`. PEFT calls the adapter "default", and when it saves,
    reads `base_model_name_or_path` from its settings.
    """
    from peft import PeftModel
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    tuned = PeftModel.from_pretrained(
        base,
        str(folder),
        is_trainable=train,
        autocast_adapter_dtype=not is_deepspeed_zero3_enabled(),
    )
    tuned.peft_config["default"].base_model_name_or_path = base_path
    return tuned


@contextmanager
def adapter_merged(model: Any) -> Iterator[None]:
    """Within the block, a model's LoRA adapter is part of its weights, so that a pass reads less.

    Afterwards the very same weights are back. A second copy of the adapted weights takes memory
    meanwhile. Adapters that are more than LoRA on plain weights stay as they are.

    Upstream: `merge(safe_merge=True)` of a LoRA layer puts a new tensor in the place of its
    weights, and `merged_adapters` tells its `forward` so.
    """
    from peft.tuners.lora import Linear
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: list[Any] = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
    if not all(type(layer) is Linear and not any(layer.lora_bias.values()) for layer in layers):
        layers = []
    weights = [layer.base_layer.weight.data for layer in layers]
    try:
        for layer in layers:
            layer.merge(safe_merge=True)
        yield
    finally:
        for layer, weight in zip(layers, weights, strict=True):
            layer.base_layer.weight.data = weight
            layer.merged_adapters.clear()


def quantisation(settings: Any) -> str | None:
    """The method by which a model's weights are quantised; None where they are not.

    Upstream: `quantization_config` of a config, with `quant_method`; old files have flags of
    bitsandbytes alone.
    """
    quantised = getattr(settings, "quantization_config", None)
    if not quantised:
        return None
    plain = quantised if isinstance(quantised, dict) else quantised.to_dict()
    return str(plain.get("quant_method") or "bitsandbytes")


def unpacks(method: str) -> bool:
    """Whether transformers knows a method of quantisation; it would skip another silently.

    Upstream: `transformers.quantizers.auto.AUTO_QUANTIZER_MAPPING`, where bitsandbytes has two
    entries.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    return method == "bitsandbytes" or method in AUTO_QUANTIZER_MAPPING


def adapter_weights(tuned: Any) -> set[str]:
    """The names that the weights of a model's adapter have in a file.

    Upstream: `get_peft_model_state_dict` names them as PEFT saves them.
    """
    from peft import get_peft_model_state_dict

    return set(get_peft_model_state_dict(tuned, save_embedding_layers=False))


def base_weights(tuned: Any) -> set[str]:
    """The names that the weights of the model under an adapter have in the adapter's file.

    PEFT saves embeddings there where a vocabulary has grown.

    Upstream: PEFT puts "base_model.model." before the names, and ".base_layer" into those of
    weights that are adapted, which it leaves out again in some files.
    """
    names = set(tuned.state_dict())
    return names | {name.replace(".base_layer.", ".") for name in names}


class RequestFilter:
    """A processor of continuous batching that leaves each request the tokens that a rule allows.

    Requests pass two arguments: `labels`, which goes to the rule, and `start`, the length of their
    prompt.
    """

    supported_kwargs = {"labels": int, "start": int}  # noqa: RUF012 (upstream reads it so)
    ignored_kwargs = ()

    def __init__(self, rule: TokenRule, mask: TokenMask) -> None:
        self.rule = rule
        self.mask = mask
        self.allowed: list[list[int] | None] = []  # of each request with a new token

    def fill_defaults(self, int32_tensor: "Tensor") -> None:
        """Set the arguments of rows without a request."""
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> "Tensor":
        """Apply the rule to each request; called before each step."""
        import torch

        self.allowed = []
        for request in requests_with_new_token:
            arguments = request.state.logit_processor_kwargs
            tokens = request.state.initial_tokens + request.state.generated_tokens
            self.allowed.append(self.rule(tokens[arguments["start"] :], arguments["labels"]))
        return torch.arange(len(self.allowed), dtype=torch.int32)

    def __call__(self, scores: "Tensor", tensor_arg: "Tensor") -> "Tensor":
        """Scores [rows, vocabulary], masked; rows without a request are left alone."""
        others: list[list[int] | None] = [None] * (len(scores) - len(self.allowed))
        return self.mask(scores, self.allowed + others)


def restrict_requests(manager: Any, rule: TokenRule, mask: TokenMask) -> None:
    """Put a `RequestFilter` before all other processors of a continuous-batching manager.

    Call it before the manager starts. Its requests then take the arguments `labels` and `start`.

    Args:
        rule: (tokens written so far, labels) -> the tokens that may follow; None: any.
        mask: (scores [rows, vocabulary], allowed tokens of each row) -> masked scores.

    Upstream: `ContinuousBatchingManager.logit_processor` has no method to add a processor. Its
    fields `logits_processor`, `tensors_required` and `do_processing`, and the private
    `_retrieve_processors_kwargs`, are used as its constructor uses them. `RequestFilter` is
    registered as a `ContinuousBatchingLogitsProcessor`, an abstract base class.
    """
    from transformers.generation.continuous_batching.cb_logits_processors import (
        ContinuousBatchingLogitsProcessor,
    )

    ContinuousBatchingLogitsProcessor.register(RequestFilter)
    processors = manager.logit_processor
    processors.logits_processor.insert(0, RequestFilter(rule, mask))
    processors.tensors_required += 1
    processors.do_processing = True
    processors._retrieve_processors_kwargs()


def worker_error(manager: Any) -> BaseException | None:
    """What ended the worker thread of a continuous-batching manager; None while it is sound.

    Upstream: `ContinuousBatchingManager.background_thread_status.fatal_error`.
    """
    error: BaseException | None = manager.background_thread_status.fatal_error
    return error
