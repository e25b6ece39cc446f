"""Made-up evidence chains: what the backbone is taught about them is true."""

import re
from dataclasses import replace
from random import Random

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from r2rec.config import Words
from r2rec.pretrain import backbone, weighed
from r2rec.pretrain.levels import FEW, READING, WEIGHED, level_at
from r2rec.pretrain.naming import mixed_title
from r2rec.pretrain.tokenizer import (
    SPECIAL_TOKENS,
    THOUGHT_TAGS,
    title_pieces,
)
from r2rec.prompts.answer import parse_ranking, split_thought
from r2rec.prompts.render import TITLE_LENGTH, clean
from tests.pretrain.small import SMALLEST

SPEC = replace(SMALLEST, chains="evidence", vocabulary=700, steps=6)
COMPARED = re.compile(
    r"(People|Recent ratings|Liked|Rank): (.*); "
    r"best by (people|recent ratings|liked|rank): ([A-T])\."
)


@given(st.integers(0, 2**32))
def test_a_comparison_drill_is_right(seed):
    drill = weighed.comparison_drill(np.random.default_rng(seed))
    order = re.findall(r"\b[A-T]\b", drill.prompt.partition("strongest")[2])
    best = {"all evidence": order[0]}
    for title, values, name, label in COMPARED.findall(drill.completion):
        assert title.lower() == name
        numbers = dict(re.findall(r"([A-T]) (\d+)", values))
        assert sorted(numbers) == sorted(order)
        steps = re.findall(r"([A-T]) (\d+)%? to ([A-T]) (\d+)%?, (\w+)", values)
        assert [other for _, _, other, _, _ in steps] == order[1:]
        for _, one, _, other, verdict in steps:
            gain = (int(one) - int(other)) * (-1 if name == "rank" else 1)
            assert verdict == ("even" if gain == 0 else "better" if gain > 0 else "worse")
        of_best = (min if name == "rank" else max)(map(int, numbers.values()))
        assert label == next(one for one in order if int(numbers[one]) == of_best)
        best[name] = label
    ((by, first, rest),) = re.findall(r"By ([a-z ]+): ([A-T]) comes first(.*)\.", drill.completion)
    assert first == best[by]
    assert re.findall(r"[A-T]", rest) == [label for label in order if label != first]
    learned = re.findall(drill.learned, drill.completion)
    # Of each criterion the verdicts, the labels that they lead to, and the best.
    n_criteria = drill.completion.count("best by")
    assert len(learned) == n_criteria * (2 * len(order) - 2) + 1


@given(st.integers(0, 2**32))
def test_an_example_answers_with_a_ranking_of_all_that_it_shows(seed):
    example = weighed.weighed_example(Words(), np.random.default_rng(seed), FEW)
    labels = re.findall(r"^- ([A-T]): ", example.prompt, re.MULTILINE)
    if not example.prompt.startswith("You recommend"):  # a drill
        return
    assert 1 < len(labels) <= FEW.candidates
    reasoned = "First reason" in example.prompt
    answer = parse_ranking(example.completion, len(labels), reasoned)
    assert answer.valid
    assert sorted(answer.labels) == labels
    thought, _ = split_thought(example.completion, reasoned)
    for title in re.findall(r'"[^"]*"', thought or ""):
        assert title in example.prompt


@given(st.integers(0, 2**32), st.sampled_from([weighed.reading_drill, weighed.title_drill]))
def test_a_drill_reads_only_what_it_shows(seed, drill):
    example = drill(Words(), np.random.default_rng(seed))
    told = re.findall(r'[A-T]: "[^"]*"(?:, \d+ ratings, \d+% liked)?', example.completion)
    assert told
    for line in told:
        assert f"- {line}" in example.prompt
    chains = re.findall(r"Chain \d+: the user gave [^\n]* recent ratings", example.completion)
    for chain in chains:
        assert f"- {chain}" in example.prompt


@given(seed=st.integers(0, 2**32))
def test_a_piece_drill_copies_every_title_once(tokenizer, seed):
    drill = weighed.piece_drill(title_pieces(tokenizer), np.random.default_rng(seed))
    shown = re.findall(r"^- (.*)$", drill.prompt, re.MULTILINE)
    copied = re.findall(r"^Step \d+: (.*)\.$", drill.completion, re.MULTILINE)
    assert sorted(copied) == shown
    assert len(shown) == weighed.PIECE_TITLES


def test_title_pieces_are_nearly_all_entries_and_stay_as_they_are(tokenizer):
    pieces = title_pieces(tokenizer)
    assert len(pieces) > 0.6 * len(tokenizer)  # a small one is mostly single bytes
    for piece in pieces:
        assert clean(f"a{piece}b") == f"a{piece}b"
    assert not set(pieces) & {*SPECIAL_TOKENS, *THOUGHT_TAGS, '"', "\n"}


@given(st.integers(0, 2**32), st.sampled_from([READING, FEW, WEIGHED]))
def test_a_case_has_no_more_than_its_level(seed, level):
    case = weighed.random_case(np.random.default_rng(seed), level)
    assert 2 <= len(case.candidates) <= level.candidates
    assert len(case.history) <= level.history
    assert sorted(told.place for told in case.evidence) == list(range(1, len(case.candidates) + 1))


def test_training_reads_single_chains_first():
    rng = np.random.default_rng(0)
    assert level_at(0.0, rng, "evidence") == READING
    later = {level_at(0.5, rng, "evidence") for _ in range(50)}
    assert later == {FEW, WEIGHED}


@given(number=st.integers(0, 99999))
def test_numbers_are_cut_from_their_end(tokenizer, number):
    cut = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(f" {number} others")
    pieces = [piece.removeprefix("Ġ") for piece, _ in cut[:-1]]  # Ġ is a space
    assert "".join(pieces) == str(number)
    assert all(len(piece) == 2 for piece in pieces[1:])


def test_half_precision_trains_weights_of_full_precision(tokenizer, tmp_path):
    spec = replace(SPEC, dtype="bfloat16")
    torch.manual_seed(0)
    model = backbone.make_model(spec, len(tokenizer))
    before = model.lm_head.weight.detach().clone()
    log = backbone.train_backbone(model, tokenizer, spec, tmp_path)
    torch.manual_seed(0)
    full = backbone.make_model(spec, len(tokenizer))
    exact = backbone.train_backbone(full, tokenizer, SPEC, tmp_path / "full")
    assert model.dtype == torch.float32
    assert not torch.equal(before, model.lm_head.weight)
    assert np.allclose(log["loss"], exact["loss"], rtol=0.02)
    assert not np.array_equal(log["loss"], exact["loss"])


@given(st.integers(0, 2**32))
def test_prompts_show_a_mixed_title_as_it_is(seed):
    title = mixed_title(Random(seed))
    assert title
    if len(title) <= TITLE_LENGTH:  # longer ones are cut
        assert clean(title) == title


@given(st.integers(0, 2**32))
def test_an_order_drill_keeps_the_order_after_the_first(seed):
    example = weighed.order_drill(np.random.default_rng(seed))
    order = re.findall(r"\b[A-T]\b", example.prompt.partition(":")[2])
    answer = parse_ranking(example.completion, len(order), True)
    assert answer.valid
    first = answer.labels[0]
    assert first in order[:3]
    assert f": {first} comes first" in example.given
    assert list(answer.labels[1:]) == [label for label in order if label != first]
