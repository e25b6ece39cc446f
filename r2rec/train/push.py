"""Upload a trained adapter to the Hugging Face Hub.

Nothing is uploaded unless `push_to_hub` names a repository and the environment holds a token.
"""

import os
from pathlib import Path

from r2rec.base.errors import R2RecError

TOKEN = "HF_TOKEN"  # environment variable
FILES = [
    "README.md",
    "*.safetensors",
    "adapter_config.json",
    "tokenizer*",
    "special_tokens*",
    "*.jinja",
]


def push(folder: Path, repository: str) -> str:
    """Upload adapter, tokenizer and model card; a repository that does not exist is made, private.

    Args:
        folder: An artefact with an adapter; only `FILES` of it are uploaded.

    Returns:
        The address of the repository.

    Raises:
        R2RecError: There is no token, or the Hub refused.
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
    except Exception as error:  # the transport's errors too, which change between releases
        message = " ".join(str(error).split())[:200].replace(token, "***")
        raise R2RecError(
            f"push_to_hub={repository}: {message}; the adapter is in {folder}"
        ) from error
    return f"https://huggingface.co/{repository}"
