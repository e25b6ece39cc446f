"""The engine on vLLM, which is not installed here: a stand-in takes what the real one takes.

`vllm_signatures.json` has what the first and the last release that TRL supports accept, read off
their sources: parameters of `LLM` and the fields of `EngineArgs` that it passes on, those of
`LLM.generate`, and the fields of `SamplingParams` and `LoRARequest`.
"""

import json
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hydra.utils import get_method
from packaging.requirements import Requirement

from r2rec.base.errors import R2RecError
from r2rec.llm import load, resident, vllm
from r2rec.llm.runtime import settle
from r2rec.train.common import trainer_released
from tests.llm.test_engines import LONG, engine, questions, setup
from tests.test_project import ROOT, tomllib

RELEASES = json.loads(Path(__file__).with_name("vllm_signatures.json").read_text())


class StandIn:
    """The module `vllm` of a release, on transformers: greedy, one request at a time."""

    def __init__(self, release):
        self.accepts = RELEASES[release]
        self.loads = []  # options of each LLM
        self.params = []  # of each request
        self.adapters = []  # of each call
        self.calls = []  # requests of each call

    def LLM(self, **options):  # noqa: N802 (vLLM's name)
        assert set(options) <= {*self.accepts["LLM"], *self.accepts["EngineArgs"]}
        assert options["max_lora_rank"] in self.accepts["max_lora_rank"]
        assert options.get("logprobs_mode", "raw_logprobs") in self.accepts["logprobs_mode"]
        self.loads.append(options)
        return Loaded(self)

    def SamplingParams(self, **given):  # noqa: N802
        assert set(given) <= set(self.accepts["SamplingParams"])
        unset = dict.fromkeys(("stop", "allowed_token_ids", "logprobs"))
        params = SimpleNamespace(**unset | given)
        self.params.append(params)
        return params

    def LoRARequest(self, *given):  # noqa: N802
        return dict(zip(self.accepts["LoRARequest"], given, strict=False))


class Loaded:
    def __init__(self, module):
        self.module = module
        config, _ = setup("hf")
        self.model = load.weights(config.model, None).eval()
        self.tokenizer = load.tokenizer(config.model, None)

    def generate(self, prompts, sampling_params, **others):
        assert {"prompts", "sampling_params", *others} <= set(self.module.accepts["LLM.generate"])
        self.module.adapters.append(others["lora_request"])
        self.module.calls.append(len(prompts))
        results = []
        for request, how in zip(prompts, sampling_params, strict=True):
            output = self.one(request["prompt_token_ids"], how)
            results.append(SimpleNamespace(outputs=[output]))
        return results

    def one(self, ids, params):
        allowed = params.allowed_token_ids
        if params.logprobs:
            with torch.inference_mode():
                after = self.model(torch.tensor([ids])).logits[0, -1]
            kept = torch.full_like(after, -torch.inf)
            kept[allowed] = after[allowed]
            logprobs = kept.log_softmax(-1)
            row = {i: SimpleNamespace(logprob=float(logprobs[i])) for i in allowed}
            return SimpleNamespace(logprobs=[row])
        options = {}
        if params.stop:
            options |= {"stop_strings": params.stop, "tokenizer": self.tokenizer}
        if allowed:
            options["prefix_allowed_tokens_fn"] = lambda *_: allowed
        output = self.model.generate(
            torch.tensor([ids]),
            do_sample=False,
            max_new_tokens=params.max_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
            eos_token_id=self.tokenizer.eos_token_id,
            **options,
        )
        new = output[0, len(ids) :].tolist()
        text = self.tokenizer.decode(new, skip_special_tokens=True)
        return SimpleNamespace(text=text, token_ids=new)


@pytest.fixture(params=sorted(RELEASES))
def module(request, monkeypatch):
    stand_in = StandIn(request.param)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    monkeypatch.setitem(sys.modules, "vllm.lora.request", stand_in)
    resident.release()
    yield stand_in
    resident.release()


def test_the_first_and_the_last_release_that_trl_supports_are_recorded():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = map(Requirement, project["optional-dependencies"]["vllm"])
    bounds = sorted(part.version for part in wanted.specifier)
    assert bounds == sorted(RELEASES)


@pytest.mark.parametrize("constrained", [False, True])
def test_vllm_is_asked_for_what_hf_does(module, constrained):
    words = (f"generation.constrained={constrained}", *LONG)
    asks, asked = engine("vllm", *words, reasoning=True)
    other, _ = engine("hf", *words, reasoning=True)
    answers, others = asks.write(asked[:3], 0), other.write(asked[:3], 0)
    assert [a.text for a in answers] == [a.text for a in others]
    if not constrained:
        assert [a.completion_tokens for a in answers] == [a.completion_tokens for a in others]
    assert not any(hasattr(params, "seed") for params in module.params)  # greedy: nothing is drawn


def test_labels_are_weighed_as_hf_does(module):
    asks, asked = engine("vllm", "generation.by=labels")
    other, _ = engine("hf", "generation.by=labels")
    for row, other_row in zip(asks.weigh(asked), other.weigh(asked), strict=True):
        assert np.allclose(row, other_row, atol=1e-4)
    assert module.loads[0]["logprobs_mode"] == "processed_logprobs"


def test_probabilities_are_not_asked_for_where_text_is_written(module):
    engine("vllm")
    assert not {"logprobs_mode", "max_logprobs"} & module.loads[0].keys()


@pytest.mark.parametrize(
    ("word", "given"),
    [
        ("generation.params.quantization=null", {}),
        ("generation.params.quantization=fp8", {"quantization": "fp8"}),
        ("+generation.params.tensor_parallel_size=2", {"tensor_parallel_size": 2}),
    ],
)
def test_further_arguments_reach_vllm(module, word, given):
    engine("vllm", word)
    names = {"quantization", "tensor_parallel_size"}
    assert {name: module.loads[0][name] for name in names & module.loads[0].keys()} == given


def test_lists_are_written_in_groups_that_the_cache_holds(module):
    words = ("generation.constrained=true", "generation.batch_size=2", *LONG)
    config, ready = setup("vllm", *words)
    asks = get_method(config.generation._target_)(ready)
    asks.write(questions(config, (3, 2, 4)), 0)
    assert max(module.calls) == 2


def test_draws_have_seeds_of_their_own(module):
    asks, asked = engine("vllm", "generation.temperature=0.6")
    asks.write(asked, 7)
    assert [params.seed for params in module.params] == [7 + n for n in range(len(asked))]


def test_all_arms_share_one_model_each_with_its_own_adapter(module, smoke, monkeypatch):
    monkeypatch.setattr(vllm, "_adapters", [])
    folders = smoke.folders()
    asked = {}
    for arm in (None, "sft", "rl", "sft"):
        asks, asked = engine("vllm", adapter=arm and folders[arm])
        asks.write(asked[:1], 0)
    assert len(module.loads) == 1
    adapters = [
        adapter and (adapter["lora_int_id"], adapter["lora_path"]) for adapter in module.adapters
    ]
    expected = [None, (1, str(folders["sft"])), (2, str(folders["rl"])), (1, str(folders["sft"]))]
    assert adapters == expected


def test_model_leaves_before_anything_else_takes_the_gpu(module):
    asks, _ = engine("vllm")
    kept = weakref.ref(resident._resident[0][1])
    config, _ = setup("hf")
    del asks
    settle(config.hardware)
    assert kept() is None

    engine("vllm")
    with trainer_released():
        settle(config.hardware)
    assert resident._resident == []
    assert len(module.loads) == 2


@pytest.mark.parametrize(("rank", "accepted"), [(1, 8), (16, 16), (20, 32), (300, 320), (600, 600)])
def test_rank_of_an_adapter_fits_into_one_that_vllm_accepts(rank, accepted):
    assert vllm._accepted(rank) == accepted
    for release in RELEASES.values():
        assert set(vllm.ADAPTER_RANKS) <= set(release["max_lora_rank"])


def test_vllm_extra_is_asked_for_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    config, ready = setup("vllm")
    with pytest.raises(R2RecError, match=r"pip install 'r2rec\[vllm\]'") as caught:
        get_method(config.generation._target_)(ready)
    assert "\n" not in str(caught.value)
