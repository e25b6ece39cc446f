"""Stage `prepare`: raw files, or the toy world's seed, to interactions, users and items."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_method

from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.config import Dataset
from r2rec.config.slices import PrepareSlice
from r2rec.data.interactions import Raw, index

UNREADABLE = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


def locate(
    dataset: Dataset,
    store: Path,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:
    """Find the raw files of a data set; download them to the store if `dataset.root` is null.

    Args:
        store: The artefact store; downloads go to its folder `downloads`.
        say: Called with a line of text before a download.

    Returns:
        The path of each entry of `dataset.files`. Empty for a data set that is generated.

    Raises:
        R2RecError: A folder or file is missing, or a download failed.
    """
    if not dataset.files:
        return {}
    if dataset.root:
        root = Path(dataset.root).expanduser()
    else:
        root = _downloaded(dataset, store / "downloads" / dataset.name, say)
    if not root.is_dir():
        raise R2RecError(
            f"dataset.root={root} is not a folder; it should hold {', '.join(dataset.files)}"
        )
    return {names: _first_existing(root, names) for names in dataset.files}


def _first_existing(root: Path, names: str) -> Path:
    """The first file in `root` of those in `names`, such as "Toys.jsonl.gz|Toys.jsonl"."""
    options = names.split("|")
    for name in options:
        if (root / name).is_file():
            return root / name
    raise R2RecError(
        f"{root} has no {' or '.join(options)}; dataset.root must hold the original files"
    )


def _downloaded(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Path:
    """The folder with the downloaded and unpacked files."""
    from r2rec.data.download import fetch, unpack

    if not dataset.downloads:
        raise R2RecError(f"dataset={dataset.name} has no download; give dataset.root=FOLDER")
    for download in dataset.downloads:
        file = folder / download.url.rsplit("/", 1)[1]
        if not file.exists():
            say(f"downloading {download.url} to {folder}")
        fetch(download.url, file, download.checksum)
        if file.suffix == ".zip":
            unpack(file, folder, dataset.files)
    return folder


def prepare(
    choices: PrepareSlice,
    inputs: Mapping[str, Path],
    work: Workspace,
) -> dict[str, Any]:
    """Write interactions.parquet, users.parquet and items.parquet (columns: `Tables`).

    Args:
        inputs: The raw files, as `locate` found them.

    Returns:
        The numbers of users, items and ratings, and the notes about skipped rows.

    Raises:
        R2RecError: The reader cannot read its files, or does not return a `Raw`.
    """
    root = work.folder
    if inputs:
        root = next(iter(inputs.values())).parent
    tables = index(_read(choices, root))
    tables.interactions.write_parquet(
        work.folder / "interactions.parquet",
        compression="lz4",
        statistics=False,
    )
    tables.users.write_parquet(work.folder / "users.parquet")
    tables.items.write_parquet(work.folder / "items.parquet")
    return {
        "users": tables.users.height,
        "items": tables.items.height,
        "ratings": tables.interactions.height,
        "notes": tables.notes,
    }


def _read(choices: PrepareSlice, root: Path) -> Raw:
    """What the reader of the data set returns. Its mistakes end in one line that names it."""
    reader = get_method(choices.target)
    try:
        raw = reader(root, choices.category, **choices.params)
    except UNREADABLE as error:
        raise R2RecError(
            f"{_reason(error)}: the reader dataset._target_={choices.target} opens it; "
            "list the file in dataset.files and set dataset.root to its folder, "
            "or correct the reader"
        ) from error
    if not isinstance(raw, Raw):
        raise R2RecError(
            f"dataset._target_={choices.target} returned a {type(raw).__name__}: "
            "it must return r2rec.data.interactions.Raw(ratings, users, items, notes)"
        )
    return raw


def _reason(error: OSError) -> str:
    """Which file could not be read, and why, in one line."""
    if error.filename:
        return f"{error.filename} cannot be read ({error.strerror})"
    lines = str(error).splitlines()  # Polars sets no `filename`, but names the file in its text
    if lines:
        return lines[0]
    return "a file cannot be read"
