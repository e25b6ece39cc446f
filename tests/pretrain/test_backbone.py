"""The tiny backbone's training: a killed run goes on as it would have."""

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from r2rec.base import seeds
from r2rec.config import TinySpec
from r2rec.pretrain import backbone as tiny


@pytest.fixture(scope="module")
def spec():
    sizes = {
        "vocabulary": 400,
        "hidden": 16,
        "layers": 1,
        "heads": 1,
        "feed_forward": 32,
        "batch_tokens": 512,
    }
    return OmegaConf.merge(
        OmegaConf.structured(TinySpec), sizes, {"steps": 12, "prompts_per_world": 8}
    )


def test_a_killed_run_goes_on_as_it_would_have(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "SNAPSHOT", 5)
    tokenizer = tiny.make_tokenizer(spec, seeds.generator(0, "backbone"))

    def trained(folder, until=None):
        torch.manual_seed(0)
        model = tiny.make_model(spec, len(tokenizer))
        left = iter(range(until or 99))
        loss = tiny.completion_loss
        with monkeypatch.context() as patch:
            patch.setattr(
                tiny,
                "completion_loss",
                lambda *a: loss(*a) if next(left, None) is not None else 1 / 0,
            )
            log = tiny.train(model, tokenizer, spec, folder)
        return model.state_dict(), log.drop("seconds")

    whole, log = trained(tmp_path / "whole")
    with pytest.raises(ZeroDivisionError):
        trained(tmp_path / "killed", until=8)
    rest, log2 = trained(tmp_path / "killed", until=7)  # from step 5: 7 more
    assert log2.equals(log)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)


def test_what_it_goes_on_from_seeds_its_batches_and_where_that_lies_does_not(spec, tmp_path):
    tokenizer = tiny.make_tokenizer(spec, seeds.generator(0, "backbone"))

    def tokens(name, content):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
        return next(
            tiny.batches(tokenizer, OmegaConf.merge(spec, {"start": str(tmp_path / name)}))
        )[1].tolist()

    assert tokens("here", "{}") == tokens("there", "{}")
    assert tokens("other", "[]") != tokens("same", "{}")


def test_an_example_longer_than_a_step_is_a_step(spec):
    tokenizer = tiny.make_tokenizer(spec, seeds.generator(0, "backbone"))
    small = tiny.batches(tokenizer, OmegaConf.merge(spec, {"batch_tokens": 1}))
    assert {len(next(small)[1]) for _ in range(5)} == {1}


def test_levels_come_in_order_and_end_at_the_protocol():
    rng = np.random.default_rng(0)
    seen = [
        {tiny.LEVELS.index(tiny.level_at(at, rng)) for _ in range(1000)} for at in (0, 0.2, 0.99)
    ]
    assert seen[0] == {0}
    assert seen[2] == set(range(len(tiny.LEVELS)))
    assert max(seen[1]) < len(tiny.LEVELS) - 1
    assert len(tiny.SHARES) == len(tiny.LEVELS)
    assert sum(tiny.SHARES) == pytest.approx(1)
