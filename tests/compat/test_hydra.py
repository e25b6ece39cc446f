"""What leans on the inside of Hydra and OmegaConf: each test says what breaks when that changes."""

import copy
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from r2rec import config
from r2rec.base.errors import R2RecError
from r2rec.compat import hydra
from r2rec.config.place import CONF


def error_of(*words: str) -> Exception:
    config.register()
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(Exception) as caught:
        compose("config", list(words))
    return caught.value


def test_the_config_store_is_still_a_singleton_that_is_copied() -> None:
    """If Hydra stops copying it, `share_config_store` can go."""
    hydra.share_config_store()
    store = ConfigStore.instance()
    assert copy.deepcopy(store) is store


LINES = {
    "seed=[1": "cannot read the override seed=[1: put the value in quotes, e.g. \"seed='...'\"",
    "seed=x": "Value 'x' of type 'str' could not be converted to Integer",
    "force=think": "force is a list, write force=[think]",
    "datset=ml_1m": "there is no key datset; did you mean dataset?",
    "sft.sample=3": "there is no key sft.sample; did you mean samples?",
    "dataset=nope": "Could not find 'dataset/nope'; there are amazon, amazon_books",
    "dataset=ml_1M": "Could not find 'dataset/ml_1M' (did you mean ml_1m?); there are amazon",
    "baseline@fusion=sasrek": "(did you mean sasrec?)",
    "dataset.params.usres=3": "did you mean users?; there are seed, users, items",
    "hydra/launcher=ray": "pip install 'r2rec[ray]'",
}


@pytest.mark.parametrize("word", LINES)
def test_a_mistake_in_an_override_becomes_one_line(word: str) -> None:
    """Hydra's wording and its attribute `override` are read here."""
    line = hydra.composition_error(error_of(word))
    assert line is not None
    assert LINES[word] in line
    assert "\n" not in line


RUN_LINES = {
    "dataset=null": "dataset=null names no member of a group",
    "baseline.endpoint={a:1}": "baseline.endpoint is null here",
}


@pytest.mark.parametrize("word", RUN_LINES)
def test_errors_outside_hydras_own_classes_are_known_by_their_text(word: str) -> None:
    """Their texts are matched in `run_error`."""
    error = error_of(word)
    line = hydra.composition_error(error) or hydra.run_error(error, [word], CONF)
    assert line is not None
    assert RUN_LINES[word] in line


def test_other_errors_are_left_alone() -> None:
    assert hydra.composition_error(ValueError("x")) is None
    assert hydra.run_error(ValueError("x"), [], Path()) is None
    assert hydra.composition_error(R2RecError("a\nb")) == "a b"


def test_a_resolver_with_a_cache_is_called_once() -> None:
    """A run's folder is made when `hydra.run.dir` is first read; it must not be made twice."""
    calls: list[str] = []
    OmegaConf.register_new_resolver(
        "counted", lambda name: calls.append(name) or name, use_cache=True, replace=True
    )
    cfg = OmegaConf.create({"a": "${counted:x}"})
    assert (cfg.a, cfg.a) == ("x", "x")
    other = OmegaConf.create({"a": "${counted:x}"})
    OmegaConf.copy_cache(cfg, other)  # as Hydra does for the jobs of a sweep
    assert other.a == "x"
    assert calls == ["x"]


def test_one_word_stands_for_a_list_of_one() -> None:
    given = ["force=think", "evaluation.metrics=hr@5", "seed=1", "force=[sft]", "+force=rl"]
    expected = ["force=[think]", "evaluation.metrics=[hr@5]", *given[2:]]
    assert hydra.as_lists(given) == expected
    assert hydra.as_lists(["force=null", "force=sft,rl"]) == ["force=null", "force=sft,rl"]


@pytest.mark.parametrize(
    ("words", "params", "keys", "n_jobs"),
    [
        (["seed=0,1,2", "reward=ndcg"], None, ["seed"], 3),
        (["seed=range(4)", "+variant=a,b"], None, ["seed", "variant"], 8),
        (["seed=1"], {"seed": "0,1", "rl": "off,tiny"}, ["rl"], 2),
        (["force=[a,b]"], None, [], 1),
    ],
)
def test_a_sweep_says_what_it_varies(words, params, keys, n_jobs) -> None:
    sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"}
    node = OmegaConf.create(
        {"overrides": {"task": words}, "sweeper": {**sweeper, "params": params}}
    )
    assert hydra.swept(node) == (keys, n_jobs)
    node.sweeper._target_ = "hydra_plugins.hydra_optuna_sweeper.OptunaSweeper"
    assert hydra.swept(node)[1] is None
