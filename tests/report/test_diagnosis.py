"""A diagnostic as text: what could not be measured says so."""

import json
from pathlib import Path

import polars as pl

from r2rec.report.diagnosis import diagnosis


def test_fact_without_a_value_is_not_measured(tmp_path: Path) -> None:
    table = pl.DataFrame({"change": ["as asked"], "hr@1": [0.5]})
    table.write_parquet(tmp_path / "diagnosis.parquet")
    (tmp_path / "facts.json").write_text(json.dumps({"one": 0.25, "other": None}))
    text, figures = diagnosis("faithfulness", {"r2rec": tmp_path}, tmp_path / "report")
    assert text.splitlines()[-2:] == ["r2rec: one: 0.250", "r2rec: other: not measured"]
    assert list(figures) == ["faithfulness: hr@1 by change"]
    assert (tmp_path / "report" / "plots" / "faithfulness_hr1.png").exists()
