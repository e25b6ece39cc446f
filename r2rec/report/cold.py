"""Cold users among warm ones: the results of a run with `noise=cold`, for either apart."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from r2rec.base.files import write_json
from r2rec.config import Config
from r2rec.evaluate.metrics import per_user
from r2rec.evaluate.names import metric_title
from r2rec.evaluate.statistics import mean_ci
from r2rec.report.fitting import fitted

COLD = "r2rec.data.noise.cold"
GROUPS = ("cold", "warm")


def cold_and_warm(
    config: Config, rankings: Mapping[str, pl.DataFrame], split: Path, folder: Path
) -> str:
    """The table of results for cold and for warm users, and the same as `folder`/cold.json.

    A user is cold who has at most as many train ratings as noise leaves to a cold user.

    Args:
        rankings: Method -> its rankings table.
        split: Folder of the artefact of stage `split`.

    Returns:
        Text for the terminal; "" where the run has no cold users.
    """
    if config.noise._target_ != COLD:
        return ""
    metrics = list(config.evaluation.metrics)
    rows = []
    for method, table in rankings.items():
        is_cold = table["user"].is_in(cold_users(split, config.noise.params["kept"]).implode())
        for group, chosen in zip(GROUPS, (is_cold, ~is_cold), strict=True):
            scores = per_user(table.filter(chosen), metrics) if chosen.any() else None
            row = {"method": method, "users": group, "n_users": int(chosen.sum()), "ci95": {}}
            for name in metrics if scores is not None else ():
                values = scores[name].to_numpy()
                row[name] = float(values.mean())
                interval = mean_ci(values, config.evaluation.resamples, config.seed)
                row["ci95"][name] = list(interval)
            rows.append(row)
    write_json(folder / "cold.json", rows)
    cells = [["method", "which users", "users", *map(metric_title, metrics)]]
    for row in rows:
        line = [row["method"], row["users"], f"{row['n_users']:,}"]
        for index, name in enumerate(metrics):
            line.append(_shown(row, name, with_interval=index == 0))
        cells.append(line)
    return "cold users among warm ones:\n" + fitted(cells, 2)


def cold_users(split: Path, kept: int) -> pl.Series:
    """The users with at most `kept` train ratings; those without any are in none of its rows."""
    train = pl.scan_parquet(split / "train.parquet")
    users = pl.scan_parquet(split / "candidates.parquet").select("user")
    counts = train.group_by("user").len()
    found = users.join(counts, on="user", how="left").filter(pl.col("len").fill_null(0) <= kept)
    users_found: pl.Series = found.collect()["user"]
    return users_found


def _shown(row: Mapping[str, object], name: str, *, with_interval: bool) -> str:
    if name not in row:
        return "–"
    text = f"{row[name]:.3f}"
    if with_interval:
        low, high = row["ci95"][name]  # type: ignore[index]
        text += f" [{low:.3f}, {high:.3f}]"
    return text
