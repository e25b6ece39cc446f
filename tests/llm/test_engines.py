"""The engines on weights here: one interface, the same greedy texts, answers that can be held to the labels."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from hydra.utils import get_method
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from r2rec.base.errors import R2RecError
from r2rec.evaluate.rank import read_weights
from r2rec.llm import chat, constrain, load
from r2rec.llm.engine import Question, Setup
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import render_prompt
from tests.small import composed, go

GENRES = ("Drama", "Comedy", "Crime", "Horror", "Western")


def setup(name, *overrides, reasoning=False, **changes):
    cfg = composed(
        "model=tiny",
        f"generation={name}",
        "generation.max_new_tokens=24",
        "evaluation.arms=[base]",
        *overrides,
    )
    cfg.prompt.reasoning = reasoning
    return cfg, Setup(cfg.generation, cfg.model, cfg.hardware, reasoning, **changes)


def questions(cfg, sizes=(3, 5, 2, 4, 6)):
    """Ranking prompts of several lengths."""
    found = []
    for n in sizes:
        shelf = tuple(Item(f"Title {k}", (GENRES[(k + n) % 5],)) for k in range(n))
        case = RankingCase("female, artist", shelf[:1], (), shelf)
        found.append(
            Question(chat.user_turn(render_prompt(case, cfg.prompt, cfg.dataset.words)), n)
        )
    return found


def engine(name, *overrides, **changes):
    cfg, ready = setup(name, *overrides, **changes)
    return get_method(cfg.generation._target_)(ready), questions(cfg)


@pytest.fixture(scope="module")
def made():
    """Engines by what they were asked for; weights are small, but imports aren't."""
    known = {}
    return lambda *key, **changes: known.setdefault(
        (key, *changes.items()), engine(*key, **changes)
    )


@pytest.mark.parametrize("overrides", [(), ("generation.constrained=true",)])
def test_paged_writes_what_hf_writes(made, overrides):
    greedy = ("generation.temperature=0", *overrides)
    texts = {}
    for name in ("hf", "paged"):
        asks, asked = made(name, *greedy, "generation.batch_size=2")
        texts[name] = [a.text for a in asks.write(asked, 0)]
    assert texts["hf"] == texts["paged"]
    assert len(set(texts["hf"])) > 1


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_what_is_drawn_follows_from_the_seed(made, name):
    asks, asked = made(name, "generation.temperature=1.5", "generation.top_p=1.0")
    first, again, other = (tuple(a.text for a in asks.write(asked, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_is_drawn_for_a_prompt_does_not_depend_on_what_is_written_beside_it(made):
    texts = []
    for size in (1, 3):
        asks, asked = made("hf", "generation.temperature=1.0", f"generation.batch_size={size}")
        texts.append([a.text for a in asks.write(asked, 1)])
    assert texts[0] == texts[1]
    assert [a.text for a in asks.write([asked[0]] * 2, 1)] != [
        texts[0][0]
    ] * 2  # asked twice, drawn twice


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_a_constrained_answer_names_each_label_once(made, name):
    """Left alone, the backbone often leaves labels out; held to them, never, and it thinks as freely."""
    named = {}
    for held in (False, True):
        asks, asked = made(name, f"generation.constrained={held}", "generation.temperature=0",
                           "generation.max_new_tokens=160", "prompt.reasoning=true", reasoning=True)  # fmt: skip
        read = [
            parse_ranking(a.text, q.labels)
            for a, q in zip(asks.write(asked, 0), asked, strict=True)
        ]
        named[held] = [len(set(answer.labels)) for answer in read]
    assert named[True] == [q.labels for q in asked]
    assert sum(named[False]) < sum(named[True])


@pytest.mark.parametrize(
    ("text", "n", "can_begin"),
    [
        ("", 2, True), (" ", 2, True), (" B", 2, True), (" B >", 2, True), (" B > A", 2, True), (" B > B", 2, False),
        (" C", 2, False), (" B > A >", 2, False), ("B", 2, False), (" B A", 2, False), (" B > A ", 2, False),
    ],
)  # fmt: skip
def test_how_a_list_of_labels_can_begin(text, n, can_begin):
    assert constrain.begins(text, n) == can_begin


TOKENIZER = AutoTokenizer.from_pretrained(Path(load.__file__).parent / "weights" / "tiny")


@given(data=st.data(), n=st.integers(1, 20), cut=st.integers(0, 80))
def test_what_may_follow_is_what_a_list_can_go_on_with(data, n, cut):
    grammar = constrain.Grammar(TOKENIZER, reasoned=False)
    named = data.draw(st.lists(st.sampled_from(LABELS[:n]), max_size=n, unique=True))
    tail = f" {' > '.join(named)}"[:cut] + data.draw(st.sampled_from(["", "", "", " ", "A", "x"]))
    can = [i for i, piece in grammar.pieces.items() if piece and constrain.begins(tail + piece, n)]
    assert grammar.allowed(f"Ranking:{tail}", n) == (can or [TOKENIZER.eos_token_id])


def test_only_an_answer_is_constrained():
    assert constrain.answer_tail("Step 1: Ranking: A\n</think>\nso", True) is None
    assert constrain.answer_tail("Step 1\n</think>\nRanking: B >", True) == " B >"
    assert constrain.answer_tail("The ranking: B", False) is None


def test_a_prompt_without_room_is_not_asked(made):
    asks, asked = made("hf", "generation.temperature=0")
    long = Question(chat.user_turn("word " * 3000), 3)
    answers = asks.write([asked[0], long, asked[1]], 0)
    assert [a is None for a in answers] == [False, True, False]
    assert answers[0].prompt_tokens > 20
    assert [w is None for w in asks.weigh([long, asked[1]])] == [True, False]


def test_labels_are_weighed_alike_and_as_the_model_says(made):
    (asks, asked), (other, _) = (
        made(name, "generation.temperature=0", reasoning=False) for name in ("hf", "paged")
    )
    found = asks.weigh(asked)
    assert [len(row) for row in found] == [q.labels for q in asked]
    assert all(np.exp(row).sum() == pytest.approx(1) for row in found)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found, other.weigh(asked), strict=True))
    cfg, _ = setup("hf")
    tokenizer, model = load.tokenizer(cfg.model, None), load.weights(cfg.model, None)
    ids = chat.encode(tokenizer, asked[0].messages, False) + tokenizer.encode(
        "Ranking:", add_special_tokens=False
    )
    with torch.inference_mode():
        after = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    want = after[
        [tokenizer.encode(f" {x}", add_special_tokens=False)[0] for x in "ABC"]
    ].log_softmax(-1)
    assert np.allclose(found[0], want.numpy(), atol=1e-4)


class Params:
    stop = allowed_token_ids = logprobs = None

    def __init__(self, **given):
        vars(self).update(given)


class FakeVllm:
    """What the engine uses of vLLM, on transformers: greedy, one request at a time."""

    def __init__(self, source, **options):
        cfg, _ = setup("hf")
        self.model, self.tokenizer = (
            load.weights(cfg.model, None).eval(),
            load.tokenizer(cfg.model, None),
        )

    def generate(self, asked, params, lora_request, use_tqdm):
        return [
            SimpleNamespace(outputs=[self.one(a["prompt_token_ids"], p)])
            for a, p in zip(asked, params, strict=True)
        ]

    def one(self, ids, told):
        if told.logprobs:
            with torch.inference_mode():
                after = self.model(torch.tensor([ids])).logits[0, -1]
            kept = torch.full_like(after, -torch.inf)
            kept[told.allowed_token_ids] = after[told.allowed_token_ids]
            found = {
                i: SimpleNamespace(logprob=float(kept.log_softmax(-1)[i]))
                for i in told.allowed_token_ids
            }
            return SimpleNamespace(logprobs=[found])
        stops = {"stop_strings": told.stop, "tokenizer": self.tokenizer} if told.stop else {}
        held = (
            {"prefix_allowed_tokens_fn": lambda *_: told.allowed_token_ids}
            if told.allowed_token_ids
            else {}
        )
        output = self.model.generate(
            torch.tensor([ids]), do_sample=False, max_new_tokens=told.max_tokens, **stops, **held,
            pad_token_id=self.tokenizer.pad_token_id, eos_token_id=self.tokenizer.eos_token_id,
        )[0, len(ids) :].tolist()  # fmt: skip
        return SimpleNamespace(
            text=self.tokenizer.decode(output, skip_special_tokens=True), token_ids=output
        )


@pytest.mark.parametrize("held", [False, True])
def test_vllm_is_asked_for_what_hf_does(made, monkeypatch, held):
    """The engine's own part, on a stand-in for the library: stops, one label after the other, and their weights."""
    stand_in = {"LLM": FakeVllm, "SamplingParams": Params}
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(**stand_in))
    monkeypatch.setitem(sys.modules, "vllm.lora.request", SimpleNamespace(LoRARequest=None))
    words = (f"generation.constrained={held}", "generation.temperature=0", "generation.max_new_tokens=160",
             "prompt.reasoning=true")  # fmt: skip
    asks, asked = engine("vllm", *words, reasoning=True)
    other, _ = made("hf", *words, reasoning=True)
    assert [a.text for a in asks.write(asked[:3], 0)] == [a.text for a in other.write(asked[:3], 0)]
    assert all(
        np.allclose(a, b, atol=1e-4)
        for a, b in zip(asks.weigh(asked), other.weigh(asked), strict=True)
    )


def test_users_are_ranked_by_the_weights_of_labels(tmp_path):
    words = [
        "model=tiny",
        "generation.by=labels",
        "prompt=no_reasoning",
        "evaluation.arms=[base]",
        "evaluation.users=5",
    ]
    done = go(tmp_path / "store", *words)
    row = done.by_method()["backbone"]
    assert row["valid_ratio"] == 1.0
    ranked = pl.read_parquet(done.folder / "rankings.parquet").filter(method="backbone")
    assert ranked["completion"].is_null().all()
    assert (ranked["ranking"].list.sort() == ranked["candidates"].list.sort()).all()


def test_the_likelier_label_comes_first_and_who_was_not_asked_ranks_nothing():
    cfg = OmegaConf.create({"seed": 0, "arm": {"method": "m"}})
    candidates = pl.DataFrame({"user": [1, 2], "positive": [7, 7], "items": [[7, 8, 9], [8, 7, 9]]})
    table, facts = read_weights(cfg, candidates, [[-3.0, -0.1, -1.0], None])
    assert table["ranking"].to_list() == [[8, 9, 7], []]
    assert table["valid"].to_list() == [True, False]
    assert facts == {"unasked": 1}


def test_the_vllm_extra_is_asked_for_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    cfg, ready = setup("vllm")
    with pytest.raises(R2RecError, match=r"pip install 'r2rec\[vllm\]'") as told:
        get_method(cfg.generation._target_)(ready)
    assert "\n" not in str(told.value)
