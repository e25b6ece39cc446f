"""Stage `prepare`: raw files, or the toy world's seed, to interactions, users and items."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import get_method

from r2rec.base.errors import R2RecError
from r2rec.base.workspace import Workspace
from r2rec.config import Dataset
from r2rec.config.slices import PrepareSlice
from r2rec.data.contract import called
from r2rec.data.interactions import find_file, index, raw_file

# Files that tell a data set, and what reads it.
TELLING = {
    "ratings.csv": "movielens",
    "ratings.dat": "movielens",
    "u.data": "movielens",
    "*.inter": "recbole",
    "meta_*.json*": "amazon",
    "*.csv*": "csv",
    "*.tsv*": "csv",
    "*.parquet": "csv",
}


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
        The path of each entry of `dataset.files` that is there. An entry that ends in `|` may be
        missing. Empty for a data set that is generated.

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
    found: dict[str, Path] = {}
    for entry in dataset.files:
        names = entry.split("|")
        if names[-1]:
            found[entry] = _needed(root, names, dataset.name)
        elif path := find_file(root, *names):
            found[entry] = path
    return found


def _needed(root: Path, names: list[str], data_set: str) -> Path:
    """A file that must be there. The message names the data set that the folder seems to hold."""
    try:
        return raw_file(root, *names)
    except R2RecError as error:
        others = [name for pattern, name in TELLING.items() if next(root.glob(pattern), None)]
        if not others or others[0] in (data_set, data_set.partition("_")[0]):
            raise
        raise R2RecError(f"{error}; dataset={others[0]} may read it") from None


def _downloaded(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Path:
    """The folder with the downloaded and unpacked files."""
    from r2rec.data.download import fetch, unpack_archive

    if not dataset.downloads:
        raise R2RecError(f"dataset={dataset.name} has no download; give dataset.root=FOLDER")
    for download in dataset.downloads:
        file = folder / download.url.rsplit("/", 1)[1]
        if not file.exists():
            say(f"downloading {download.url} to {folder}")
        fetch(download.url, file, download.checksum)
        if file.suffix == ".zip":
            unpack_archive(file, folder, dataset.files)
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
        R2RecError: The reader cannot read its files, or breaks its contract (`contract`).
    """
    root = work.folder
    if inputs:
        root = next(iter(inputs.values())).parent
    reader = get_method(choices.target)
    raw = called(reader, choices.target, root, choices.category, **choices.params)
    tables = index(raw)
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
