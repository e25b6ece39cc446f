"""Weights and tokenizer, from a folder or the hub: safetensors only, no code of theirs is run."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream
from r2rec.config import Model
from r2rec.llm import runtime, soundness
from r2rec.llm.adapters import adapter_folder as adapter_folder
from r2rec.llm.adapters import library_reason, with_adapter
from r2rec.llm.adapters import targeted as targeted
from r2rec.llm.fingerprints import fingerprint as fingerprint
from r2rec.llm.fingerprints import resolve as resolve

if TYPE_CHECKING:
    import torch

# package -> its folder of chat templates; the first one that has the file wins
TEMPLATE_FOLDERS = {"r2rec.llm": "templates", "trl": "chat_templates"}


def source_of(model: Model, made: Path | None) -> str:
    """Where the weights are: the configured folder or hub id, or the backbone made here."""
    if model.path and not model.packed:
        return resolve(model.path)
    return str(made)


def tokenizer(model: Model, made: Path | None) -> Any:
    """The tokenizer, padding on the left, with the chat template that training and rollouts share.

    Raises:
        R2RecError: It is not found, or does not fit the model or this project (`soundness`).
    """
    from transformers import AutoTokenizer

    loaded = _load(AutoTokenizer.from_pretrained, model, made, padding_side="left")
    if model.chat_template:
        loaded.chat_template = chat_template_file(model.chat_template).read_text()
    if not loaded.chat_template:
        raise R2RecError(
            f"model.path={model.path} has no chat template; name one with model.chat_template=FILE"
        )
    settings = settings_of(model, made)
    soundness.check_settings(model, settings)
    soundness.check_tokenizer(model, loaded, settings)
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def check_model(model: Model) -> None:
    """Refuse a model that does not load, by all that can be known without reading its weights.

    Raises:
        R2RecError: What `tokenizer` refuses; a shard or an adapter's file that is missing.
    """
    upstream.silence()
    tokenizer(model, None)
    if model.path:
        soundness.check_shards(Path(source_of(model, None)))
    if model.adapter:
        adapter_folder(model.adapter)


def settings_of(model: Model, made: Path | None) -> Any:
    """The model's config in transformers."""
    from transformers import AutoConfig

    if model.architecture:
        return _imagined_config(model.architecture)
    return _load(AutoConfig.from_pretrained, model, made)


def weights(
    model: Model,
    made: Path | None,
    adapter: Path | str | None = None,
    *,
    train: bool = False,
    device: "torch.device | str" = "cuda",
) -> Any:
    """The causal language model, with an adapter on top where one is given.

    Args:
        made: The backbone trained here, where `model` has no path.
        adapter: Folder or hub id. None: `model.adapter`, and where that is None, the bare backbone.
        train: Keep the adapter's weights trainable.
        device: What will compute with it. It stays on the CPU here.

    Raises:
        R2RecError: Weights or adapter do not load, or `model.lora` targets layers that the model
            does not have.
    """
    import torch

    dtype = getattr(torch, runtime.computed_dtype(model.dtype, device))
    if model.architecture:
        base = imagined(model.architecture, dtype, model.attention)
    else:
        options = {"dtype": dtype, "attn_implementation": model.attention}
        base, report = _load(_bare, model, made, use_safetensors=True, **options)
        soundness.check_weights(source_of(model, made), report)
    adapter = adapter or model.adapter
    if adapter is not None:
        return with_adapter(base, adapter, source_of(model, made), train=train)
    if train:
        targeted(base, model.lora.targets, "model.lora")
    return base


def imagined(architecture: Mapping[str, Any], dtype: Any, attention: str | None = None) -> Any:
    """A causal language model with random weights: nothing to rank with, but all there is to time.

    Args:
        architecture: `model_type` and whatever else the model's config in transformers takes.
        attention: How attention is computed; None: transformers chooses.

    Raises:
        R2RecError: transformers knows no such architecture.
    """
    import torch
    from transformers import AutoModelForCausalLM

    config = _imagined_config(architecture)
    # on the GPU, where there is one: to draw 8 billion numbers takes minutes elsewhere
    place: Any = nullcontext()
    if torch.cuda.is_available():
        place = torch.device("cuda")
    torch.manual_seed(0)
    with place:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)


def _imagined_config(architecture: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.for_model(**architecture)
    except (TypeError, ValueError) as error:
        raise R2RecError(
            f"model.architecture describes no model of transformers: {library_reason(error)}"
        ) from error


def _bare(folder_or_id: str, **options: Any) -> Any:
    """A causal language model, and a report of which weights were found.

    A folder that holds an adapter is refused.
    """
    from transformers import AutoModelForCausalLM

    if upstream.holds_adapter(folder_or_id, options["revision"]):
        raise R2RecError(
            f"model.path={folder_or_id} holds an adapter: put its backbone in model.path, and the "
            "adapter in model.adapter"
        )
    return AutoModelForCausalLM.from_pretrained(folder_or_id, output_loading_info=True, **options)


def _load(loader: Callable[..., Any], model: Model, made: Path | None, **options: Any) -> Any:
    """What `loader` makes of the model's source; its faults in one line."""
    source = source_of(model, made)
    advice = (
        "give model.path=FOLDER with config.json and safetensors, "
        "or check the hub id and the network"
    )
    if Path(source).is_absolute() and not Path(source).is_dir():  # no hub id
        raise R2RecError(f"cannot load model {source}: No such file or directory; {advice}")
    try:
        return loader(source, revision=model.revision, trust_remote_code=False, **options)
    except R2RecError:
        raise
    except ImportError as error:  # of a quantisation, or of a tokenizer's own format
        raise R2RecError(f"cannot load model {source}: {library_reason(error)}") from error
    except Exception as error:  # whatever the library makes of files of others
        raise R2RecError(
            f"cannot load model {source}: {library_reason(error)}; {advice}"
        ) from error


def chat_template_file(name: str) -> Path:
    """The file of a chat template: ours, or one that TRL ships for training.

    Raises:
        R2RecError: There is none by that name.
    """
    for package, folder in TEMPLATE_FOLDERS.items():
        path = Path(str(files(package).joinpath(folder, name)))
        if path.is_file():
            return path
    raise R2RecError(
        f"model.chat_template={name} is neither in r2rec/llm/templates nor among TRL's"
    )
