"""Checksums that tell weights apart, without reading all of 16 GB at every start."""

import hashlib
from importlib.resources import files
from pathlib import Path

from r2rec.base.files import checksum

MAX_WHOLE_BYTES = 64 * 2**20  # of larger files, samples enter a fingerprint
END_BYTES = 2**20  # at both ends of a sampled file
BLOCKS = 256  # samples between the ends, of which every layer has some
BLOCK_BYTES = 2**16
SUFFIXES = (".json", ".safetensors", ".jinja", ".model")
TOKENIZER_TEXTS = ("merges.txt", "vocab.txt")


def resolve(path: str) -> str:
    """The folder of `r2rec:NAME`, weights that ship with this package; any other path as it is."""
    if not path.startswith("r2rec:"):
        return path
    return str(files("r2rec.llm").joinpath("weights", path.removeprefix("r2rec:")))


def fingerprint(path: str | None) -> dict[str, str]:
    """File name -> checksum, for a local folder of weights and tokenizer, or a GGUF file.

    Empty for a hub id, which is known by id and revision alone. Files above 64 MiB are known by
    their size, both ends, and many blocks between.
    """
    if path is None:
        return {}
    folder = Path(resolve(path))
    if folder.is_file():
        return {f"model{folder.suffix}": _checksum(folder)}
    if not folder.is_dir():
        return {}
    checksums = {}
    for file in sorted(folder.iterdir()):
        if file.suffix not in SUFFIXES and file.name not in TOKENIZER_TEXTS:
            continue
        checksums[file.name] = _checksum(file)
    return checksums


def _checksum(file: Path) -> str:
    if file.stat().st_size <= MAX_WHOLE_BYTES:
        return checksum(file)
    return _sampled_checksum(file)


def _sampled_checksum(file: Path) -> str:
    """SHA-256 of a file's size, its first and last MiB, and blocks at even distances."""
    size = file.stat().st_size
    samples = [(0, END_BYTES)]  # (offset, bytes)
    for block in range(1, BLOCKS):
        samples.append((size * block // BLOCKS, BLOCK_BYTES))
    samples.append((size - END_BYTES, END_BYTES))
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for offset, length in samples:
            stream.seek(offset)
            digest.update(stream.read(length))
    return digest.hexdigest()
