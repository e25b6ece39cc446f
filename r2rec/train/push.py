"""Put a trained adapter on the Hub: only where `push_to_hub` names a repository, and with a token from outside."""

import os
from pathlib import Path

from r2rec.base.errors import R2RecError

TOKEN = "HF_TOKEN"
FILES = [
    "README.md",
    "*.safetensors",
    "adapter_config.json",
    "tokenizer*",
    "special_tokens*",
    "*.jinja",
]


def push(folder: Path, repository: str) -> str:
    """Upload adapter, tokenizer and card of an artefact; a repository that is not there is made, private.

    Returns:
        Where it is now.

    Raises:
        R2RecError: No token, or the Hub refused.
    """
    from huggingface_hub import HfApi

    token = os.environ.get(TOKEN, "")
    if not token:
        raise R2RecError(
            f"push_to_hub={repository} needs a token: set the environment variable {TOKEN}"
        )
    api = HfApi(token=token)
    try:
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=str(folder), allow_patterns=FILES)
    except Exception as error:  # of its transport too, which changes between releases
        said = " ".join(str(error).split())[:200].replace(token, "***")
        raise R2RecError(f"push_to_hub={repository}: {said}; the adapter is in {folder}") from error
    return f"https://huggingface.co/{repository}"
