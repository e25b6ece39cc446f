"""The end of a sweep: shared arms once, seeds as one row, paired differences."""

import json
from collections.abc import Iterable, Mapping
from math import log2
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from hydra.types import RunMode
from omegaconf import OmegaConf

from r2rec.evaluate.statistics import wilson
from r2rec.report import compare
from r2rec.report.join import Join, join
from r2rec.report.labels import first_setting, labels

USERS = 40
Arm = tuple[str, str]

BASE = ("backbone", "base")
FULL = ("R2Rec", "sft+rl")
PLAIN = ("R2Rec without SFT", "rl")


def job(folder: Path, seed: int, arms: Mapping[Arm, Iterable[int]]) -> None:
    """A finished job; arms: (method, variant) -> the users whose positive comes first."""
    folder.mkdir(parents=True)
    tables = []
    records = []
    for (method, variant), users in arms.items():
        right = set(users)
        columns = {
            "method": method,
            "user": range(USERS),
            "positive": range(USERS),
            "candidates": [[u, 100] for u in range(USERS)],
            "ranking": [[u, 100] if u in right else [100, u] for u in range(USERS)],
            "valid": True,
            "completion": None,
        }
        tables.append(pl.DataFrame(columns, schema_overrides={"completion": pl.String}))
        rate = len(right) / USERS
        record = {
            "method": method,
            "variant": variant,
            "dataset": "toy",
            "train_dataset": "toy",
            "seed": seed,
            "n_users": USERS,
            "hr@1": rate,
            "hr@3": 1.0,
            "ndcg@3": rate + (1 - rate) / log2(3),
            "valid_ratio": 1.0,
            "ci95": {name: wilson(rate, USERS) for name in ("hr@1", "hr@3", "ndcg@3")},
        }
        records.append(record)
    pl.concat(tables).write_parquet(folder / "rankings.parquet")
    (folder / "metrics.json").write_text(json.dumps(records))


def write_config(folder: Path, **config: Any) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_stages(folder: Path, stages: Mapping[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps({"stages": stages}))


def table_of(sweep: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((sweep / "tables" / f"{name}.json").read_text())
    return rows


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for seed in (0, 1):
        few = range(5 + seed)
        many = range(20)
        job(tmp_path / str(2 * seed), seed, {BASE: few, FULL: many})
        job(tmp_path / str(2 * seed + 1), seed, {BASE: few, PLAIN: few})
    return tmp_path


def test_the_end_of_a_run_names_what_is_more_than_chance() -> None:
    row = {"metric": "mrr", "method": "a", "against": "b", "difference": 0.2, "ci95": [0.1, 0.3]}
    rows = [row | {"method": f"m{n}", "p_holm": 0.001 if n < 12 else 0.5} for n in range(20)]
    title, *lines = compare.significant_text(rows).splitlines()
    assert title == "MRR: significant differences (Holm's p below 0.05), of 20"
    assert lines[0] == "  m0 - b: MRR +0.200 [+0.100, +0.300]"
    assert lines[-1] == "  and 2 more: r2rec compare"
    assert compare.significant_text(rows[12:]).startswith("MRR: none of 8 differences is sig")
    assert compare.significant_text(rows[19:]).startswith("MRR: the difference is not sig")
    assert compare.significant_text([]) == ""


def test_shared_arms_are_listed_once(sweep: Path) -> None:
    records = join(sweep)
    assert records == json.loads((sweep / "metrics.json").read_text())
    assert [(r["method"], r["seed"]) for r in records] == [
        ("backbone", 0),
        ("R2Rec", 0),
        ("R2Rec without SFT", 0),
        ("backbone", 1),
        ("R2Rec", 1),
        ("R2Rec without SFT", 1),
    ]


def test_work_is_that_of_all_jobs_and_of_each_alone(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(4):
        arms = {"one": {"key": "a", "seconds": 5.0}, "own": {"key": f"{n}", "seconds": 2.0}}
        stages = {
            "prepare": {"key": "same", "seconds": 10.0},
            "train_on/prepare": {"key": "same", "seconds": 10.0},
            "rank": {"key": "b", "arms": arms},
            "report": {"key": "", "seconds": 1.0},
        }
        write_stages(sweep / str(n), stages)
    join(sweep)
    work = "10 artefacts in 27 s; had jobs shared nothing, 16 in 72 s"
    assert f"work: {work}" in capsys.readouterr().out.splitlines()
    assert work in (sweep / "report.html").read_text()


def test_differences_are_paired_over_users_and_seeds(
    sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    join(sweep)
    rows = {(row["method"], row["against"]): row for row in table_of(sweep, "differences")}
    full = rows["R2Rec sft+rl", "backbone base"]
    after = [u < 20 for _ in (0, 1) for u in range(USERS)]
    before = [u < 5 + seed for seed in (0, 1) for u in range(USERS)]
    assert (full["pairs"], full["seeds"]) == (2 * USERS, 2)
    assert full["difference"] == sum(after) / len(after) - sum(before) / len(before)
    assert full["p"] < 0.01
    plain = rows["R2Rec without SFT rl", "backbone base"]
    assert plain["difference"] == 0
    assert plain["p"] == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("R2Rec sft+rl - backbone base: HR@1 +0.362" in line for line in lines)
    assert f"differences: {sweep / 'tables' / 'differences.txt'}" in lines
    closing = " ".join(" ".join(lines[lines.index("", len(lines) - 8) :]).split())
    assert closing.startswith(
        "verdict: R2Rec wins on 40 users of toy at 2 seeds: HR@1 0.500, 0.362 above"
    )
    assert closing.removeprefix("verdict: ") in (sweep / "report.html").read_text()


def test_arms_of_one_name_have_labels(tmp_path: Path) -> None:
    jobs = [("none", 0, 5), ("flip", 0, 4), ("none", 1, 5), ("flip", 1, 5)]
    for n, (noise, seed, right) in enumerate(jobs):
        folder = tmp_path / str(n)
        job(folder, seed, {BASE: {1}, FULL: range(right)})
        write_config(
            folder,
            seed=seed,
            noise={"name": noise, "_target_": noise},
            prompt={"name": "full", "history": 5},
        )
    records = join(tmp_path)
    assert [(r["method"], r["variant"], r["seed"]) for r in records] == [
        ("backbone", "base", 0),
        ("R2Rec", "sft+rl", 0),
        ("R2Rec", "sft+rl, noise=flip", 0),
        ("backbone", "base", 1),
        ("R2Rec", "sft+rl", 1),
        ("R2Rec", "sft+rl, noise=flip", 1),
    ]
    compared = {(row["method"], row["against"]): row for row in table_of(tmp_path, "differences")}
    assert set(compared) == {
        ("R2Rec sft+rl", "backbone base"),
        ("R2Rec sft+rl, noise=flip", "R2Rec sft+rl"),
    }
    flipped = compared["R2Rec sft+rl, noise=flip", "R2Rec sft+rl"]
    assert (flipped["pairs"], flipped["difference"]) == (2 * USERS, -1 / (2 * USERS))
    assert flipped["p_holm"] >= flipped["p"]
    assert [row["seeds"] for row in table_of(tmp_path, "variation")] == [2, 2, 2]


def test_what_unlabelled_arms_have_is_said(tmp_path: Path, capsys: Any) -> None:
    for n, name in enumerate(["paper", "ndcg"]):
        job(tmp_path / str(n), 0, {BASE: {1}, FULL: range(n + 1)})
        write_config(tmp_path / str(n), reward={"name": name, "weight": n})
    assert [r["variant"] for r in join(tmp_path)] == ["base", "sft+rl", "sft+rl, reward=ndcg"]
    note = "rows that name no setting: reward=paper"
    assert note in capsys.readouterr().out.splitlines()
    assert note in (tmp_path / "report.html").read_text()


def test_what_the_first_job_of_a_grid_has_is_not_told() -> None:
    full = {group: {"name": "full"} for group in ("prompt", "sft", "rl", "reward")}
    jobs = [full, *({**full, group: {"name": "off"}} for group in full)]
    assert first_setting(jobs[:3]) == "prompt=full, sft=full"
    assert first_setting(jobs) == ""


def test_results_that_no_choice_explains_have_job_numbers(tmp_path: Path) -> None:
    job(tmp_path / "0", 0, {BASE: {1}, FULL: {1, 2}})
    job(tmp_path / "1", 0, {BASE: {1}, FULL: {1, 2, 3}})
    assert [(r["variant"], r["hr@1"] * USERS) for r in join(tmp_path)] == [
        ("base", 1),
        ("sft+rl", 2),
        ("sft+rl, job 1", 3),
    ]


def test_labels_name_a_member_and_what_varies_within_it() -> None:
    def config(name: str, share: int, history: int = 5) -> dict[str, Any]:
        return {
            "seed": share,
            "noise": {"name": name, "params": {"share": share}},
            "prompt": {"history": history},
        }

    jobs = [
        config("none", 0),
        config("flip", 1),
        config("drop", 1),
        config("drop", 2),
        config("none", 0, 3),
    ]
    assert labels(jobs) == [
        "",
        "noise=flip",
        "noise=drop, noise.params.share=1",
        "noise=drop, noise.params.share=2",
        "prompt.history=3",
    ]


def test_sweep_without_reports_is_not_joined(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    assert join(tmp_path) == []
    assert not (tmp_path / "metrics.json").exists()


def test_rewards_with_and_without_sft_share_a_figure(sweep: Path) -> None:
    for folder in sorted(sweep.iterdir()):
        n = int(folder.name)
        made = folder / "rl"
        made.mkdir()
        log = pl.DataFrame({"step": [1, 2], "reward": [1.0 + n, 2.0 + n], "kl": [0.0, 0.25]})
        log.write_parquet(made / "log.parquet")
        record = {"key": str(n), "seconds": 1.0}
        stages: dict[str, Any] = {"rl": record | {"path": str(made)}}
        if n % 2 == 0:
            stages["sft"] = record
        write_stages(folder, stages)
    join(sweep)
    drawn = (sweep / "plots" / "reward_curve.svg").read_text()
    assert "after SFT" in drawn
    assert "without SFT" in drawn
    assert (sweep / "plots" / "reward_curve.png").stat().st_size > 1_000


def test_reward_curves_are_of_one_setting_and_count_trainings_once(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, pl.DataFrame] = {}
    monkeypatch.setattr(
        "r2rec.report.curves.reward_curve", lambda means, folder: drawn.update(means)
    )
    trainings = [
        ("paper", True, "a", 2.0),
        ("paper", False, "b", 1.0),
        ("paper", True, "a", 2.0),
        ("ndcg", True, "c", 9.0),
    ]
    for n, (reward, sft, key, value) in enumerate(trainings):
        folder = sweep / str(n)
        sft_name = "tiny" if sft else "off"
        write_config(folder, seed=n // 2, reward={"name": reward}, sft={"name": sft_name})
        made = folder / "rl"
        made.mkdir()
        pl.DataFrame({"step": [1], "reward": [value]}).write_parquet(made / "log.parquet")
        record = {"key": key, "seconds": 1.0, "path": str(made)}
        stages = {"rl": record}
        if sft:
            stages["sft"] = record
        write_stages(folder, stages)
    join(sweep)
    assert {name: means["reward"].to_list() for name, means in drawn.items()} == {
        "after SFT": [2.0],
        "without SFT": [1.0],
    }


def test_equal_figures_of_two_artefacts_are_two_arms(tmp_path: Path) -> None:
    """Equal means of other answers are another result; the same artefact in two jobs is one."""
    jobs: list[tuple[range, int]] = [(range(10), 5), (range(10, 20), 1), (range(10), 1)]
    for n, (right, per_user) in enumerate(jobs):
        folder = tmp_path / str(n)
        job(folder, 0, {BASE: {1}, FULL: right})
        write_config(
            folder,
            seed=0,
            chain_sampler={"name": "closed", "per_user": per_user},
            rl={"name": f"rl{n // 2}"},
        )
        arms = {
            "backbone": {"key": "same", "seconds": 1.0},
            "R2Rec": {"key": "ab"[n % 2], "seconds": 1.0},
        }
        write_stages(folder, {"rank": {"arms": arms}})
    assert [(r["method"], r["variant"]) for r in join(tmp_path)] == [
        ("backbone", "base"),
        ("R2Rec", "sft+rl"),
        ("R2Rec", "sft+rl, chain_sampler.per_user=1"),
    ]
    (row,) = (row for row in table_of(tmp_path, "differences") if "per_user" in row["method"])
    assert (row["difference"], row["p"]) == (0, 1)


def test_rankings_of_other_candidates_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job(tmp_path / "0", 0, {BASE: range(5)})
    job(tmp_path / "1", 0, {FULL: range(20)})
    rankings = tmp_path / "1" / "rankings.parquet"
    others = pl.col("candidates").list.eval(pl.element().replace(100, 101))
    pl.read_parquet(rankings).with_columns(others).write_parquet(rankings)
    join(tmp_path)
    assert table_of(tmp_path, "differences") == []
    assert "differences:" not in capsys.readouterr().out


@pytest.mark.parametrize("dry", [False, True])
def test_dry_sweep_removes_and_joins_nothing(
    sweep: Path, dry: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    hydra = {"sweep": {"dir": str(sweep)}, "mode": RunMode.MULTIRUN}
    config = OmegaConf.create({"dry": dry, "hydra": hydra})
    manifest = {"r2rec": "0", "stages": {}, "sweep": True}
    (sweep / "0" / "manifest.json").write_text(json.dumps(manifest))
    before = {path.relative_to(sweep) for path in sweep.rglob("*")}
    (sweep / "multirun.yaml").touch()  # Hydra's own, which holds secrets that were typed

    Join().on_multirun_start(config)
    assert (sweep / "0" / "metrics.json").exists() == dry
    Join().on_job_start(config)
    Join().on_multirun_end(config)
    assert not (sweep / "multirun.yaml").exists()
    after = {path.relative_to(sweep) for path in sweep.rglob("*")}
    assert (after == before) == dry
    assert (capsys.readouterr().out == "") == dry


def test_a_label_that_changes_nothing_is_no_setting_though_jobs_have_other_seeds(
    tmp_path: Path,
) -> None:
    """A reference is the same in each setting; it has a seed that the first setting lacks."""
    jobs = [(0, "a", range(5)), (0, "b", range(9)), (1, "b", range(8))]
    for n, (seed, reward, right) in enumerate(jobs):
        folder = tmp_path / str(n)
        job(folder, seed, {BASE: range(3 + seed), FULL: right})
        write_config(folder, seed=seed, reward={"name": reward})
    assert [(r["method"], r["variant"], r["seed"]) for r in join(tmp_path)] == [
        ("backbone", "base", 0),
        ("R2Rec", "sft+rl", 0),
        ("R2Rec", "sft+rl, reward=b", 0),
        ("backbone", "base", 1),
        ("R2Rec", "sft+rl, reward=b", 1),
    ]
