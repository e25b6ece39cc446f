"""Guessed tokens change how many passes a text takes, and not the text."""

import pytest
import torch
from transformers import GemmaConfig, GemmaForCausalLM, MistralConfig, MistralForCausalLM

from r2rec.llm import hf, speculative
from r2rec.llm.drafts import LONGEST, Draft
from tests.llm.test_sharing import SIZES, model, prompts  # noqa: F401

NEW = 50
ENDS = [1, 7]


def token_by_token(written_by, ids, mask, choose, numbers):
    """What transformers writes with the same choices, up to the first end."""
    with torch.no_grad():
        out = written_by.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=ENDS,
            logits_processor=[hf.leaving_chosen(choose, numbers)],
        )
    texts = []
    for row in out[:, ids.shape[1] :].tolist():
        ends = [place for place, token in enumerate(row) if token in ENDS]
        texts.append(row[: ends[0] + 1] if ends else row)
    return texts


def drafts_of(kind, texts, ids, mask):
    """Drafts whose expected text is right, wrong somewhere, of another row, or not there."""
    drafts = []
    for n, (text, row, seen) in enumerate(zip(texts, ids, mask.bool(), strict=True)):
        expected = {
            "right": text,
            "half right": [*text[: len(text) // 2], 3, *text[len(text) // 2 :]],
            "of another row": texts[n - 1],
            "too long": [*text, *text],
            "none": [],
        }[kind]
        drafts.append(Draft(expected, row[seen].tolist()))
    return drafts


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1, 1], [4, 4], [5], [3, 2]])
@pytest.mark.parametrize("kind", ["right", "half right", "of another row", "too long", "none"])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_text_is_that_of_one_token_at_a_time(model, sizes, kind, temperature):  # noqa: F811
    ids, mask = prompts(sizes)
    choose = hf.choosing(temperature, 0.95)
    numbers = hf.random_numbers(range(len(ids)), NEW, "cpu")
    want = token_by_token(model, ids, mask, choose, numbers)
    drafts = drafts_of(kind, want, ids, mask)
    with torch.no_grad():
        got = speculative.write(model, ids, mask, drafts, choose, numbers, ENDS)
    assert got == want


def test_right_guesses_take_few_passes(model, monkeypatch):  # noqa: F811
    ids, mask = prompts([1, 1])
    choose = hf.choosing(0.0, 1.0)
    numbers = hf.random_numbers([0, 1], NEW, "cpu")
    want = token_by_token(model, ids, mask, choose, numbers)
    seen = []
    forward = model.forward

    def watched(**words):
        seen.append(tuple(words["input_ids"].shape))
        return forward(**words)

    monkeypatch.setattr(model, "forward", watched)
    drafts = drafts_of("right", want, ids, mask)
    with torch.no_grad():
        speculative.write(model, ids, mask, drafts, choose, numbers, ENDS)
    written = seen[2:]  # after both prompts
    assert len(written) == -(-max(map(len, want)) // (LONGEST + 1))
    assert all(tokens <= LONGEST + 1 for _, tokens in written)


def test_models_that_keep_other_things_or_choose_otherwise_are_left_alone(model):  # noqa: F811
    ids, _ = prompts([2])
    assert speculative.can_draft(model, ids)
    assert not speculative.can_draft(model, ids[:, :1])
    sliding = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4))
    assert not speculative.can_draft(sliding, ids)
    plain = GemmaForCausalLM(GemmaConfig(**SIZES, head_dim=8))
    assert speculative.can_draft(plain, ids)
    plain.generation_config.repetition_penalty = 1.1
    assert not speculative.can_draft(plain, ids)
