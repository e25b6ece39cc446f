"""LoRA adapters of others: safetensors only, and no code of theirs is run."""

import json
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream

SETTINGS = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def adapter_folder(adapter: Path | str) -> Path:
    """A folder with an adapter's settings and weights. Of a hub id, these two files are fetched.

    Raises:
        R2RecError: There are none, or the settings ask for code to be imported.
    """
    from huggingface_hub import snapshot_download

    folder = Path(adapter)
    try:
        if not folder.is_dir():
            folder = Path(snapshot_download(str(adapter), allow_patterns=[SETTINGS, WEIGHTS]))
        if not (folder / WEIGHTS).is_file():
            raise R2RecError(f"adapter {adapter} has no {WEIGHTS}; other formats are not loaded")
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise R2RecError(
            f"adapter {adapter} cannot be read: {first_line(error)}; give model.adapter=FOLDER"
        ) from error
    if not isinstance(settings, dict):
        raise R2RecError(f"adapter {adapter}: {SETTINGS} is not an object with settings")
    if upstream.imports_code(settings):
        raise R2RecError(
            f"adapter {adapter}: {SETTINGS} asks for megatron, whose code would be imported; "
            "such adapters are not loaded"
        )
    return folder


def with_adapter(base: Any, adapter: Path | str, base_path: str, *, train: bool) -> Any:
    """A model with an adapter on top.

    Args:
        adapter: Folder or hub id.
        base_path: Folder or hub id of the model itself.
        train: Keep the adapter's weights trainable.

    Raises:
        R2RecError: The adapter is damaged, or made for another model.
    """
    from safetensors import SafetensorError

    folder = adapter_folder(adapter)
    try:
        return upstream.attach_adapter(base, folder, base_path, train=train)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise R2RecError(
            f"adapter {adapter} does not load on {base_path}: {first_line(error)}"
        ) from error


def targeted(base: Any, targets: str, where: str) -> None:
    """Refuse LoRA targets that the model has no layer for.

    PEFT itself ignores them, as long as one target is left.

    Args:
        targets: "all-linear", or names of layers, separated by commas.
        where: The group of the configuration that names them, for the error message.

    Raises:
        R2RecError: A target has no layer by that name.
    """
    if targets == "all-linear":
        return
    matrices = set()
    for name, module in base.named_modules():
        weight = getattr(module, "weight", None)
        if getattr(weight, "ndim", 0) > 1:
            matrices.add(name)
    unknown = []
    for target in targets.split(","):
        ending = f".{target}"
        if not any(f".{name}".endswith(ending) for name in matrices):
            unknown.append(target)
    if unknown:
        layers = sorted({name.rpartition(".")[2] for name in matrices})
        raise R2RecError(
            f"{where}.targets={targets}: no {', '.join(unknown)}; "
            f"choose from all-linear, {', '.join(layers)}"
        )


def first_line(error: Exception) -> str:
    """The first line of a library's message, at most 200 characters."""
    return str(error).strip().split("\n")[0][:200]
