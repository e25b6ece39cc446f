"""Stage `prepare`: raw files, or the toy world's seed, to interactions, users and items."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base.errors import R2RecError
from r2rec.data.interactions import index


def locate(dataset: DictConfig, store: Path, say: Callable[[str], None] = print) -> dict[str, Path]:
    """The raw files of a data set, by the name that `dataset.files` gives them; downloaded where `root` is null.

    Returns an empty table for a generated data set.

    Raises:
        R2RecError: A folder or file is missing, or a download failed.
    """
    if not dataset.files:
        return {}
    root = (
        Path(dataset.root).expanduser()
        if dataset.root
        else _downloaded(dataset, store / "downloads" / dataset.name, say)
    )
    if not root.is_dir():
        raise R2RecError(
            f"dataset.root={root} is not a folder; it should hold {', '.join(dataset.files)}"
        )
    return {names: _either(root, names) for names in dataset.files}


def _either(root: Path, names: str) -> Path:
    for name in names.split("|"):
        if (root / name).is_file():
            return root / name
    raise R2RecError(
        f"{root} has no {' or '.join(names.split('|'))}; dataset.root must hold the original files"
    )


def _downloaded(dataset: DictConfig, folder: Path, say: Callable[[str], None]) -> Path:
    from r2rec.data.download import fetch, unpack

    if not dataset.downloads:
        raise R2RecError(f"dataset={dataset.name} has no download; give dataset.root=FOLDER")
    for download in dataset.downloads:
        file = folder / download.url.rsplit("/", 1)[1]
        if not file.exists():
            say(f"downloading {download.url} to {folder}")
        fetch(download.url, file, download.checksum)
        if file.suffix == ".zip":
            unpack(file, folder, list(dataset.files))
    return folder


def prepare(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write interactions.parquet (user u32, item u32, rating f32, timestamp i64 in s), users.parquet, items.parquet.

    Args:
        inputs: Raw files, as `locate` found them.
    """
    root = next(iter(inputs.values())).parent if inputs else folder
    raw = get_method(cfg.dataset._target_)(root, cfg.dataset.category, **cfg.dataset.params)
    tables = index(raw)
    tables.interactions.write_parquet(
        folder / "interactions.parquet", compression="lz4", statistics=False
    )
    tables.users.write_parquet(folder / "users.parquet")
    tables.items.write_parquet(folder / "items.parquet")
    return {
        "users": tables.users.height,
        "items": tables.items.height,
        "ratings": tables.interactions.height,
        "notes": tables.notes,
    }
