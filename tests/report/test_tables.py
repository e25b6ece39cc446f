import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r2rec.evaluate.metrics import summarise
from r2rec.report import records, tables


def record(method: str = "r2rec", **changes: Any) -> dict[str, Any]:
    base = {
        "method": method,
        "variant": "full",
        "dataset": "ml_1m",
        "train_dataset": "ml_1m",
        "seed": 0,
        "n_users": 1000,
        "hr@1": 0.1 + 0.2,
        "hr@3": 0.5,
        "ndcg@3": 0.4,
        "valid_ratio": 0.998,
        "ci95": {"hr@1": [0.27, 0.33], "hr@3": [0.47, 0.53], "ndcg@3": [0.37, 0.43]},
    }
    return base | changes


def test_text_is_aligned_and_says_what_is_needed() -> None:
    lines = tables.results_table(
        [record(), record("gpt_4o_mini", variant="", n_users=64)]
    ).splitlines()
    assert lines[0].split() == [
        "method",
        "variant",
        "dataset",
        "users",
        "HR@1",
        "HR@3",
        "NDCG@3",
        "valid",
    ]
    assert "0.300 [0.270, 0.330]" in lines[2]
    assert lines[2].endswith("99.8%")
    assert "1,000" in lines[2]
    assert len({len(line) for line in lines}) == 1
    assert tables.results_table([]).startswith("method")


def test_source_of_training_is_shown_when_it_differs() -> None:
    header, _, *rows = tables.results_table(
        [record(), record(train_dataset="amazon_books")]
    ).splitlines()
    assert "trained on" in header
    assert "amazon_books" in rows[1]


def test_seeds_become_their_mean() -> None:
    arms = [record(seed=seed) | {"hr@1": value} for seed, value in enumerate((0.2, 0.3, 0.4))]
    [merged] = records.over_seeds(arms)
    assert merged["hr@1"] == pytest.approx(0.3)
    assert merged["seeds"] == 3
    assert merged["ci95"]["hr@1"] == pytest.approx([0.27, 0.33])
    assert "seeds" in tables.results_table(arms)


def test_seeds_that_have_more_or_fewer_users_are_still_one_arm() -> None:
    arms = [record(seed=seed, n_users=users) for seed, users in enumerate((390, 1000, 386))]
    assert [(row["seeds"], row["users"]) for row in records.over_seeds(arms)] == [
        (3, "386 to 1,000")
    ]
    assert "386 to 1,000" in tables.results_table(arms)


def test_a_repeated_seed_is_another_arm() -> None:
    assert [row["seeds"] for row in records.over_seeds([record(), record(), record("sasrec")])] == [
        1,
        1,
        1,
    ]


def test_csv_round_trips(tmp_path: Path) -> None:
    rows = [record(), record('odd, "name"\nin two lines', seed=1, variant="a|b")]
    tables.write_tables(rows, tmp_path)
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    for row, original in zip(read, rows, strict=True):
        for name, value in original.items():
            if name == "ci95":
                ends = {
                    m: [float(row[f"{m}_low"]), float(row[f"{m}_high"])] for m in records.METRICS
                }
                assert ends == value
            else:
                assert type(value)(row[name]) == value


def test_markdown_rows_keep_their_columns(tmp_path: Path) -> None:
    tables.write_tables([record("a|b\nc", dataset="toy", train_dataset="toy")], tmp_path)
    text = (tmp_path / "results.md").read_text("utf-8")
    header, _, row = [line for line in text.splitlines() if line.startswith("|")]
    assert row.replace("\\|", "").count("|") == header.count("|")
    assert "Published" not in text
    assert records.DAGGER not in text


def test_latex_escapes(tmp_path: Path) -> None:
    tables.write_tables([record("100% a_b & {c} \\d")], tmp_path)
    text = (tmp_path / "results.tex").read_text("utf-8")
    assert r"100\% a\_b \& \{c\} \textbackslash{}d & full & ml\_1m" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2


def test_published_figures_stand_beside_the_same_data_only(tmp_path: Path) -> None:
    assert records.published_rows("toy") == []
    tables.write_tables([record(), record(dataset="toy"), record(dataset="amazon_books")], tmp_path)
    text = (tmp_path / "results.md").read_text("utf-8")
    assert text.count("## Published figures") == 2
    assert "| Table 1 | GraphSAGE † | ml_1m | 0.313 | 0.491 | 0.461 |" in text
    assert "| Table 1 | SASRec | ml_1m | 0.380 |" in text
    assert text.rstrip().endswith(records.FOOTNOTE)
    latex = (tmp_path / "results.tex").read_text(encoding="utf-8")
    note = latex.rstrip().splitlines()[
        -1
    ]  # what a reader of the compiled page sees, so no comment, and no bare "<"
    assert note.startswith(r"{\footnotesize \textsuperscript{\dag} Impossible")
    assert r"$\le$" in note
    assert "<" not in note


@pytest.mark.parametrize("dataset", ["ml_1m", "amazon_books", "amazon_electronics"])
def test_the_arithmetic_mark_is_right(dataset: str) -> None:
    """Recomputed with room for the third decimal: figures were rounded before they were printed."""
    rows = records.published_rows(dataset)
    assert len(rows) == 12 + 5 + 2  # Tables 1, 2, 3 without what Table 1 already says
    for row in rows:
        inside = row["ndcg@3_min"] - 0.001 <= row["ndcg@3"] <= row["ndcg@3_max"] + 0.001
        assert row["arithmetic"] == ("feasible" if inside else "infeasible")
        low = row["hr@1"] + (row["hr@3"] - row["hr@1"]) / 2
        assert row["ndcg@3_min"] == pytest.approx(low, abs=1e-4)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "results.md"
    tables.write_text(target, "whole")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        tables.write_text(tmp_path / "taken", "cannot replace a folder")
    tables.write_text(target, "lone surrogate \ud800")
    assert target.read_text("utf-8") == "lone surrogate ?"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.md", "taken"]


def wide(method: str = "R2Rec without RL", **changes: Any) -> dict[str, Any]:
    more = {"hr@5": 0.6, "ndcg@10": 0.5, "mrr": 0.45}
    ends = {name: [value - 0.03, value + 0.03] for name, value in more.items()}
    chosen = {"metrics": ["mrr", "hr@1", "hr@5", "ndcg@10"]}
    base = record(method, **more, **chosen, **changes)
    return base | {"ci95": base["ci95"] | ends}


@pytest.mark.parametrize("n_metrics", [1, 4, 20])
@pytest.mark.parametrize("length", [1, 60])
def test_the_console_table_fits_80_columns_and_loses_nothing(n_metrics: int, length: int) -> None:
    chosen = [f"hr@{k + 1}" for k in range(n_metrics)]
    values = {name: (number + 1) / 100 for number, name in enumerate(chosen)}
    ends = {name: [value, value] for name, value in values.items()}
    rows = []
    for number, method in enumerate(("R2Rec without RL", "a_method_with_a_name")):
        row = record(method, **values, metrics=chosen, dataset=f"set{number}")
        row["variant"] = " ".join(["word"] * (length // 5 + 1) + [str(number)] * (length > 1))
        row["ci95"] = row["ci95"] | ends
        rows.append(row)
    text = tables.results_table(rows)
    assert max(map(len, text.splitlines())) <= 80
    words = text.split()
    for name, value in values.items():
        assert name.upper() in words
        assert f"{value:.3f}" in words
    for word in ("set0", "set1", "a_method_with_a_name", "1,000", "word"):
        assert word in text


def test_the_chosen_metrics_are_what_tables_show(tmp_path: Path) -> None:
    rows = [wide(), wide("sasrec", seed=1)]
    header, rule, first, *_ = tables.results_table(rows).splitlines()
    assert header.split()[-5:] == ["MRR", "HR@1", "HR@5", "NDCG@10", "valid"]
    assert "HR@3" not in header
    assert "0.450 [0.420, 0.480]" in first
    assert set(rule) == {"-", " "}
    tables.write_tables(rows, tmp_path)
    text = (tmp_path / "results.md").read_text("utf-8")
    assert "| MRR | HR@1 | HR@5 | NDCG@10 | valid |" in text
    with (tmp_path / "results.csv").open(newline="", encoding="utf-8") as file:
        assert {"hr@3", "mrr", "mrr_low", "ndcg@10_high"} <= set(next(csv.reader(file)))


@pytest.mark.parametrize("suffix", ["md", "tex"])
def test_no_share_in_a_file_is_certain(suffix: str, tmp_path: Path) -> None:
    """0 of 10 and 10 of 10 have Wilson's intervals, valid answers too."""
    scores = pl.DataFrame(
        {"user": range(10), "valid": True, "hr@1": 0.0, "hr@3": 1.0, "ndcg@3": 0.0}
    )
    row = summarise(scores, method="m", variant="", dataset="toy", train_dataset="toy", seed=0)
    tables.write_tables([row], tmp_path)
    text = (tmp_path / f"results.{suffix}").read_text("utf-8").replace("\\%", "%")
    assert text.count("0.000 [0.000, 0.278]") == 2
    assert "1.000 [0.722, 1.000]" in text
    assert "100.0% [72–100%]" in text
    assert "[0.000, 0.000]" not in text
    assert "0.000 [0.000, 0.278]" in tables.results_table([row])
