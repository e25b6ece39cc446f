"""Stage `unpack`: the weights of a GGUF file, as the files that all else here reads.

It is done once. transformers undoes the quantisation: what follows trains and ranks with the
rounded weights, in `model.dtype`.
"""

from collections.abc import Mapping
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.config.slices import UnpackSlice
from r2rec.llm import soundness
from r2rec.llm.adapters import library_reason


def unpack(choices: UnpackSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write config, safetensors weights and tokenizer with its chat template.

    Returns:
        parameters.

    Raises:
        R2RecError: The file does not load, or lacks weights.
    """
    from r2rec.llm.runtime import settle

    settle(work.hardware)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    file = Path(choices.file)
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    dtype = getattr(torch, choices.dtype)
    try:
        with redirect_stderr(StringIO()):  # a progress bar that nothing turns off
            tokenizer = AutoTokenizer.from_pretrained(**where, trust_remote_code=False)
            model, report = AutoModelForCausalLM.from_pretrained(
                **where,
                quantization_config=GgufConfig(dequantize=True),
                dtype=dtype,
                output_loading_info=True,
                trust_remote_code=False,
            )
    except Exception as error:  # whatever the library makes of files of others
        raise R2RecError(
            f"model.path={file} cannot be unpacked: {library_reason(error)}"
        ) from error
    soundness.check_weights(str(file), report)
    model.save_pretrained(work.folder)
    tokenizer.save_pretrained(work.folder)
    return {"parameters": model.num_parameters()}
