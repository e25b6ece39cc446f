"""LoRA adapters of others: safetensors only, and no code of theirs is run."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream

SETTINGS = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
MAX_REASON = 300  # characters of a line of a library's message
MAX_SHOWN = 3  # weights that a message names


def adapter_folder(adapter: Path | str) -> Path:
    """A folder with an adapter's settings and weights. Of a hub id, these two files are fetched.

    Raises:
        R2RecError: There are none, they are of another task, or ask for code to be imported.
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
            f"adapter {adapter} cannot be read: {library_reason(error)}; give model.adapter=FOLDER"
        ) from error
    if not isinstance(settings, dict):
        raise R2RecError(f"adapter {adapter}: {SETTINGS} is not an object with settings")
    if settings.get("task_type") not in (None, "CAUSAL_LM"):
        raise R2RecError(
            f"adapter {adapter} was trained for {settings['task_type']}, and not to write text"
        )
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
        R2RecError: The adapter is damaged, not whole, or made for another model.
    """
    folder = adapter_folder(adapter)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # told below
            tuned = upstream.attach_adapter(base, folder, base_path, train=train)
        wanted = upstream.adapter_weights(tuned)
        found = saved_shapes(folder / WEIGHTS)
    except Exception as error:  # whatever the library makes of files of others
        said = library_reason(error)
        if isinstance(error, KeyError) and "base_model." in said:  # a module that is saved whole
            said = f"{WEIGHTS} has no {said}"
        raise R2RecError(f"adapter {adapter} does not load on {base_path}: {said}") from error
    missing = sorted(wanted - found.keys())
    if missing:
        raise R2RecError(
            f"adapter {adapter} is not whole: {len(missing)} of {len(wanted)} weights are missing "
            f"from {WEIGHTS}, {named(missing)}"
        )
    of_base = upstream.base_weights(tuned)
    unknown = sorted(key for key in found.keys() - wanted if key not in of_base)
    if unknown:
        raise R2RecError(
            f"adapter {adapter} was made for another model: {base_path} has no place for "
            f"{len(unknown)} of its {len(found)} weights, {named(unknown)}"
        )
    return tuned


def saved_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the weights in a safetensors file, from its header alone."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as weights:
        names = weights.keys()
        return {name: tuple(weights.get_slice(name).get_shape()) for name in names}


def named(keys: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    shown = ", ".join(keys[:MAX_SHOWN])
    if len(keys) > MAX_SHOWN:
        shown += f" and {len(keys) - MAX_SHOWN} more"
    return shown


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


def library_reason(error: Exception) -> str:
    """One line of a library's message, with the first detail where the line announces a list."""
    lines = [line.strip() for line in str(error).strip().split("\n") if line.strip()]
    if not lines:
        return type(error).__name__
    said = lines[0][:MAX_REASON]
    if said.endswith(":") and len(lines) > 1:
        said += f" {lines[1][:MAX_REASON]}"
        if len(lines) > 2:
            said += f" (and {len(lines) - 2} more)"
    return said
