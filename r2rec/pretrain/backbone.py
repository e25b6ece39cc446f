"""Stage `backbone`: a tiny Llama with its own tokenizer, trained fully on generated prompts, made on this machine.

It stands in for the paper's 8B backbone where there is no GPU and no network: the same architecture, the same
trainers on top, a thousandth of the size. LoRA on random weights teaches nothing, so its base is trained here first.
"""

import math
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from r2rec.base import seeds, tracking
from r2rec.base.checkpoint import load_state, save_state
from r2rec.llm import load
from r2rec.pretrain.naming import WORDS
from r2rec.pretrain.worlds import LEVELS, Example, Level, world_examples

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TAGS = (
    "<think>",
    "</think>",
)  # plain added tokens: special ones would be stripped before a reward sees them
PIECES = (
    r" ?(?:Liked|Chain|Step|[Nn]eighbour) \d{1,2}| ?[A-Za-z]+| ?\d{3}0s| ?\d{1,2}|"
    r" ?[^\sA-Za-z\d]+(?:[ \n]+[^\sA-Za-z\d]+)*|\n|\s"
)
"""What BPE may not merge across: names of parts ("Chain 2"), words, decades, numbers up to 99, runs of marks."""
PARTS = ("Liked", "Chain", "Step", "neighbour", "Neighbour")
SNAPSHOT, STATE = 250, "state.pt"  # steps from one to the next
DRILL = next(n for n, level in enumerate(LEVELS) if level.counted)
SHARES = (0.03, 0.05, 0.04, 0.03, 0.05, 0.16, 0.10, 0.12, 0.42)  # of all steps, spent on each level


def backbone(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write a folder that transformers loads: config, safetensors weights, tokenizer with its chat template.

    `cfg.model.tiny` has the sizes and the training; `cfg.seed` is not read, so that all seeds share one backbone.
    """
    import torch

    from r2rec.llm.runtime import settle

    settle(cfg.hardware)
    spec = cfg.model.tiny
    rng = seeds.generator(0, "backbone")
    if spec.start:
        plain = {
            "revision": None,
            "chat_template": "tiny.jinja",
            "adapter": None,
            "dtype": "float32",
        }
        before = OmegaConf.create({"path": spec.start, **plain})
        model, tokenizer = load.weights(before, None), load.tokenizer(before, None)
    else:
        tokenizer = make_tokenizer(spec, rng)
        torch.manual_seed(seeds.integer(0, "backbone.weights"))
        model = make_model(spec, len(tokenizer))
    log = train_backbone(model, tokenizer, spec, folder / "checkpoints")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    log.write_parquet(folder / "log.parquet")
    tail = log.tail(50)
    return {
        "parameters": model.num_parameters(),
        "steps": log.height,
        "tokens": int(log["tokens"].sum()),
        "loss_first": log["loss"][0],
        "loss_last": tail["loss"].mean(),
    }


def make_tokenizer(spec: DictConfig, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """A byte-level BPE of `spec.vocabulary` entries, trained on prompts of random worlds."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Replace(
        "[", "[ "
    )  # an attribute is then the same tokens first in its list and later
    pieces = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    whole = LEVELS[-1]._replace(change=0)
    corpus = (text for _ in range(20) for e in world_examples(rng, whole, 20) for text in e)
    words = (f" {word.capitalize()}" * 4 for word in WORDS for _ in range(8))
    parts = (f" {name} {n}" for name in PARTS for n in range(1, 21) for _ in range(50))
    numbers = (f" {n}" for n in range(100) for _ in range(50))
    bpe.train_from_iterator(chain(corpus, words, parts, numbers), trainer)
    bpe.add_tokens(list(TAGS))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[1],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL[2:])})
    tokenizer.chat_template = files("r2rec.llm").joinpath("templates/tiny.jinja").read_text()
    return tokenizer


def make_model(spec: DictConfig, vocabulary: int):  # type: ignore[no-untyped-def]
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


def train_backbone(model, tokenizer, spec: DictConfig, snapshots: Path) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    """Train all weights on completions, from easy worlds to the protocol's size: step, loss, tokens, seconds.

    Goes on from the newest snapshot that a killed run left, exactly as that run would have.
    """
    import torch
    from tqdm import tqdm

    optimizer = torch.optim.AdamW(
        model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rows: list[tuple[int, float, int, float]] = []
    pool = 0
    if state := load_state(snapshots / STATE):
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        rows, pool = state["rows"], state["pool"]
    begin = time.perf_counter() - (rows[-1][3] if rows else 0.0)
    model.train()
    steps = islice(token_batches(tokenizer, spec, pool), len(rows) - pool, spec.steps - pool)
    bar = tqdm(
        steps, total=spec.steps, initial=len(rows), desc="backbone", leave=False,
        mininterval=1 if sys.stderr.isatty() else 60,
    )  # fmt: skip
    for pool, tokens, starts in bar:
        step = len(rows)
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * backbone_schedule(step, spec.steps)
        loss = completion_loss(model, tokens, starts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rows.append((step, loss.item(), tokens.numel(), time.perf_counter() - begin))
        bar.set_postfix(loss=f"{rows[-1][1]:.3f}", refresh=False)
        if step % 10 == 0:
            tracking.log_step("backbone", step, {"loss": rows[-1][1], "tokens": rows[-1][2]})
        if step % SNAPSHOT == SNAPSHOT - 1 and step + 1 < spec.steps:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "rows": rows,
                "pool": pool,
            }
            save_state(snapshots / STATE, state)
    model.eval()
    return pl.DataFrame(rows, schema=["step", "loss", "tokens", "seconds"], orient="row")


def backbone_schedule(step: int, steps: int) -> float:
    """Warm-up over 3% of the steps, then a cosine down to a twentieth."""
    warm = max(1, int(0.03 * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def completion_loss(model, tokens, starts):  # type: ignore[no-untyped-def]
    """Mean cross-entropy over completion tokens; logits are computed for these alone.

    Padding stands on the right, where a causal model's earlier tokens don't see it: no mask is needed.
    """
    import torch

    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    target = tokens[:, 1:]
    place = torch.arange(target.shape[1])[None]
    counts = (place >= starts[:, None] - 1) & (target != model.config.pad_token_id)
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[counts]), target[counts])


def token_batches(tokenizer, spec: DictConfig, made: int = 0) -> Iterator[tuple]:  # type: ignore[no-untyped-def]
    """(first step of its pool, tokens [n, length], where each completion starts [n]), about `batch_tokens` each.

    Batches are cut from pools in which similar lengths stand together; a pool depends on its first step alone.
    """
    import torch

    begun = (
        "-".join(load.fingerprint(spec.start).values()) or spec.start or ""
    )  # by content, wherever it lies
    while True:
        first, rng = made, seeds.generator(0, f"backbone.{begun}{made}")
        progress = 1.0 if spec.start else made / spec.steps
        pool = [
            encode_example(tokenizer, e)
            for _ in range(8)
            for e in world_examples(rng, level_at(progress, rng), spec.prompts_per_world)
        ]
        pool.sort(key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], int]]] = [[]]
        for pair in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(pair[0]) > spec.batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        for k in rng.permutation(len(groups)):
            group = groups[k]
            tokens = torch.zeros(len(group), len(group[-1][0]), dtype=torch.long)
            for row, (ids, _) in enumerate(group):
                tokens[row, : len(ids)] = torch.tensor(ids)
            yield first, tokens, torch.tensor([start for _, start in group])
            made += 1


def level_at(progress: float, rng: np.random.Generator) -> Level:
    """The level of this share of training; now and then an earlier one, so that nothing is forgotten.

    Drills that only conclude go on to the end: they are short, and concluding is where whole tasks fail.
    """
    highest = int(np.searchsorted(np.cumsum(SHARES)[:-1], progress, side="right"))
    draw = rng.random()
    if draw < 0.3 and highest > DRILL:
        return LEVELS[DRILL]
    return LEVELS[highest if draw < 0.85 else rng.integers(highest + 1)]


def encode_example(tokenizer, example: Example) -> tuple[list[int], int]:  # type: ignore[no-untyped-def]
    """Token ids of a whole conversation, and where what is trained on starts."""
    head = tokenizer.encode(f"<|user|>{example.prompt}<|assistant|>{example.given}")
    return head + tokenizer.encode(f"{example.completion[len(example.given) :]}<|end|>"), len(head)
