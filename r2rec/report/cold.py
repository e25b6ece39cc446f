"""Cold users among warm ones: the results of a run with `noise=cold`, for either apart."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base.files import write_json
from r2rec.config import Config
from r2rec.evaluate.metrics import per_user
from r2rec.evaluate.names import metric_title
from r2rec.evaluate.statistics import mean_ci
from r2rec.report.fitting import fitted

COLD = "r2rec.data.noise.cold"
GROUPS = ("cold", "warm")

Row = dict[str, Any]


def cold_and_warm(
    config: Config, rankings: Mapping[str, pl.DataFrame], split: Path, folder: Path
) -> list[Row]:
    """Results for cold and for warm users, also left as `folder`/cold.json.

    A user is cold who has at most as many train ratings as noise leaves to a cold user.

    Args:
        rankings: Method -> its rankings table.
        split: Folder of the artefact of stage `split`.

    Returns:
        method, users ("cold" or "warm"), n_users, the metrics and ci95, where there are such
        users; no rows where the run has no cold users.
    """
    if config.noise._target_ != COLD:
        return []
    cold = cold_users(split, config.noise.params["kept"])
    rows = []
    for method, table in rankings.items():
        is_cold = table["user"].is_in(cold.implode())
        for group, chosen in zip(GROUPS, (is_cold, ~is_cold), strict=True):
            row = {"method": method, "users": group, "n_users": int(chosen.sum())}
            if row["n_users"]:
                row |= _results(table.filter(chosen), config)
            rows.append(row)
    write_json(folder / "cold.json", rows)
    return rows


def _results(rankings: pl.DataFrame, config: Config) -> Row:
    names = list(config.evaluation.metrics)
    scores = per_user(rankings, names)
    found: Row = {"ci95": {}}
    for name in names:
        values = scores[name].to_numpy()
        found[name] = float(values.mean())
        low, high = mean_ci(values, config.evaluation.resamples, config.seed)
        found["ci95"][name] = [low, high]
    return found


def warmth_text(rows: Sequence[Row]) -> str:
    """A table for the terminal; "" without rows."""
    if not rows:
        return ""
    metrics = list(next((row["ci95"] for row in rows if row["n_users"]), {}))
    cells = [["method", "which users", "users", *map(metric_title, metrics)]]
    for row in rows:
        line = [row["method"], row["users"], f"{row['n_users']:,}"]
        for index, name in enumerate(metrics):
            line.append(_shown(row, name, with_interval=index == 0))
        cells.append(line)
    return "cold users among warm ones:\n" + fitted(cells, 2)


def warmth_notes(rows: Sequence[Row]) -> list[str]:
    """A sentence on each method and kind of user, for a page."""
    notes = []
    for row in rows:
        metric = next(iter(row.get("ci95", {})), None)
        if metric:
            told = f"{metric_title(metric)} {_shown(row, metric, with_interval=True)}"
            notes.append(f"{row['method']}: {told} on {row['n_users']:,} {row['users']} users")
    return notes


def cold_users(split: Path, kept: int) -> pl.Series:
    """The users with at most `kept` train ratings; those without any are in none of its rows."""
    train = pl.scan_parquet(split / "train.parquet")
    users = pl.scan_parquet(split / "candidates.parquet").select("user")
    counts = train.group_by("user").len()
    found = users.join(counts, on="user", how="left").filter(pl.col("len").fill_null(0) <= kept)
    users_found: pl.Series = found.collect()["user"]
    return users_found


def _shown(row: Row, name: str, *, with_interval: bool) -> str:
    if name not in row:
        return "–"
    text = f"{row[name]:.3f}"
    if with_interval:
        low, high = row["ci95"][name]
        text += f" [{low:.3f}, {high:.3f}]"
    return text
