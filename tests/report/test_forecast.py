"""The planner multiplies what was measured; a backbone of random weights is only as large as the real one."""

import polars as pl
import pytest
import torch

from r2rec.base.errors import R2RecError
from r2rec.base.store import Artefact
from r2rec.llm import load
from r2rec.report.forecast import plan
from tests.small import composed

LLAMA = {
    "model_type": "llama", "vocab_size": 4096, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0,
}  # fmt: skip
IMAGINED = [f"+model.architecture.{key}={value}" for key, value in LLAMA.items()]


def artefact(folder, stage, facts, **columns):
    path = folder / stage
    path.mkdir()
    pl.DataFrame(columns).write_parquet(path / "log.parquet")
    return Artefact(stage, "", path, 1.0, 2500.0, True, facts)


def test_a_full_run_is_what_was_measured_times_its_size(tmp_path):
    cfg = composed(
        "forecast.enabled=true",
        "forecast.dollars_per_hour=10",
        "forecast.rl_samples=9",
        "sft.batch_size=4",
    )
    made = {
        "sft": artefact(tmp_path, "sft", {"samples": 8, "tokens": 800}, seconds=[9.0, 2.0, 2.0]),
        "rl": artefact(
            tmp_path, "rl", {}, seconds=[50.0, 4.0, 4.0], memory_gb=[3.0, 3.0, 71.5],
            **{"seconds/generation": [40.0, 1.0, 1.0]},
        ),
    }  # fmt: skip
    facts = {"users": 10, "new_tokens": 400, "memory_gb": 16.25}
    ranked = {"R2Rec": Artefact("rank", "", tmp_path, 20.0, 0.0, True, facts)}
    sft, rl, rank, total = plan(cfg, made, ranked).splitlines()[2:]
    assert "0.500 s a sample, 200 tokens/s" in sft
    assert sft.split()[-2:] == [
        "2.5",
        f"{500 * 10 * 0.5 / 3600:.2f}",
    ]  # no GPU: the process's memory
    assert rl.split()[-2:] == ["71.5", "0.01"]
    assert rank.split()[-2] == "16.2"
    assert "4.00 s a step: generation 25%" in rl
    assert "9 steps" in rl  # one prompt a step in the smoke experiment
    assert "0.50 users/s, 20 new tokens/s" in rank
    hours = (500 * 10 * 0.5 + 9 * 4 + 1000 * 2) / 3600
    assert total.split() == ["together", f"${hours * 10:.2f}", f"{hours:.2f}"]


def test_every_training_step_is_timed_by_its_parts(smoke):
    rl = smoke.table("rl", "log").drop_nulls("seconds")
    parts = [name for name in rl.columns if name.startswith("seconds/")]
    assert parts == [
        "seconds/generation",
        "seconds/log_probabilities",
        "seconds/rewards",
        "seconds/backward",
    ]
    assert (rl.select(pl.sum_horizontal(parts)).to_series() < rl["seconds"]).all()
    assert (rl["seconds/generation"] > 0).all()
    assert smoke.table("sft", "log")["seconds"].drop_nulls().len() == 2


def test_a_backbone_is_as_large_as_its_architecture_says():
    one, other = (load.weights(composed("model=tiny", *IMAGINED).model, None) for _ in range(2))
    assert (one.config.hidden_size, one.config.num_hidden_layers) == (16, 1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(R2RecError, match=r"model\.architecture"):
        load.weights(composed("model=tiny", "+model.architecture.model_type=nope").model, None)


def test_the_8b_architecture_has_8b_weights():
    with torch.device("meta"):
        made = load.imagined(composed("model=llama_8b_random").model.architecture, torch.bfloat16)
    assert made.num_parameters() == 8_030_261_248
