"""A sweep's end: shared arms once, seeds as one row, differences paired over users and seeds."""

import json

import polars as pl
import pytest
import yaml

from r2rec.report.join import join
from r2rec.report.labels import labels

USERS = 40


def job(folder, seed, arms):
    """A finished job; arms: (method, variant) -> the users whose positive comes first."""
    folder.mkdir(parents=True)
    tables, records = [], []
    for (method, variant), right in arms.items():
        ranked = [[u, 100] if u in right else [100, u] for u in range(USERS)]
        tables.append(
            pl.DataFrame(
                {
                    "method": method,
                    "user": range(USERS),
                    "positive": range(USERS),
                    "candidates": [[u, 100] for u in range(USERS)],
                    "ranking": ranked,
                    "valid": True,
                    "completion": None,
                },
                schema_overrides={"completion": pl.String},
            )
        )
        rate = len(right) / USERS
        records.append(
            {"method": method, "variant": variant, "dataset": "toy", "train_dataset": "toy", "seed": seed,
             "n_users": USERS, "hr@1": rate, "hr@3": 1.0, "ndcg@3": 1.0, "valid_ratio": 1.0,
             "ci95": {name: [rate, rate] for name in ("hr@1", "hr@3", "ndcg@3")}}
        )  # fmt: skip
    pl.concat(tables).write_parquet(folder / "rankings.parquet")
    (folder / "metrics.json").write_text(json.dumps(records))


BASE, FULL, PLAIN = ("backbone", "base"), ("R2Rec", "sft+rl"), ("R2Rec without SFT", "rl")


@pytest.fixture
def sweep(tmp_path):
    for seed in (0, 1):
        few, many = set(range(5 + seed)), set(range(20))
        job(tmp_path / str(2 * seed), seed, {BASE: few, FULL: many})
        job(tmp_path / str(2 * seed + 1), seed, {BASE: few, PLAIN: few})
    return tmp_path


def test_shared_arms_are_listed_once(sweep):
    records = join(sweep)
    assert records == json.loads((sweep / "metrics.json").read_text())
    assert [(r["method"], r["seed"]) for r in records] == [
        ("backbone", 0), ("R2Rec", 0), ("R2Rec without SFT", 0), ("backbone", 1), ("R2Rec", 1),
        ("R2Rec without SFT", 1),
    ]  # fmt: skip


def test_what_jobs_share_is_told_beside_what_each_would_make_alone(sweep, capsys):
    for n in range(4):
        stages = {
            "prepare": {"key": "same", "seconds": 10.0},
            "train_on/prepare": {"key": "same", "seconds": 10.0},
            "rank": {
                "key": "b",
                "arms": {
                    "one": {"key": "a", "seconds": 5.0},
                    "own": {"key": f"{n}", "seconds": 2.0},
                },
            },
            "report": {"key": "", "seconds": 1.0},
        }
        (sweep / str(n) / "manifest.json").write_text(json.dumps({"stages": stages}))
    join(sweep)
    told = "10 artefacts, 27 s; job by job 16, 72 s (38%)"
    assert f"work: {told}" in capsys.readouterr().out.splitlines()
    assert told in (sweep / "report.html").read_text()


def test_differences_are_paired_over_users_and_seeds(sweep, capsys):
    join(sweep)
    rows = {
        (r["method"], r["against"]): r
        for r in json.loads((sweep / "tables" / "differences.json").read_text())
    }
    got = rows["R2Rec sft+rl", "backbone base"]
    after = [u < 20 for _ in (0, 1) for u in range(USERS)]
    before = [u < 5 + seed for seed in (0, 1) for u in range(USERS)]
    assert (got["pairs"], got["seeds"]) == (2 * USERS, 2)
    assert got["difference"] == sum(after) / len(after) - sum(before) / len(before)
    assert got["p"] < 0.01
    assert rows["R2Rec without SFT rl", "backbone base"]["difference"] == 0
    assert rows["R2Rec without SFT rl", "backbone base"]["p"] == 1
    assert "R2Rec sft+rl - backbone base: HR@1 +0.362" in capsys.readouterr().out


def test_arms_of_one_name_say_what_sets_them_apart(tmp_path):
    jobs = [("none", 0, 5), ("flip", 0, 4), ("none", 1, 5), ("flip", 1, 5)]
    for n, (noise, seed, right) in enumerate(jobs):
        job(tmp_path / str(n), seed, {BASE: {1}, FULL: set(range(right))})
        config = {
            "seed": seed,
            "noise": {"name": noise, "_target_": noise},
            "prompt": {"name": "full", "history": 5},
        }
        (tmp_path / str(n) / "config.yaml").write_text(yaml.safe_dump(config))
    told = [(r["method"], r["variant"], r["seed"]) for r in join(tmp_path)]
    assert told == [
        ("backbone", "base", 0), ("R2Rec", "sft+rl", 0), ("R2Rec", "sft+rl, noise=flip", 0), ("backbone", "base", 1),
        ("R2Rec", "sft+rl", 1), ("R2Rec", "sft+rl, noise=flip", 1),
    ]  # fmt: skip
    rows = json.loads((tmp_path / "tables" / "differences.json").read_text())
    compared = {(row["method"], row["against"]): row for row in rows}
    assert set(compared) == {
        ("R2Rec sft+rl", "backbone base"),
        ("R2Rec sft+rl, noise=flip", "R2Rec sft+rl"),
    }
    flipped = compared["R2Rec sft+rl, noise=flip", "R2Rec sft+rl"]
    assert (flipped["pairs"], flipped["difference"]) == (2 * USERS, -1 / (2 * USERS))
    assert flipped["p_holm"] >= flipped["p"]
    variation = json.loads((tmp_path / "tables" / "variation.json").read_text())
    assert [row["seeds"] for row in variation] == [2, 2, 2]


def test_jobs_that_no_choice_sets_apart_are_numbered(tmp_path):
    job(tmp_path / "0", 0, {BASE: {1}, FULL: {1, 2}})
    job(tmp_path / "1", 0, {BASE: {1}, FULL: {1, 2, 3}})
    assert [(r["variant"], r["hr@1"] * USERS) for r in join(tmp_path)] == [
        ("base", 1),
        ("sft+rl", 2),
        ("sft+rl, job 1", 3),
    ]


def test_labels_name_a_member_and_what_varies_within_it():
    def config(name, share, history=5):
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
        "", "noise=flip", "noise=drop, noise.params.share=1", "noise=drop, noise.params.share=2", "prompt.history=3"
    ]  # fmt: skip


def test_a_sweep_that_ends_before_its_report_joins_nothing(tmp_path):
    (tmp_path / "0").mkdir()
    assert join(tmp_path) == []
    assert not (tmp_path / "metrics.json").exists()


def test_rewards_with_and_without_sft_share_a_picture(sweep):
    for job_folder in sorted(sweep.iterdir()):
        n = int(job_folder.name)
        made = job_folder / "rl"
        made.mkdir()
        log = pl.DataFrame({"step": [1, 2], "reward": [1.0 + n, 2.0 + n], "kl": [0.0, 0.25]})
        log.write_parquet(made / "log.parquet")
        known = {"key": str(n), "seconds": 1.0}
        stages = {"rl": known | {"path": str(made)}} | ({"sft": known} if n % 2 == 0 else {})
        (job_folder / "manifest.json").write_text(json.dumps({"stages": stages}))
    join(sweep)
    drawn = (sweep / "plots" / "reward_curve.svg").read_text()
    assert "after SFT" in drawn
    assert "without SFT" in drawn
    assert (sweep / "plots" / "reward_curve.png").stat().st_size > 1_000


def test_curves_are_of_one_setting_and_each_training_counts_once(sweep, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "r2rec.report.plots.reward_curve", lambda means, folder: drawn.update(means)
    )
    kinds = [
        ("paper", True, "a", 2.0),
        ("paper", False, "b", 1.0),
        ("paper", True, "a", 2.0),
        ("ndcg", True, "c", 9.0),
    ]
    for n, (reward, sft, key, value) in enumerate(kinds):
        config = {
            "seed": n // 2,
            "reward": {"name": reward},
            "sft": {"name": "tiny" if sft else "off"},
        }
        (sweep / str(n) / "config.yaml").write_text(yaml.safe_dump(config))
        made = sweep / str(n) / "rl"
        made.mkdir()
        pl.DataFrame({"step": [1], "reward": [value]}).write_parquet(made / "log.parquet")
        known = {"key": key, "seconds": 1.0, "path": str(made)}
        stages = {"rl": known} | ({"sft": known} if sft else {})
        (sweep / str(n) / "manifest.json").write_text(json.dumps({"stages": stages}))
    join(sweep)
    assert {name: means["reward"].to_list() for name, means in drawn.items()} == {
        "after SFT": [2.0], "without SFT": [1.0]
    }  # fmt: skip


def test_arms_that_came_out_alike_are_two_where_two_artefacts_say_so(tmp_path):
    """Equal means of other answers are another result; the same artefact in two jobs is one."""
    for n, (right, per_user) in enumerate([(range(10), 5), (range(10, 20), 1), (range(10), 1)]):
        job(tmp_path / str(n), 0, {BASE: {1}, FULL: set(right)})
        config = {
            "seed": 0,
            "chain_sampler": {"name": "closed", "per_user": per_user},
            "rl": {"name": f"rl{n // 2}"},
        }
        (tmp_path / str(n) / "config.yaml").write_text(yaml.safe_dump(config))
        keys = {
            "backbone": {"key": "same", "seconds": 1.0},
            "R2Rec": {"key": "ab"[n % 2], "seconds": 1.0},
        }
        (tmp_path / str(n) / "manifest.json").write_text(
            json.dumps({"stages": {"rank": {"arms": keys}}})
        )
    assert [(r["method"], r["variant"]) for r in join(tmp_path)] == [
        ("backbone", "base"), ("R2Rec", "sft+rl"), ("R2Rec", "sft+rl, chain_sampler.per_user=1")
    ]  # fmt: skip
    (row,) = [
        r
        for r in json.loads((tmp_path / "tables" / "differences.json").read_text())
        if "per_user" in r["method"]
    ]
    assert (row["difference"], row["p"]) == (0, 1)


def test_what_ranked_other_candidates_is_not_compared(tmp_path):
    job(tmp_path / "0", 0, {BASE: set(range(5))})
    job(tmp_path / "1", 0, {FULL: set(range(20))})
    table = pl.read_parquet(tmp_path / "1" / "rankings.parquet")
    changed = table.with_columns(pl.col("candidates").list.eval(pl.element().replace(100, 101)))
    changed.write_parquet(tmp_path / "1" / "rankings.parquet")
    join(tmp_path)
    assert json.loads((tmp_path / "tables" / "differences.json").read_text()) == []
