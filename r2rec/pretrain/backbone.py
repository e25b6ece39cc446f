"""Stage `backbone`: a tiny Llama with its own tokenizer, trained from scratch on generated prompts.

It stands in for the paper's 8B backbone where there is no GPU and no network: the same architecture
and the same trainers on top, at a thousandth of the size. LoRA on random weights teaches nothing,
so its base is trained here first.
"""

import copy
import math
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from r2rec.base import seeds, signals, tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.base.progress import Bar, note
from r2rec.base.workspace import Workspace
from r2rec.config import Model, TinySpec
from r2rec.config.slices import BackboneSlice
from r2rec.llm import load
from r2rec.pretrain.batches import TokenBatch, token_batches
from r2rec.pretrain.tokenizer import make_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

SNAPSHOT = 250  # steps between snapshots of an unfinished training
STATE = "state.pt"
LOGGED_STEPS = 10  # steps between those sent to trackers
LAST_STEPS = 50  # steps whose mean loss is reported as the last

Row = tuple[int, float, int, float]  # step, loss, tokens, seconds since training began


def backbone(choices: BackboneSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write a folder that transformers loads: config, safetensors weights, tokenizer, template.

    The run's seed is not among the choices, so that all seeds share one backbone.
    """
    from r2rec.llm.runtime import settle

    settle(work.hardware)
    spec = choices.tiny
    if spec.start:
        model, tokenizer = _earlier_model(spec.start)
    else:
        model, tokenizer = _fresh_model(spec)
    log = train_backbone(model, tokenizer, spec, work.folder / "checkpoints")
    model.save_pretrained(work.folder)
    tokenizer.save_pretrained(work.folder)
    log.write_parquet(work.folder / "log.parquet")
    return {
        "parameters": model.num_parameters(),
        "steps": log.height,
        "tokens": int(log["tokens"].sum()),
        "loss_first": log["loss"][0],
        "loss_last": log["loss"].tail(LAST_STEPS).mean(),
    }


def _earlier_model(folder: str) -> tuple[Any, Any]:
    """Model and tokenizer of an earlier run."""
    earlier = Model(name="start", path=folder, chat_template="tiny.jinja", dtype="float32")
    return load.weights(earlier, None), load.tokenizer(earlier, None)


def _fresh_model(spec: TinySpec) -> tuple[Any, Any]:
    import torch

    tokenizer = make_tokenizer(spec, seeds.generator(0, "backbone"))
    torch.manual_seed(seeds.integer(0, "backbone.weights"))
    model = make_model(spec, len(tokenizer))
    return model, tokenizer


def make_model(spec: TinySpec, vocabulary: int) -> Any:
    """A Llama with fresh weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=spec.hidden,
            intermediate_size=spec.feed_forward,
            num_hidden_layers=spec.layers,
            num_attention_heads=spec.heads,
            num_key_value_heads=spec.heads,
            max_position_embeddings=4096,
            initializer_range=spec.initializer_range,
            rope_parameters={"rope_type": "default", "rope_theta": spec.rope_theta},
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    )


def train_backbone(model: Any, tokenizer: Any, spec: TinySpec, snapshots: Path) -> pl.DataFrame:
    """Train all weights on completions, from easy worlds to the protocol's size.

    Goes on from the newest snapshot of an interrupted run, exactly as that run would have. A signal
    ends it after a step, with a snapshot (`base.signals`).

    Returns:
        A row per step: step, loss (nats a token), tokens (padding included), seconds.
    """
    import torch

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rows: list[Row] = []
    pool = 0  # first step of the pool of the last step taken
    snapshot = load_state(snapshots / STATE)
    if snapshot is not None:
        model.load_state_dict(snapshot["model"])
        optimizer.load_state_dict(snapshot["optimizer"])
        rows = snapshot["rows"]
        pool = snapshot["pool"]
    done = len(rows)
    batches = islice(token_batches(tokenizer, spec, pool), done - pool, spec.steps - pool)
    model.train()
    with signals.deferred():
        _run_steps(model, optimizer, spec, batches, rows, snapshots / STATE)
    model.eval()
    return pl.DataFrame(rows, schema=["step", "loss", "tokens", "seconds"], orient="row")


def _run_steps(
    model: Any,
    optimizer: "Optimizer",
    spec: TinySpec,
    batches: Iterable[TokenBatch],
    rows: list[Row],
    snapshot: Path,
) -> None:
    """Take a step on each batch and append its row; stop early where a signal is pending."""
    worker = _worker(model, spec.dtype)
    seconds_before = rows[-1][3] if rows else 0.0
    begin = time.perf_counter() - seconds_before
    bar = Bar("backbone", spec.steps, len(rows))
    for batch in batches:
        step = len(rows)
        loss = _take_step(model, worker, optimizer, batch, rate=_learning_rate(step, spec))
        n_tokens = batch.tokens.numel()
        rows.append((step, loss, n_tokens, time.perf_counter() - begin))
        note(loss=loss)
        bar.update()
        if step % LOGGED_STEPS == 0:
            tracking.log_step("backbone", step, {"loss": loss, "tokens": n_tokens})
        interrupted = signals.pending() is not None
        is_last = len(rows) == spec.steps
        if interrupted or (len(rows) % SNAPSHOT == 0 and not is_last):
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rows": rows,
                "pool": batch.pool,
            }
            save_state(snapshot, state)
        if interrupted:
            break
    bar.close()


def _worker(model: Any, dtype: str) -> Any:
    """What computes the gradients: the model itself, or a copy of it in this number format."""
    import torch

    wanted = getattr(torch, dtype)
    if model.dtype == wanted:
        return model
    worker = copy.deepcopy(model)
    for weight in worker.parameters():  # not buffers: rotations need full precision
        weight.data = weight.data.to(wanted)
    return worker


def _take_step(
    model: Any, worker: Any, optimizer: "Optimizer", batch: TokenBatch, rate: float
) -> float:
    """One optimiser step at this learning rate; the loss before it."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = learned_loss(worker, batch.tokens, batch.learned)
    torch.autograd.backward(loss)
    pairs = list(zip(model.parameters(), worker.parameters(), strict=True))
    for weight, copied in pairs:
        weight.grad = copied.grad.to(weight.dtype)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        for weight, copied in pairs:
            copied.copy_(weight)
            copied.grad = None
    return float(loss.item())


def _learning_rate(step: int, spec: TinySpec) -> float:
    return spec.learning_rate * backbone_schedule(step, spec.steps)


def backbone_schedule(step: int, steps: int) -> float:
    """The learning rate's factor: warm-up over 3% of the steps, then a cosine down to 5%.

    Not transformers' `get_cosine_with_min_lr_schedule_with_warmup`: its warm-up starts at 0, so the
    first step would teach nothing.
    """
    warmup = max(1, int(0.03 * steps))
    if step < warmup:
        return (step + 1) / warmup
    angle = math.pi * (step - warmup) / max(1, steps - warmup)
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(angle))


def learned_loss(model: Any, tokens: "Tensor", learned: "Tensor") -> "Tensor":
    """Mean cross-entropy over learned tokens, in nats; no other logits are computed.

    No attention mask is needed: padding stands on the right, and a causal model's earlier tokens
    don't see it.

    Args:
        tokens: [n, length] token ids.
        learned: [n, length] whether a token counts.
    """
    import torch

    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    counts = learned[:, 1:]
    logits = model.lm_head(hidden[counts]).float()
    return torch.nn.functional.cross_entropy(logits, tokens[:, 1:][counts])
