"""What names an artefact: all that makes its content, and nothing about where that lies.

Local folders enter by the checksums of their files. How an endpoint is asked (how fast, with whose
key), hardware and loggers never enter. A user's own code enters by its source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from r2rec.base.code import described, package_code, package_imports, user_code
from r2rec.base.files import checksum
from r2rec.base.jobs import Job
from r2rec.base.provenance import git_revision
from r2rec.base.store import Artefact
from r2rec.config import Endpoint, Model, Prompt, TinySpec
from r2rec.config.fields import is_told
from r2rec.config.slices import UnpackSlice
from r2rec.prompts.own_templates import own_template_files

FOLDER = "(folder)"  # stands for the name of a local folder


def key_inputs(
    job: Job, parents: Mapping[str, Artefact], raw: Mapping[str, Path]
) -> dict[str, Any]:
    """Everything that the key of a job's artefact is made of, as plain JSON values.

    Args:
        parents: Role -> artefact that the job reads.
        raw: Name -> raw data file that it reads.
    """
    inputs: dict[str, Any] = {
        "row": job.stage.name,
        "version": job.stage.version,
        "config": keyed(job.choices),
        "parents": {role: artefact.key for role, artefact in parents.items()},
        "raw": {name: checksum(path) for name, path in raw.items()},
    }
    optional = {
        "weights": _weights(job.choices),
        "templates": _templates(job.choices),
        "files": _named_files(job.choices),
        "code": user_code(named_targets(job.choices)),
    }
    inputs.update({name: digests for name, digests in optional.items() if digests})
    return inputs


def job_code(job: Job) -> dict[str, Any]:
    """The package code that makes a job's artefact: digests of its modules, and the revision."""
    modules = [job.stage.run.partition(":")[0]]
    for target in named_targets(job.choices):
        if target.startswith("r2rec."):
            modules.append(target.rpartition(".")[0])
    modules += package_imports(named_targets(job.choices))
    return described(package_code(modules), git_revision())


def keyed(value: Any) -> Any:
    """A slice of the configuration as plain values, without what changes no content."""
    if is_dataclass(value) and not isinstance(value, type):
        plain = {}
        for spec in fields(value):
            if is_told(value, spec):
                content = getattr(value, spec.name)
                local = spec.metadata.get("local") and content and Path(content).exists()
                plain[spec.name] = FOLDER if local else keyed(content)
        return plain
    if isinstance(value, Mapping):
        return {str(name): keyed(content) for name, content in value.items()}
    if isinstance(value, (list, tuple)):
        return [keyed(content) for content in value]
    return value


def walk_fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, content) of a slice, of what is in it, and so on down."""
    yield name, value
    if is_dataclass(value) and not isinstance(value, type):
        for spec in fields(value):
            yield from walk_fields(getattr(value, spec.name), f"{name}.{spec.name}")
    elif isinstance(value, Mapping):
        for key, content in value.items():
            yield from walk_fields(content, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, content in enumerate(value):
            yield from walk_fields(content, f"{name}.{index}")


def named_targets(choices: Any) -> list[str]:
    """Dotted paths of all functions that a slice names."""
    found = {
        content
        for name, content in walk_fields(choices)
        if name.rpartition(".")[2] in ("_target_", "target") and isinstance(content, str)
    }
    return sorted(found)


def endpoints(choices: Any) -> list[Endpoint]:
    """The endpoints that a stage may ask."""
    return [content for _, content in walk_fields(choices) if isinstance(content, Endpoint)]


def _weights(choices: Any) -> dict[str, str]:
    """Checksums of local weights that a stage reads."""
    from r2rec.llm.load import fingerprint

    digests: dict[str, str] = {}
    for where, content in models(choices):
        for part, path in (("", content.path), ("adapter/", content.adapter)):
            for name, digest in fingerprint(path).items():
                digests[f"{where}{part}{name}"] = digest
    tiny = getattr(choices, "tiny", None)
    if isinstance(tiny, TinySpec):
        digests.update(fingerprint(tiny.start))
    if isinstance(choices, UnpackSlice):
        digests.update(fingerprint(choices.file))
    return digests


def models(choices: Any) -> Iterator[tuple[str, Model]]:
    """(prefix of its files' names, model): the run's own, and a teacher's."""
    teacher = getattr(choices, "teacher", None)
    for where, model in (
        ("", getattr(choices, "model", None)),
        ("teacher/", getattr(teacher, "model", None)),
    ):
        if model is not None:
            yield where, model


def _templates(choices: Any) -> dict[str, str]:
    """Checksums of the prompt templates and chat templates that a stage renders with."""
    from r2rec.llm.load import chat_template_file

    digests = {}
    if any(isinstance(content, Prompt) for _, content in walk_fields(choices)):
        for path in sorted(Path(str(files("r2rec.prompts"))).glob("templates/*.j2")):
            digests[f"prompts/{path.name}"] = checksum(path)
    for _, content in walk_fields(choices):
        if isinstance(content, Prompt) and content.template:
            for path in own_template_files(content.template):
                digests[f"own/{path.name}"] = checksum(path)
    for _, model in models(choices):
        if model.chat_template:
            template = chat_template_file(model.chat_template)
            digests[f"chat/{model.chat_template}"] = checksum(template)
    return digests


def _named_files(choices: Any) -> dict[str, str]:
    """Checksums of local files that a leaf's params name."""
    digests = {}
    for name, content in walk_fields(choices):
        in_params = ".params." in name
        if in_params and isinstance(content, str) and content and Path(content).is_file():
            digests[name.removeprefix(".")] = checksum(Path(content))
    return digests
