"""The end of a sweep: its jobs' results as one list, one table, and who differs from whom by more than chance."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from r2rec.base.errors import R2RecError
from r2rec.report.labels import labels

if TYPE_CHECKING:
    import polars as pl

ARM = ("method", "variant", "dataset", "train_dataset")


class Joined(NamedTuple):
    """One arm at one seed: its record, where its rankings are, and what sets it apart from the first job's."""

    record: dict[str, Any]
    rankings: Path
    label: str
    job: str  # what its job has otherwise than the first
    key: str  # of the artefact that its rankings are; "" where the job's manifest does not tell

    def same(self, other: "Joined") -> bool:
        """One result, not two that came out alike."""
        return self.record == other.record and self.key == other.key


def _forget(config: DictConfig) -> None:
    """Remove what Hydra writes of a sweep: overrides as they were typed, secrets too. Each job has its own config."""
    Path(config.hydra.sweep.dir, "multirun.yaml").unlink(missing_ok=True)


class Join(Callback):
    """Hydra calls this before the first job, at each, and when the last has ended."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """What an earlier sweep left in the folder goes: fewer jobs than then would be joined with the rest of its."""
        from r2rec.base.cleanup import clear

        folder = Path(config.hydra.sweep.dir)
        for manifest in folder.glob("*/manifest.json"):
            clear(manifest.parent)
        for name in ("metrics.json", "report.html"):
            (folder / name).unlink(missing_ok=True)

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        if config.hydra.mode == RunMode.MULTIRUN:
            _forget(config)

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        from r2rec.report.tuning import tuning

        _forget(config)
        folder = Path(config.hydra.sweep.dir)
        if not join(folder) and (table := tuning(folder)):
            print(f"\n{table}\n\n{folder}")


def join(folder: Path) -> list[dict[str, Any]]:
    """Write metrics.json and tables/ of all finished jobs in `folder`; print and return the records.

    An arm that several jobs share (a baseline, the bare backbone) is listed once. Arms of one name that differ, as
    in a sweep over rewards, say in `variant` what they have otherwise than the first job's.
    """
    from r2rec.base.store import write_json
    from r2rec.report import tables
    from r2rec.report.grid import write_grid_page

    arms = collected(folder)
    records = [arm.record for arm in arms]
    if not records:
        return []
    write_json(folder / "metrics.json", records)
    tables.write_tables(records, folder / "tables")
    compared = paired_differences(arms)
    lines = [_line(row) for row in compared]
    tables.write_text(folder / "tables" / "differences.txt", "\n".join(lines) + "\n")
    write_json(folder / "tables" / "differences.json", compared)
    varied = variations(arms)
    write_json(folder / "tables" / "variation.json", varied)
    jobs = {arm.rankings.parent.name: arm.job for arm in arms}
    curves(folder, jobs)
    spared = work(folder)
    write_grid_page(
        folder, records=records, differences=compared, variations=varied, jobs=jobs, work=spared
    )
    told = [
        line for line, row in zip(lines, compared, strict=True) if row["method"].startswith("R2Rec")
    ]
    print(
        "\n".join(
            ["", tables.results_table(records), "", *told, *filter(None, [spared]), str(folder)]
        )
    )
    return records


def collected(folder: Path) -> list[Joined]:
    """All arms of all finished jobs, in their order."""
    import json

    import yaml

    jobs = sorted(
        folder.glob("*/metrics.json"), key=lambda path: (len(path.parent.name), path.parent.name)
    )
    configs = [job.parent / "config.yaml" for job in jobs]
    told = labels([yaml.safe_load(path.read_text()) if path.exists() else {} for path in configs])
    found: dict[tuple[Any, ...], dict[str, dict[int, Joined]]] = {}
    order: dict[int, int] = {}
    for job, of_job in zip(jobs, told, strict=True):
        keys = _keys(job.parent / "manifest.json")
        for record in json.loads(job.read_text()):
            label, key = of_job, keys.get(record["method"], "")
            arm = Joined(record, job.parent / "rankings.parquet", label, of_job, key)
            of_arm = found.setdefault(tuple(record[key] for key in ARM), {})
            known = of_arm.setdefault(label, {}).get(record["seed"])
            if known and not known.same(arm):  # what sets them apart is no choice of a method
                label = f"{label}, job {job.parent.name}".removeprefix(", ")
                known = of_arm.setdefault(label, {}).get(record["seed"])
            if known is None:
                order[id(record)] = len(order)
                of_arm[label][record["seed"]] = arm._replace(label=label)
    arms = [arm for of_arm in found.values() for arm in _distinct(of_arm)]
    return [named(arm) for arm in sorted(arms, key=lambda arm: order[id(arm.record)])]


def _keys(manifest: Path) -> dict[str, str]:
    """The artefact of each method's rankings."""
    import json

    stages = json.loads(manifest.read_text())["stages"] if manifest.exists() else {}
    return {method: part["key"] for method, part in stages.get("rank", {}).get("arms", {}).items()}


def _distinct(of_arm: dict[str, dict[int, Joined]]) -> Iterator[Joined]:
    """Of labels with the same results at every seed, the first."""
    kept: list[dict[int, Joined]] = []
    for by_seed in of_arm.values():
        same = (all(s in o and o[s].same(arm) for s, arm in by_seed.items()) for o in kept)
        if not any(same):
            kept.append(by_seed)
    alone = len(kept) == 1
    yield from (
        arm._replace(label="") if alone else arm for by_seed in kept for arm in by_seed.values()
    )


def named(arm: Joined) -> Joined:
    """The arm with its label in `variant`."""
    variant = ", ".join(filter(None, [arm.record["variant"], arm.label]))
    return arm._replace(record=arm.record | {"variant": variant})


def curves(folder: Path, jobs: Mapping[str, str]) -> None:
    """Leave plots/reward_curve.svg and .png: GRPO after SFT beside GRPO without it, means over seeds (Figure 5).

    `jobs` maps folder names to what sets a job apart: those that differ from the first in more than SFT have other
    rewards, or other prompts, and are left out.
    """
    import json
    import re

    import polars as pl

    from r2rec.report.plots import reward_curve

    logs: dict[str, dict[str, pl.DataFrame]] = {}
    for job in sorted(folder.glob("*/manifest.json")):
        stages = json.loads(job.read_text())["stages"]
        if "rl" in stages and re.fullmatch(r"(sft=\w+)?", jobs.get(job.parent.name, "")):
            name, rl = "after SFT" if "sft" in stages else "without SFT", stages["rl"]
            logs.setdefault(name, {})[rl["key"]] = pl.read_parquet(Path(rl["path"]) / "log.parquet")
    if len(logs) == 2:
        means = {
            name: pl.concat(of_key.values(), how="diagonal_relaxed")
            .group_by("step")
            .mean()
            .sort("step")
            for name, of_key in sorted(logs.items())
        }
        (folder / "plots").mkdir(exist_ok=True)
        reward_curve(means, folder / "plots")


def work(folder: Path) -> str:
    """What the jobs together made, each artefact once, beside what they would one by one from empty stores."""
    import json

    jobs = []
    for manifest in sorted(folder.glob("*/manifest.json")):
        taken: dict[tuple[str, str], float] = {}
        for stage, record in json.loads(manifest.read_text())["stages"].items():
            for part in record.get("arms", {"": record}).values():
                # a report has no key; what is trained on and what is ranked may share a backbone
                taken[stage.rsplit("/")[-1], part["key"] or manifest.parent.name] = part["seconds"]
        jobs.append(taken)
    once = {name: seconds for taken in jobs for name, seconds in taken.items()}
    spent, whole = sum(once.values()), sum(sum(taken.values()) for taken in jobs)
    if not whole:
        return ""
    alone, share = f"job by job {sum(map(len, jobs))}, {whole:,.0f} s", f"({spent / whole:.0%})"
    return f"work: {len(once)} artefacts, {spent:,.0f} s; {alone} {share}"


def paired_differences(arms: Sequence[Joined]) -> list[dict[str, Any]]:
    """HR@1 of each arm minus that of each earlier one, paired over the users of the seeds that both have.

    Compared are arms of one setting, and those of one method with the first job's setting. Keys: dataset, method,
    against, seeds, pairs, and `statistics.Comparison`, with p_holm: p as the family of all comparisons on one data
    set leaves it.
    """
    import polars as pl

    from r2rec.evaluate.statistics import compare, holm

    hits = _by_method(arms)
    found: list[dict[str, Any]] = []
    for (earlier, a), (later, b) in combinations(hits.items(), 2):
        same_setting, first = (
            earlier.label == later.label,
            earlier.method == later.method and not earlier.label,
        )
        if earlier.dataset != later.dataset or not (same_setting or first):
            continue
        pairs = pl.concat(b).join(
            pl.concat(a), on=("seed", "user", "positive", "shown"), suffix="_before"
        )
        if pairs.height:  # none where they ranked other candidates
            facts = compare(pairs["hit"], pairs["hit_before"], pairs["user"], pairs["seed"])
            head = {"dataset": later.dataset, "method": later.name(), "against": earlier.name()}
            found.append(
                {**head, "seeds": pairs["seed"].n_unique(), "pairs": pairs.height, **facts}
            )
    for dataset in {row["dataset"] for row in found}:
        family = [row for row in found if row["dataset"] == dataset]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = p
    return found


def variations(arms: Sequence[Joined]) -> list[dict[str, Any]]:
    """How far one seed's HR@1 lies from the mean of all, by the users drawn and by the seed itself, of each method."""
    import polars as pl

    from r2rec.evaluate.statistics import variation

    rows = []
    for arm, tables in _by_method(arms).items():
        every = pl.concat(tables)
        users, seed = variation(every["hit"], every["user"], every["seed"])
        head = {"dataset": arm.dataset, "method": arm.name(), "seeds": len(tables)}
        rows.append({**head, "sd_users": users, "sd_seeds": seed})
    return rows


class _Method(NamedTuple):
    dataset: str
    train_dataset: str
    method: str
    variant: str
    label: str

    def name(self) -> str:
        trained = f"trained on {self.train_dataset}" if self.train_dataset != self.dataset else ""
        return " ".join(filter(None, [self.method, self.variant, trained]))


def _by_method(arms: Sequence[Joined]) -> dict[_Method, list["pl.DataFrame"]]:
    """Hits of each seed."""
    hits: dict[_Method, list[pl.DataFrame]] = {}
    for arm in arms:
        own = {key: arm.record[key] for key in ARM}
        hits.setdefault(_Method(**own, label=arm.label), []).append(_hits(arm.record, arm.rankings))
    return hits


def _hits(record: dict[str, Any], path: Path) -> "pl.DataFrame":
    import polars as pl

    table = pl.read_parquet(path).filter(pl.col("method") == record["method"])
    first = pl.col("ranking").list.get(0, null_on_oob=True) == pl.col("positive")
    hit = (first.fill_null(False) & pl.col("valid")).cast(pl.Float64)
    if abs((table.select(hit.mean()).item() or 0.0) - record["hr@1"]) > 1e-9:
        raise R2RecError(
            f"{path} and the metrics.json beside it disagree on {record['method']}: run that job again"
        )
    shown = pl.col("candidates").list.sort().cast(pl.List(pl.String)).list.join(" ")
    return table.select("user", "positive", shown=shown, hit=hit, seed=pl.lit(record["seed"]))


def _line(row: dict[str, Any]) -> str:
    low, high = row["ci95"]
    spread = (
        "no spread"
        if row["effect"] is None
        else f"d {row['effect']:+.2f}, {row['detectable']:.3f} detectable"
    )
    return (
        f"{row['dataset']}: {row['method']} - {row['against']}: HR@1 {row['difference']:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], p {row['p']:.4f} (Holm {row['p_holm']:.4f}), {spread}, "
        f"{row['pairs']} pairs of {row['seeds']} seeds"
    )
