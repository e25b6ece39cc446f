"""A diagnostic as text: what could not be measured says so."""

import json

import polars as pl

from r2rec.report.diagnosis import diagnosis


def test_a_fact_without_a_value_is_none(tmp_path):
    pl.DataFrame({"change": ["as asked"], "hr@1": [0.5]}).write_parquet(
        tmp_path / "diagnosis.parquet"
    )
    (tmp_path / "facts.json").write_text(json.dumps({"one": 0.25, "other": None}))
    text, _ = diagnosis("faithfulness", {"r2rec": tmp_path}, tmp_path / "report")
    assert text.splitlines()[-2:] == ["r2rec: one: 0.250", "r2rec: other: not measured"]
