"""The loop for closed questions: it learns, resumes exactly, and batching changes nothing."""

import os
import shutil
import signal

import numpy as np
import pytest
import torch

from r2rec.base import signals
from r2rec.config import Adapt
from r2rec.llm.scoring import option_logprobs
from r2rec.train import answers
from tests.llm.test_scoring import TOKENIZER, llama

YES, NO, END = [5, 6], [7], 1


def questions(seed, n):
    """Prompts that are answered by their last token: a yes if it is high."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(8, 40, size).tolist() for size in rng.integers(3, 9, n)]
    return [(p, [*(YES if p[-1] > 23 else NO), END]) for p in prompts]


def spec(**given):
    return Adapt(**{"learning_rate": 1e-2, "batch_tokens": 4096, **given})


def trained(folder, steps=40, rows=lambda step: questions(step, 16), **given):
    model = llama()
    log = answers.train_on_answers(model, rows, steps, spec(**given), 0, 0, folder)
    return model, log


def same(one, other, tolerance=0.0):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


def test_training_answers_new_questions(tmp_path):
    model, log = trained(tmp_path, 200)
    assert log["loss"].tail(5).mean() < 0.3 * log["loss"].head(5).mean()
    new = questions(1_000, 200)
    scored = option_logprobs(model, TOKENIZER, [p for p, _ in new], [YES, NO], 500)
    right = (scored[:, 0] > scored[:, 1]) == np.array([p[-1] > 23 for p, _ in new])
    assert right.mean() > 0.9


def test_killed_run_resumes_exactly(tmp_path):
    whole, log = trained(tmp_path / "whole", 12, save_steps=5)

    def until_seven(step):
        if step == 7:
            raise KeyboardInterrupt
        return questions(step, 16)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", 12, until_seven, save_steps=5)
    shutil.copytree(tmp_path / "killed", tmp_path / "rest")
    rest, log2 = trained(tmp_path / "rest", 12, save_steps=5)
    assert log2.equals(log)
    assert same(whole, rest)


@pytest.mark.parametrize("last", [3, 7])
def test_signal_keeps_the_state_of_its_step(tmp_path, monkeypatch, last):
    """Also where checkpoints are further apart than the training is long, and in the last step."""
    old = {name: signal.getsignal(getattr(signal, name)) for name in signals.SIGNALS}
    signals.install()
    whole, log = trained(tmp_path / "whole", 8, save_steps=50)
    steps = []

    def rows(step):
        steps.append(step)
        if step == last:
            os.kill(os.getpid(), signal.SIGTERM)
        return questions(step, 16)

    try:
        with pytest.raises(signals.Interrupted) as stopped:
            trained(tmp_path / "stopped", 8, rows, save_steps=50)
        assert (stopped.value.status, steps) == (143, list(range(last + 1)))
        last = None
        rest, log2 = trained(tmp_path / "stopped", 8, rows, save_steps=50)
    finally:
        for name, handler in old.items():
            signal.signal(getattr(signal, name), handler)
    assert steps == list(range(8))
    assert log2.equals(log)
    assert same(whole, rest)


def test_loss_is_a_mean_over_answer_tokens():
    """Whatever the memory, so however many passes a step takes."""
    rows, losses, gradients = questions(0, 9), [], []
    for batch_tokens in (1, 20, 10_000):
        model = llama()
        losses.append(answers._backward(model, rows, batch_tokens, 0))
        gradients.append(model.model.layers[0].mlp.up_proj.weight.grad)
    model, expected = llama(), []
    for prompt, answer in rows:
        logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        expected += torch.nn.functional.cross_entropy(
            logits, torch.tensor(answer), reduction="none"
        ).tolist()
    assert losses == pytest.approx([np.mean(expected)] * 3, rel=1e-5)
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], rtol=1e-3, atol=1e-6)


def test_learning_rate_rises_then_falls_to_a_hundredth():
    rates = [answers.warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert rates[9] == 1.0
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=0.002)
