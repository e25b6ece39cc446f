"""The forecast multiplies what was measured; random weights are only as large as the real ones."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from r2rec.base.errors import R2RecError
from r2rec.base.jobs import Finished
from r2rec.config.slices import Arm
from r2rec.llm import load
from r2rec.report.forecast import forecast
from tests.report.finished import finished
from tests.small import Done, typed

LLAMA = {
    "model_type": "llama",
    "vocab_size": 4096,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}
IMAGINED = [f"+model.architecture.{key}={value}" for key, value in LLAMA.items()]


def trained(folder: Path, stage: str, facts: dict[str, Any], **columns: list[float]) -> Finished:
    """A training with this log."""
    path = folder / stage
    path.mkdir()
    pl.DataFrame(columns).write_parquet(path / "log.parquet")
    return finished(stage, path, facts=facts, peak_memory_mb=2500.0)


def test_full_run_is_measured_steps_times_its_size(tmp_path: Path) -> None:
    config = typed(
        "forecast.enabled=true",
        "forecast.dollars_per_hour=10",
        "forecast.rl_samples=9",
        "sft.batch_size=4",
    )
    rl_log = {
        "seconds": [50.0, 4.0, 4.0],
        "memory_gb": [3.0, 3.0, 71.5],
        "seconds/generation": [40.0, 1.0, 1.0],
    }
    sft_facts = {"samples": 8, "tokens": 800}
    rank_facts = {"users": 10, "new_tokens": 400, "memory_gb": 16.25}
    jobs = [
        trained(tmp_path, "sft", sft_facts, seconds=[9.0, 2.0, 2.0]),
        trained(tmp_path, "rl", {}, **rl_log),
        finished("rank", tmp_path, arm=Arm("R2Rec"), facts=rank_facts, seconds=20.0),
    ]
    sft, rl, rank, total = forecast(config, jobs).splitlines()[2:]
    assert "0.500 s a sample, 200 tokens/s" in sft
    sft_hours = f"{500 * 10 * 0.5 / 3600:.2f}"
    assert sft.split()[-2:] == ["2.5", sft_hours]  # no GPU: the process's memory
    assert rl.split()[0] == "GRPO"
    assert rl.split()[-2:] == ["71.5", "0.01"]
    assert rank.split()[-2] == "16.2"
    assert "4.00 s a step: generation 25%" in rl
    assert "9 steps" in rl  # one prompt a step in the smoke experiment
    assert "0.50 users/s, 20 new tokens/s" in rank
    hours = (500 * 10 * 0.5 + 9 * 4 + 1000 * 2) / 3600
    assert total.split() == ["together", f"${hours * 10:.2f}", f"{hours:.2f}"]


def test_training_steps_are_timed_by_their_parts(smoke: Done) -> None:
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


def test_imagined_backbone_has_the_size_of_its_architecture() -> None:
    model = typed("model=tiny", *IMAGINED).model
    one, other = (load.weights(model, None) for _ in range(2))
    assert (one.config.hidden_size, one.config.num_hidden_layers) == (16, 1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    unknown = typed("model=tiny", "+model.architecture.model_type=nope").model
    with pytest.raises(R2RecError, match=r"model\.architecture"):
        load.weights(unknown, None)


def test_8b_architecture_has_8b_weights() -> None:
    architecture = typed("model=llama_8b_random").model.architecture
    with torch.device("meta"):
        made = load.imagined(architecture, torch.bfloat16)
    assert made.num_parameters() == 8_030_261_248
