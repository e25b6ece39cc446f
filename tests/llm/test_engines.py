"""The engines on weights here: one interface, the same greedy texts, constrained answers."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hydra.utils import get_method
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from r2rec.base.errors import R2RecError
from r2rec.config import Endpoint
from r2rec.config.slices import Arm, RankSlice
from r2rec.evaluate.answers import read_weights
from r2rec.llm import chat, constrain, load, turns
from r2rec.llm.engine import Question, Setup
from r2rec.llm.remote import remote_engine, seeded_endpoint
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS, Item, RankingCase
from r2rec.prompts.render import render_prompt
from tests.small import choices, go, typed

GENRES = ("Drama", "Comedy", "Crime", "Horror", "Western")
GREEDY = "generation.temperature=0"
LONG = (GREEDY, "generation.max_new_tokens=160")


def setup(name, *overrides, reasoning=False, **changes):
    config = typed(
        "model=tiny",
        f"generation={name}",
        "generation.max_new_tokens=24",
        "evaluation.arms=[base]",
        f"prompt.reasoning={reasoning}",
        *overrides,
    )
    return config, Setup(config.generation, config.model, config.hardware, reasoning, **changes)


def questions(config, sizes=(3, 5, 2, 4, 6)):
    """Ranking prompts of several lengths."""
    ranking = []
    for n in sizes:
        shelf = tuple(Item(f"Title {k}", (GENRES[(k + n) % 5],)) for k in range(n))
        case = RankingCase("female, artist", shelf[:1], (), shelf)
        prompt = render_prompt(case, config.prompt, config.dataset.words)
        ranking.append(Question(chat.user_turn(prompt), n))
    return ranking


def engine(name, *overrides, **changes):
    config, ready = setup(name, *overrides, **changes)
    return get_method(config.generation._target_)(ready), questions(config)


@pytest.fixture(scope="module")
def made():
    """Engines by what they were asked for; weights are small, but imports aren't."""
    engines = {}

    def made(*overrides, **changes):
        key = (overrides, *changes.items())
        if key not in engines:
            engines[key] = engine(*overrides, **changes)
        return engines[key]

    return made


@pytest.mark.parametrize("overrides", [(), ("generation.constrained=true",)])
def test_paged_writes_what_hf_writes(made, overrides):
    texts = {}
    for name in ("hf", "paged"):
        asks, asked = made(name, GREEDY, *overrides, "generation.batch_size=2")
        texts[name] = [a.text for a in asks.write(asked, 0)]
    assert texts["hf"] == texts["paged"]
    assert len(set(texts["hf"])) > 1


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_draws_follow_from_the_seed(made, name):
    asks, asked = made(name, "generation.temperature=1.5", "generation.top_p=1.0")
    first, again, other = (tuple(a.text for a in asks.write(asked, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_draws_do_not_depend_on_other_prompts(made):
    texts = []
    for size in (1, 3):
        asks, asked = made("hf", "generation.temperature=1.0", f"generation.batch_size={size}")
        texts.append([a.text for a in asks.write(asked, 1)])
    assert texts[0] == texts[1]
    twice = [a.text for a in asks.write([asked[0]] * 2, 1)]
    assert twice != [texts[0][0]] * 2  # asked twice, drawn twice


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_constrained_answer_names_each_label_once(made, name):
    """Left alone, the backbone often leaves labels out; constrained, never, and it still thinks."""
    named = {}
    for constrained in (False, True):
        words = (f"generation.constrained={constrained}", *LONG)
        asks, asked = made(name, *words, reasoning=True)
        counts = []
        for answer, question in zip(asks.write(asked, 0), asked, strict=True):
            counts.append(len(set(parse_ranking(answer.text, question.labels).labels)))
        named[constrained] = counts
    assert named[True] == [q.labels for q in asked]
    assert sum(named[False]) < sum(named[True])


@pytest.mark.parametrize(
    ("text", "n", "can_begin"),
    [
        ("", 2, True),
        (" ", 2, True),
        (" B", 2, True),
        (" B >", 2, True),
        (" B > A", 2, True),
        (" B > B", 2, False),
        (" C", 2, False),
        (" B > A >", 2, False),
        ("B", 2, False),
        (" B A", 2, False),
        (" B > A ", 2, False),
    ],
)
def test_begins(text, n, can_begin):
    assert constrain.begins(text, n) == can_begin


TOKENIZER = AutoTokenizer.from_pretrained(Path(load.__file__).parent / "weights" / "tiny_closed")


@given(data=st.data(), n=st.integers(1, 20), cut=st.integers(0, 80))
def test_grammar_allows_what_a_list_can_go_on_with(data, n, cut):
    grammar = constrain.Grammar(TOKENIZER, reasoned=False)
    named = data.draw(st.lists(st.sampled_from(LABELS[:n]), max_size=n, unique=True))
    tail = f" {' > '.join(named)}"[:cut] + data.draw(st.sampled_from(["", "", "", " ", "A", "x"]))
    can = [i for i, piece in grammar.pieces.items() if piece and constrain.begins(tail + piece, n)]
    assert grammar.allowed(f"Ranking:{tail}", n) == (can or [TOKENIZER.eos_token_id])


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_generated_tokens_are_counted_and_not_those_of_the_text(made, name):
    """Spelled out again, a text that was cut or has odd characters has another number of tokens."""
    asks, asked = made(name, GREEDY, "generation.batch_size=2")
    config, _ = setup(name)
    tokenizer = load.tokenizer(config.model, None)
    for answer in asks.write(asked, 0):
        whole = len(tokenizer.encode(answer.text, add_special_tokens=False))
        assert answer.completion_tokens in (24, whole + 1)


@pytest.mark.parametrize(
    ("ids", "length"), [([5, 6, 7], 3), ([5, 1, 0, 0], 2), ([1, 1, 1], 1), ([], 0)]
)
def test_length_of_a_turn(ids, length):
    assert turns.length_of(ids, [1]) == length


def test_only_an_answer_is_constrained():
    assert constrain.answer_tail("Step 1: Ranking: A\n</think>\nso", True) is None
    assert constrain.answer_tail("Step 1\n</think>\nRanking: B >", True) == " B >"
    assert constrain.answer_tail("The ranking: B", False) is None


def test_prompt_without_room_is_not_asked(made):
    asks, asked = made("hf", GREEDY)
    long = Question(chat.user_turn("word " * 3000), 3)
    answers = asks.write([asked[0], long, asked[1]], 0)
    assert [a is None for a in answers] == [False, True, False]
    assert answers[0].prompt_tokens > 20
    assert [w is None for w in asks.weigh([long, asked[1]])] == [True, False]
    assert asks.weigh([long]) == [None]


def test_labels_are_weighed_alike_and_as_the_model_says(made):
    asks, asked = made("hf", GREEDY)
    other, _ = made("paged", GREEDY)
    weights = asks.weigh(asked)
    assert [len(row) for row in weights] == [q.labels for q in asked]
    assert all(np.exp(row).sum() == pytest.approx(1) for row in weights)
    for row, other_row in zip(weights, other.weigh(asked), strict=True):
        assert np.allclose(row, other_row, atol=1e-5)
    config, _ = setup("hf")
    tokenizer = load.tokenizer(config.model, None)
    model = load.weights(config.model, None)
    opening = tokenizer.encode("Ranking:", add_special_tokens=False)
    ids = chat.encode(tokenizer, asked[0].messages, False) + opening
    with torch.inference_mode():
        after = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    labels = [tokenizer.encode(f" {x}", add_special_tokens=False)[0] for x in "ABC"]
    expected = after[labels].log_softmax(-1)
    assert np.allclose(weights[0], expected.numpy(), atol=1e-4)


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


def test_likelier_label_comes_first_and_who_was_not_asked_ranks_nothing():
    rank = choices(RankSlice, "model=tiny", arm=Arm("m"))
    candidates = pl.DataFrame({"user": [1, 2], "positive": [7, 7], "items": [[7, 8, 9], [8, 7, 9]]})
    table, facts = read_weights(rank, candidates, [[-3.0, -0.1, -1.0], None])
    assert table["ranking"].to_list() == [[8, 9, 7], []]
    assert table["valid"].to_list() == [True, False]
    assert facts == {"unasked": 1}


@pytest.mark.parametrize("name", ["hf", "paged"])
def test_an_engine_on_weights_needs_a_model(name):
    config, ready = setup(name)
    with pytest.raises(R2RecError, match=rf"^generation={name} needs the weights of a model"):
        get_method(config.generation._target_)(ready._replace(model=None))


def test_options_of_the_endpoint_win_and_null_leaves_one_out():
    config, ready = setup("openai", "generation.temperature=0.5")
    server = Endpoint(model="m", options={"top_p": 0.1, "temperature": None, "n": 1})
    config.generation.endpoint = server
    asked = seeded_endpoint(config.generation, 7)
    assert asked.options == {"top_p": 0.1, "max_completion_tokens": 24, "seed": 7, "n": 1}
    assert server.options == {"top_p": 0.1, "temperature": None, "n": 1}
    with pytest.raises(ValueError, match=r"Setup\.responses"):
        remote_engine(ready)
