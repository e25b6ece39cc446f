"""A training loop for closed questions: the loss is on the few tokens of the answer, so the head sees no others.

What a step learns from depends on the step alone, and its state is on disk every few steps: a killed run goes on
exactly as it would have.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from omegaconf import DictConfig

from r2rec.base import tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.llm.scoring import length_batches, padded, parts

Row = tuple[list[int], list[int]]  # token ids of a prompt, and of its answer
STATE = "state.pt"


def train_on_answers(
    model: Any, rows: Callable[[int], list[Row]], steps: int, spec: DictConfig, seed: int, pad: int, folder: Path,
    bf16: bool = False,
) -> pl.DataFrame:  # fmt: skip
    """Train what asks for gradients, by AdamW; the log: step, loss (mean over answer tokens), learning rate.

    Args:
        rows: What a step learns from.
        spec: An `Adapt` of the configuration.
        folder: Where the state is kept between `spec.save_steps`.
    """
    import torch
    from tqdm import tqdm

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=spec.learning_rate, weight_decay=0.0)
    log: list[tuple[int, float, float]] = []
    if saved := load_state(folder / STATE, model.device):
        model.load_state_dict(saved["weights"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        log = saved["log"]
    model.train()
    bar = tqdm(
        range(len(log), steps),
        total=steps,
        initial=len(log),
        desc="adapt",
        leave=False,
        disable=None,
    )
    for step in bar:
        torch.manual_seed((seed + step) % 2**31)
        rate = spec.learning_rate * warmup_cosine(step, steps, spec.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            loss = _backward(model, rows(step), spec.batch_tokens, pad)
        torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        log.append((step, loss, rate))
        tracking.log_step("adapt", step, {"loss": loss, "learning_rate": rate})
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if (step + 1) % spec.save_steps == 0 and step + 1 < steps:
            weights = {name: p.detach() for name, p in trained.items()}
            save_state(
                folder / STATE,
                {"weights": weights, "optimizer": optimizer.state_dict(), "log": log},
            )
    model.eval()
    return pl.DataFrame(log, schema=["step", "loss", "learning_rate"], orient="row")


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """A line up over the first share of steps, then a cosine down to a hundredth."""
    warm = max(1, round(warmup * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _backward(model: Any, rows: list[Row], batch_tokens: int, pad: int) -> float:
    """Add the gradient of the mean loss over all answer tokens, in as many passes as memory asks for; that loss."""
    import torch

    decoder, head = parts(model)
    whole, count, total = [p + a for p, a in rows], sum(len(a) for _, a in rows), 0.0
    for batch in length_batches([len(ids) for ids in whole], batch_tokens):
        ids = padded([whole[i] for i in batch], pad, model.device)
        place = [
            (k, at) for k, i in enumerate(batch) for at in range(len(rows[i][0]), len(whole[i]))
        ]
        row, at = torch.tensor(place, device=model.device).T
        hidden = decoder(input_ids=ids, use_cache=False).last_hidden_state[row, at - 1]
        loss = (
            torch.nn.functional.cross_entropy(head(hidden).float(), ids[row, at], reduction="sum")
            / count
        )
        loss.backward()
        total += loss.item()
    return total
