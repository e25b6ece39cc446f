"""The end of a sweep: its jobs' results as one list, one table, and who differs from whom by more than chance."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

if TYPE_CHECKING:
    import polars as pl

SAME = ("method", "variant", "dataset", "train_dataset", "seed")


class Join(Callback):
    """Hydra calls this when the last job has ended."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from r2rec.report.tuning import tuning

        folder = Path(config.hydra.sweep.dir)
        if not join(folder) and (table := tuning(folder)):
            print(f"\n{table}\n\n{folder}")


def join(folder: Path) -> list[dict[str, Any]]:
    """Write metrics.json and tables/ of all finished jobs in `folder`; print and return the records.

    An arm that several jobs share (a baseline, the bare backbone) is listed once. Arms that go by one name and
    seed and differ all the same, as in a sweep over rewards, are listed by job and are in no comparison.
    """
    import json

    from r2rec.report import tables
    from r2rec.store import write_json

    arms: dict[tuple[Any, ...], list[tuple[dict[str, Any], Path]]] = {}
    for job in sorted(folder.glob("*/metrics.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        for record in json.loads(job.read_text()):
            known = arms.setdefault(tuple(record[name] for name in SAME), [])
            if all(record != other for other, _ in known):
                known.append((record, job.parent / "rankings.parquet"))
    records = [record for known in arms.values() for record, _ in known]
    if not records:
        return []
    write_json(folder / "metrics.json", records)
    tables.write(records, folder / "tables")
    told_apart = [known[0] for known in arms.values() if len(known) == 1]
    compared = differences(told_apart)
    lines = [_line(row) for row in compared]
    tables.write_text(folder / "tables" / "differences.txt", "\n".join(lines) + "\n")
    write_json(folder / "tables" / "differences.json", compared)
    write_json(folder / "tables" / "variation.json", variations(told_apart))
    curves(folder)
    told = [line for line, row in zip(lines, compared, strict=True) if row["method"].startswith("R2Rec")]
    print("\n".join(["", tables.results_table(records), "", *told, str(folder)]))
    return records


def curves(folder: Path) -> None:
    """Leave plots/reward_curve.svg and .png: GRPO after SFT beside GRPO without it, means over jobs (Figure 5)."""
    import json

    import polars as pl

    from r2rec.report.plots import reward_curve

    logs: dict[str, list[pl.DataFrame]] = {}
    for job in sorted(folder.glob("*/manifest.json")):
        stages = json.loads(job.read_text())["stages"]
        if "rl" in stages:
            name = "after SFT" if "sft" in stages else "without SFT"
            logs.setdefault(name, []).append(pl.read_parquet(Path(stages["rl"]["path"]) / "log.parquet"))
    if len(logs) == 2:
        means = {
            name: pl.concat(frames, how="diagonal_relaxed").group_by("step").mean().sort("step")
            for name, frames in sorted(logs.items())
        }
        (folder / "plots").mkdir(exist_ok=True)
        reward_curve(means, folder / "plots")


def differences(arms: Sequence[tuple[dict[str, Any], Path]]) -> list[dict[str, Any]]:
    """HR@1 of each arm minus that of each earlier one, paired over the users of the seeds that both have.

    Keys: dataset, method, against, seeds, pairs, and `statistics.Comparison`, with p_holm: p as the family of all
    comparisons on one data set leaves it.
    """
    import polars as pl

    from r2rec.evaluate.statistics import holm, paired_bootstrap

    hits = _by_method(arms)
    found: list[dict[str, Any]] = []
    for (earlier, a), (later, b) in combinations(hits.items(), 2):
        if earlier[0] != later[0]:
            continue
        pairs = pl.concat(b).join(pl.concat(a), on=("seed", "user", "positive"), suffix="_before")
        if pairs.height:
            facts = paired_bootstrap(pairs["hit"], pairs["hit_before"])
            seeds = pairs["seed"].n_unique()
            head = {"dataset": later[0], "method": later[2], "against": earlier[2], "seeds": seeds}
            found.append({**head, "pairs": pairs.height, **facts})
    for dataset in {row["dataset"] for row in found}:
        family = [row for row in found if row["dataset"] == dataset]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p
    return found


def variations(arms: Sequence[tuple[dict[str, Any], Path]]) -> list[dict[str, Any]]:
    """How far one seed's HR@1 lies from the mean of all, by the users drawn and by the seed itself, of each method."""
    from r2rec.evaluate.statistics import variation

    rows = []
    for (dataset, _, method), tables in _by_method(arms).items():
        users, seed = variation([table["hit"] for table in tables])
        rows.append({"dataset": dataset, "method": method, "seeds": len(tables), "sd_users": users, "sd_seeds": seed})
    return rows


def _by_method(arms: Sequence[tuple[dict[str, Any], Path]]) -> dict[tuple[str, str, str], list["pl.DataFrame"]]:
    """(dataset, train dataset, method) -> hits of each seed."""
    hits: dict[tuple[str, str, str], list[pl.DataFrame]] = {}
    for record, path in arms:
        name = (record["dataset"], record["train_dataset"], f"{record['method']} {record['variant']}".strip())
        hits.setdefault(name, []).append(_hits(record, path))
    return hits


def _hits(record: dict[str, Any], path: Path) -> "pl.DataFrame":
    import polars as pl

    table = pl.read_parquet(path).filter(pl.col("method") == record["method"])
    first = pl.col("ranking").list.get(0, null_on_oob=True) == pl.col("positive")
    hit = (first.fill_null(False) & pl.col("valid")).cast(pl.Float64)
    return table.select("user", "positive", hit=hit, seed=pl.lit(record["seed"]))


def _line(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    return (
        f"{row['dataset']}: {row['method']} - {row['against']}: HR@1 {row['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], p {row['p']:.4f} (Holm {row['p_holm']:.4f}), d {row['effect']:+.2f}, "
        f"{row['pairs']} pairs of {row['seeds']} seeds, {row['detectable']:.3f} detectable"
    )
