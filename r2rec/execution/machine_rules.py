"""What a run needs of this machine, told before its first stage: keys and weights."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from r2rec.base.jobs import Job
from r2rec.config import Config, Endpoint, Model
from r2rec.execution.keys import endpoints, walk_fields
from r2rec.execution.preview import is_made
from r2rec.execution.runner import RESPONSES
from r2rec.llm.packaged import advice

PATIENCE = 10.0  # seconds for the hub's answer


def machine_rules(config: Config, jobs: Sequence[Job]) -> Iterator[str]:
    """What is missing for the jobs whose artefacts are not there yet, one line each."""
    stages = [job for job in jobs if job.stage.name != "report"]  # which reads all, and asks none
    needy = [job for job in stages if any(_missing(job))]
    if not needy:
        return
    made = is_made(config, jobs)
    has_replies = _has_replies(Path(config.artefacts).expanduser())
    for job in needy:
        if job.name in made:
            continue
        for lacking in _missing(job):
            if isinstance(lacking, Model):
                reason = _at_hub(str(lacking.path))
                hint = advice(str(lacking.path)) if lacking == config.model else ""
                if reason:
                    yield f"model.path={lacking.path} is not on this machine, and {reason}{hint}"
            elif not has_replies:
                yield f"no key for {lacking.model}: set the environment variable {lacking.key}"


def _missing(job: Job) -> Iterator[Endpoint | Model]:
    """Endpoints without a key, and models of a hub that are not on this machine."""
    for endpoint in endpoints(job.choices):
        if not endpoint.replay and not os.environ.get(endpoint.key):
            yield endpoint
    for _, model in walk_fields(job.choices):
        if isinstance(model, Model) and model.path and not _is_here(model.path):
            yield model


def _has_replies(root: Path) -> bool:
    """Whether earlier answers are kept: with them a run may need none, and so no key."""
    folder = root / RESPONSES
    return folder.is_dir() and any(folder.iterdir())


def _is_here(path: str) -> bool:
    """Whether weights are in a local folder or file, in this package, or in the hub's cache."""
    if path.startswith("r2rec:") or Path(path).expanduser().exists():
        return True
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(path, "config.json"), str)
    except HFValidationError:
        return False


def _at_hub(path: str) -> str | None:
    """Why a model cannot be downloaded; None: it can."""
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        huggingface_hub.model_info(path, timeout=PATIENCE)
    except HFValidationError:
        return "is no id of a hub: give a folder or a hub id"
    except (GatedRepoError, RepositoryNotFoundError):
        return "the hub gives no such model to you: check the id, or set HF_TOKEN"
    except Exception as error:  # the client's own errors change with its releases
        return f"the hub cannot be asked ({type(error).__name__}): give a folder"
    return None
