"""Stage `backbone`: a tiny Llama with its own tokenizer, trained fully on generated prompts, made on this machine.

It stands in for the paper's 8B backbone where there is no GPU and no network: the same architecture, the same
trainers on top, a thousandth of the size. LoRA on random weights teaches nothing, so its base is trained here first.
"""

import math
import time
from collections.abc import Iterator
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from r2rec import seeds
from r2rec.llm.worlds import LEVELS, Example, Level, examples

SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
TAGS = ("<think>", "</think>")  # plain added tokens: special ones would be stripped before a reward sees them
PIECES = r" ?[A-Za-z]+| ?\d{3}0s| ?\d{1,2}|\n| ?[^\sA-Za-z\d]+|\s"
"""What BPE may not merge across: words, decades, numbers up to 99, marks."""
SHARES = (0.15, 0.15, 0.2, 0.5)  # of all steps, spent on each level


def backbone(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write a folder that transformers loads: config, safetensors weights, tokenizer with its chat template.

    `cfg.model.tiny` has the sizes and the training; `cfg.seed` is not read, so that all seeds share one backbone.
    """
    import torch

    from r2rec.llm.runtime import settle

    settle(cfg.hardware)
    spec = cfg.model.tiny
    rng = seeds.generator(0, "backbone")
    tokenizer = make_tokenizer(spec, rng)
    torch.manual_seed(seeds.integer(0, "backbone.weights"))
    model = make_model(spec, len(tokenizer))
    log = train(model, tokenizer, spec, rng)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"parameters": model.num_parameters(), **log}


def make_tokenizer(spec: DictConfig, rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """A byte-level BPE of `spec.vocabulary` entries, trained on prompts of random worlds."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocabulary - len(TAGS),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = (text for _ in range(40) for e in examples(rng, LEVELS[2], 20) for text in e)
    bpe.train_from_iterator(corpus, trainer)
    bpe.add_tokens(list(TAGS))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=SPECIAL[0], eos_token=SPECIAL[1], clean_up_tokenization_spaces=False
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


def train(model, tokenizer, spec: DictConfig, rng: np.random.Generator, say=lambda line: None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    """Train all weights on completions, from easy worlds to the protocol's size. Returns loss and speed."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    begin, losses, seen = time.perf_counter(), [], 0
    model.train()
    for step, (tokens, starts) in enumerate(islice(batches(tokenizer, spec, rng), spec.steps)):
        for group in optimizer.param_groups:
            group["lr"] = spec.learning_rate * schedule(step, spec.steps)
        loss = completion_loss(model, tokens, starts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seen += tokens.numel()
        if step % 50 == 49:
            speed = seen / (time.perf_counter() - begin)
            say(f"step {step + 1}/{spec.steps} loss {np.mean(losses[-50:]):.4f} tokens {seen / 1e6:.1f}M at {speed:.0f}/s")
        if spec.seconds and time.perf_counter() - begin > spec.seconds:
            break
    model.eval()
    return {"steps": len(losses), "tokens": seen, "loss_first": losses[0], "loss_last": float(np.mean(losses[-20:]))}


def schedule(step: int, steps: int) -> float:
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


def batches(tokenizer, spec: DictConfig, rng: np.random.Generator) -> Iterator[tuple]:  # type: ignore[no-untyped-def]
    """(tokens [n, length], where each completion starts [n]) of about `batch_tokens`, similar lengths together."""
    import torch

    made = 0
    while True:
        pool = [encode(tokenizer, e) for _ in range(8) for e in examples(rng, level_at(made / spec.steps, rng), spec.prompts_per_world)]
        pool.sort(key=lambda pair: len(pair[0]))
        groups: list[list[tuple[list[int], int]]] = [[]]
        for pair in pool:
            if (len(groups[-1]) + 1) * len(pair[0]) > spec.batch_tokens:
                groups.append([])
            groups[-1].append(pair)
        for k in rng.permutation(len(groups)):
            group = groups[k]
            tokens = torch.zeros(len(group), len(group[-1][0]), dtype=torch.long)
            for row, (ids, _) in enumerate(group):
                tokens[row, : len(ids)] = torch.tensor(ids)
            yield tokens, torch.tensor([start for _, start in group])
            made += 1


def level_at(progress: float, rng: np.random.Generator) -> Level:
    """The level of this share of training; now and then an earlier one, so that nothing is forgotten."""
    highest = int(np.searchsorted(np.cumsum(SHARES)[:-1], progress, side="right"))
    return LEVELS[highest if rng.random() < 0.8 else rng.integers(highest + 1)]


def encode(tokenizer, example: Example) -> tuple[list[int], int]:  # type: ignore[no-untyped-def]
    """Token ids of a whole conversation, and where its completion starts."""
    head = tokenizer.encode(f"<|user|>{example.prompt}<|assistant|>")
    return head + tokenizer.encode(f"{example.completion}<|end|>"), len(head)
