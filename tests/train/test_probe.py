"""The probe: before, during and after, on validation positives alone, and without a trace in what is learned."""

import polars as pl
import pytest
from safetensors.torch import load_file

from r2rec.prompts.cases import LABELS
from r2rec.train.probe import probes, validation_questions
from tests.small import composed, go


def log(done, stage):
    return pl.read_parquet(done.folders()[stage] / "log.parquet")


@pytest.mark.parametrize("stage", ["sft", "rl"])
def test_it_asks_before_and_after(smoke, stage):
    table = log(smoke, stage)
    rows = table.drop_nulls("probe/hr@1")
    assert rows["step"].to_list() == [0, table["step"].max()]
    assert rows.select(pl.col("probe/hr@1", "probe/valid").is_between(0, 1).all()).row(0) == (
        True,
        True,
    )


def test_it_asks_about_validation_positives(smoke):
    cfg, folders = composed(), smoke.folders()
    prompts, labels = validation_questions(cfg, folders)
    assert (len(prompts), prompts) == (cfg.probe.users, validation_questions(cfg, folders)[0])
    known = pl.read_parquet(folders["split"] / "validation_candidates.parquet")
    titles = pl.read_parquet(folders["prepare"] / "items.parquet")["title"]
    told = {titles[item] for item in known["positive"]}
    for prompt, label in zip(prompts, labels, strict=True):
        (line,) = (text for text in prompt.split("\n") if text.startswith(f"- {label}: "))
        assert label in LABELS
        assert line.split('"')[1] in told


def test_no_users_no_probe(smoke):
    assert probes(composed("probe.users=0"), smoke.folders(), None, "rl") == []


@pytest.mark.slow
def test_a_probed_run_learns_the_same(smoke):
    plain = go(smoke.folder.parent / "store", "probe.users=0", "until=rl")
    for stage in ("sft", "rl"):
        assert "probe/hr@1" not in log(plain, stage).columns
        one, other = (
            load_file(d.folders()[stage] / "adapter_model.safetensors") for d in (plain, smoke)
        )
        assert all((one[name] == other[name]).all() for name in one)
