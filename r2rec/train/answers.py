"""A training loop for closed questions: the loss is on the few tokens of the answer.

The model's head sees no other tokens. What a step learns depends on the step alone, and the state
is on disk every few steps, so a killed run goes on exactly as it would have.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from r2rec.base import signals, tracking
from r2rec.base.checkpoint import between_saves, load_state, save_state
from r2rec.base.progress import Bar, note
from r2rec.config import Adapt
from r2rec.llm.scoring import length_batches, padded, parts

Row = tuple[list[int], list[int]]  # token ids of a prompt, and of its answer
Step = tuple[int, float, float]  # number, loss, learning rate
STATE = "state.pt"
MAX_GRADIENT_NORM = 1.0


class AnswerTraining:
    """The weights that learn, their optimiser, and the steps that are done."""

    def __init__(self, model: Any, learning_rate: float) -> None:
        import torch

        self.model = model
        self.trained = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                self.trained[name] = parameter
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=learning_rate, weight_decay=0.0
        )
        self.log: list[Step] = []

    def restore(self, path: Path) -> None:
        """Go on from a saved state, if there is one."""
        saved = load_state(path, self.model.device)
        if saved:
            self.model.load_state_dict(saved["weights"], strict=False)
            self.optimizer.load_state_dict(saved["optimizer"])
            self.log = saved["log"]

    def save(self, path: Path) -> None:
        """Leave the state for `restore`."""
        weights = {}
        for name, parameter in self.trained.items():
            weights[name] = parameter.detach()
        state = {
            "weights": weights,
            "optimizer": self.optimizer.state_dict(),
            "log": self.log,
        }
        save_state(path, state)

    def learn(self, rows: list[Row], rate: float, batch_tokens: int, pad: int, bf16: bool) -> float:
        """One step of AdamW at this learning rate; the loss before it."""
        import torch

        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.model.device.type, torch.bfloat16, enabled=bf16):
            loss = _backward(self.model, rows, batch_tokens, pad)
        torch.nn.utils.clip_grad_norm_(self.trained.values(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


def train_on_answers(
    model: Any,
    rows: Callable[[int], list[Row]],
    steps: int,
    spec: Adapt,
    seed: int,
    pad: int,
    folder: Path,
    bf16: bool = False,
) -> pl.DataFrame:
    """Train the weights that require gradients, by AdamW, in place.

    Args:
        rows: What each step learns from.
        pad: Token id for padding.
        folder: Where the state is kept every `spec.save_steps`, and a few times in any case.
        bf16: Compute in bfloat16 where autocast does.

    Returns:
        The log: step, loss (mean over answer tokens), learning_rate.

    Raises:
        Interrupted: A signal asked the run to end; the state after the last step is kept.
    """
    import torch

    training = AnswerTraining(model, spec.learning_rate)
    training.restore(folder / STATE)
    model.train()
    bar = Bar("adapt", steps, len(training.log))
    between = between_saves(spec.save_steps, steps)
    with signals.deferred():
        for step in range(len(training.log), steps):
            torch.manual_seed((seed + step) % 2**31)
            rate = spec.learning_rate * warmup_cosine(step, steps, spec.warmup)
            loss = training.learn(rows(step), rate, spec.batch_tokens, pad, bf16)
            training.log.append((step, loss, rate))
            tracking.log_step("adapt", step, {"loss": loss, "learning_rate": rate})
            note(loss=loss)
            bar.update()
            is_interrupted = signals.pending() is not None
            is_due = (step + 1) % between == 0 and step + 1 < steps
            if is_due or is_interrupted:
                training.save(folder / STATE)
            if is_interrupted:
                break
    bar.close()
    model.eval()
    return pl.DataFrame(training.log, schema=["step", "loss", "learning_rate"], orient="row")


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate: linear up to 1, then a cosine down to a hundredth.

    transformers' `cosine_warmup_with_min_lr` decays from one step later on and ends at the
    hundredth exactly, so it would train other weights.

    Args:
        warmup: Share of the steps for the way up.
    """
    warm = max(1, round(warmup * steps))
    if step < warm:
        return (step + 1) / warm
    decayed = (step - warm) / max(1, steps - warm)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * decayed))


def _backward(model: Any, rows: list[Row], batch_tokens: int, pad: int) -> float:
    """Add up the gradient of the mean loss over all answer tokens; that loss.

    Args:
        batch_tokens: Tokens at once, padding included; more rows take more passes.
    """
    import torch

    decoder, head = parts(model)
    lengths = []
    n_answer_tokens = 0
    for prompt, answer in rows:
        lengths.append(len(prompt) + len(answer))
        n_answer_tokens += len(answer)
    total = 0.0
    for batch in length_batches(lengths, batch_tokens):
        batch_rows = [rows[i] for i in batch]
        sequences = [prompt + answer for prompt, answer in batch_rows]
        ids = padded(sequences, pad, model.device)
        positions = torch.tensor(_answer_positions(batch_rows), device=model.device)
        row, column = positions.T
        states = decoder(input_ids=ids, use_cache=False).last_hidden_state
        before = states[row, column - 1]  # the state before a token predicts it
        logits = head(before).float()
        losses = torch.nn.functional.cross_entropy(logits, ids[row, column], reduction="sum")
        loss = losses / n_answer_tokens
        torch.autograd.backward(loss)
        total += loss.item()
    return total


def _answer_positions(rows: list[Row]) -> list[tuple[int, int]]:
    """(row, column) of each answer token in the padded batch of these rows."""
    positions = []
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        for column in range(len(prompt), end):
            positions.append((row, column))
    return positions
