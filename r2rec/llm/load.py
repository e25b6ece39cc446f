"""Weights, tokenizer and adapter: from a local folder or the hub, safetensors only, no code of theirs run."""

import hashlib
import json
from contextlib import nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from r2rec.base.errors import R2RecError
from r2rec.base.store import checksum

ADAPTER = ("adapter_config.json", "adapter_model.safetensors")  # all that is ever read of one
WHOLE = 64 * 2**20  # bytes; of larger files, samples enter a fingerprint
END, BLOCKS, BLOCK = (
    2**20,
    256,
    2**16,
)  # bytes at both ends, and so many blocks of so many bytes between


def source_of(model: DictConfig, made: Path | None) -> str:
    """Where the weights are: the configured folder or hub id, or the backbone made here."""
    return resolve(str(model.path)) if model.path else str(made)


def resolve(path: str) -> str:
    """`r2rec:NAME` is a folder of weights that ships with this package; anything else is meant as it stands."""
    return (
        str(files("r2rec.llm").joinpath("weights", path.removeprefix("r2rec:")))
        if path.startswith("r2rec:")
        else path
    )


def tokenizer(model: DictConfig, made: Path | None) -> Any:
    """The tokenizer, padding on the left, with the chat template that training and rollouts share.

    Raises:
        R2RecError: Not found, or no chat template.
    """
    from transformers import AutoTokenizer

    loaded = _load(AutoTokenizer.from_pretrained, model, made, padding_side="left")
    if model.chat_template:
        loaded.chat_template = _template(model.chat_template)
    if not loaded.chat_template:
        raise R2RecError(
            f"model.path={model.path} has no chat template; name one with model.chat_template=FILE"
        )
    if loaded.pad_token is None:
        loaded.pad_token = loaded.eos_token
    return loaded


def weights(
    model: DictConfig, made: Path | None, adapter: Path | str | None = None, *, train: bool = False
) -> Any:
    """The causal language model, with an adapter on top where one is given.

    Args:
        adapter: Folder or hub id; None falls back to `model.adapter`, and then to the bare backbone.
        train: Keep the adapter's weights trainable.
    """
    import torch

    dtype = getattr(torch, model.dtype)
    if model.get("architecture"):
        base = imagined(model.architecture, dtype)
    else:
        base = _load(_bare, model, made, dtype=dtype, use_safetensors=True)
    adapter = adapter or model.adapter
    if adapter is None:
        if train:
            targeted(base, model.lora.targets, "model.lora")
        return base
    from peft import PeftModel
    from safetensors import SafetensorError
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    folder = adapter_folder(adapter)
    one_type = (
        is_deepspeed_zero3_enabled()
    )  # which gathers weights of one type alone; TRL's own adapters have it too
    try:
        tuned = PeftModel.from_pretrained(
            base, str(folder), is_trainable=train, autocast_adapter_dtype=not one_type
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        SafetensorError,
    ) as error:  # of any damaged file
        raise R2RecError(
            f"adapter {adapter} does not load on {source_of(model, made)}: {_line(error)}"
        ) from error
    tuned.peft_config["default"].base_model_name_or_path = source_of(
        model, made
    )  # PEFT looks there when it saves
    return tuned


def imagined(architecture: DictConfig, dtype: Any) -> Any:
    """A causal language model of this architecture with random weights: nothing to rank with, all there is to time.

    Raises:
        R2RecError: transformers knows no such architecture.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    known: Any = OmegaConf.to_container(architecture, resolve=True)
    torch.manual_seed(0)
    try:
        # on the GPU, where there is one: drawing 8 billion numbers takes minutes elsewhere
        with torch.device("cuda") if torch.cuda.is_available() else nullcontext():
            return AutoModelForCausalLM.from_config(AutoConfig.for_model(**known), dtype=dtype)
    except (TypeError, ValueError) as error:
        raise R2RecError(
            f"model.architecture describes no model of transformers: {_line(error)}"
        ) from error


def adapter_folder(adapter: Path | str) -> Path:
    """A folder with an adapter's weights in safetensors; of a hub id, its settings and these are fetched, no more.

    Raises:
        R2RecError: There are none, or its settings ask for code to be imported.
    """
    from huggingface_hub import snapshot_download

    folder = Path(adapter)
    try:
        if not folder.is_dir():
            folder = Path(snapshot_download(str(adapter), allow_patterns=list(ADAPTER)))
        if not (folder / ADAPTER[1]).is_file():
            raise R2RecError(f"adapter {adapter} has no {ADAPTER[1]}; other formats are not loaded")
        settings = json.loads((folder / ADAPTER[0]).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise R2RecError(
            f"adapter {adapter} cannot be read: {_line(error)}; give model.adapter=FOLDER"
        ) from error
    if (
        not isinstance(settings, dict) or settings.get("megatron_config") is not None
    ):  # PEFT imports what it names
        raise R2RecError(
            f"adapter {adapter}: its {ADAPTER[0]} is none, or asks for megatron; such are not loaded"
        )
    return folder


def targeted(base: Any, targets: str, where: str) -> None:
    """Refuse targets of LoRA that the model has no layer for; PEFT passes over those, as long as one is left.

    Raises:
        R2RecError: There is none by that name.
    """
    if targets == "all-linear":
        return
    weighty = {
        n
        for n, module in base.named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) > 1
    }
    unknown = [
        t for t in targets.split(",") if not any(f".{name}".endswith(f".{t}") for name in weighty)
    ]
    if unknown:
        there = sorted({name.rpartition(".")[2] for name in weighty})
        raise R2RecError(
            f"{where}.targets={targets}: no {', '.join(unknown)}; choose from all-linear, {', '.join(there)}"
        )


def _bare(where: str, **options: Any) -> Any:
    """A causal language model; transformers would follow an adapter's settings to another, in any format."""
    from transformers import AutoModelForCausalLM
    from transformers.utils.peft_utils import find_adapter_config_file

    if find_adapter_config_file(where, revision=options["revision"]) is not None:
        raise R2RecError(
            f"model.path={where} holds an adapter: name its backbone there, and it in model.adapter"
        )
    return AutoModelForCausalLM.from_pretrained(where, **options)


def _load(loader: Any, model: DictConfig, made: Path | None, **options: Any) -> Any:
    from safetensors import SafetensorError

    where = source_of(model, made)
    hint = "give model.path=FOLDER with config.json and safetensors, or check the hub id and the network"
    if Path(where).is_absolute() and not Path(where).is_dir():  # no hub id
        raise R2RecError(f"cannot load model {where}: No such file or directory; {hint}")
    try:
        return loader(where, revision=model.revision, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        raise R2RecError(f"cannot load model {where}: {_line(error)}; {hint}") from error


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _template(name: str) -> str:
    """A chat template by file name: ours, or one that TRL ships for training."""
    for package, folder in (("r2rec.llm", "templates"), ("trl", "chat_templates")):
        file = files(package).joinpath(folder, name)
        if file.is_file():
            return file.read_text()
    raise R2RecError(
        f"model.chat_template={name} is neither in r2rec/llm/templates nor among TRL's"
    )


def fingerprint(path: str | None) -> dict[str, str]:
    """Checksums of a local folder of weights and tokenizer, by file; a hub id is named by id and revision alone.

    Files above 64 MiB are known by their size, both ends and many blocks between, of which every layer has some:
    hashing 16 GB at every start would cost more than it protects.
    """
    if path is None or not Path(path := resolve(path)).is_dir():
        return {}
    return {
        file.name: checksum(file) if file.stat().st_size <= WHOLE else _sampled(file)
        for file in sorted(Path(path).iterdir())
        if file.suffix in {".json", ".safetensors", ".jinja", ".model"}
        or file.name in {"merges.txt", "vocab.txt"}
    }


def _sampled(file: Path) -> str:
    """SHA-256 of a file's size, its first and last MiB, and blocks at even distances."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        parts = [
            (0, END),
            *((size * k // BLOCKS, BLOCK) for k in range(1, BLOCKS)),
            (size - END, END),
        ]
        for place, length in parts:
            stream.seek(place)
            digest.update(stream.read(length))
    return digest.hexdigest()
