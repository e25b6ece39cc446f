"""Generation engine `hf`: transformers' generate on batches of prompts of similar length."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

from r2rec.llm.engine import Engine, Setup, in_process

LIKELY = 128  # tokens that nearly always hold the nucleus: sorting these is enough


def nucleus(scores: Any, temperature: float, top_p: float) -> tuple[Any, Any]:
    """(logits, tokens), [n, k] each: the smallest sets of most likely tokens that hold `top_p`, others at -inf.

    These are transformers' own temperature and nucleus, which sort the whole vocabulary at every token: as much work
    as a small model's forward pass.
    """
    import torch

    scores, size = scores / temperature, min(LIKELY, scores.shape[-1])
    if top_p >= 1:  # nothing is left out: no need to sort
        return scores, torch.arange(scores.shape[-1], device=scores.device).expand_as(scores)
    norm = scores.logsumexp(-1, keepdim=True)
    while True:
        best, place = scores.topk(size)
        probability = (best - norm).exp()
        before = probability.cumsum(-1) - probability  # what the more likely ones hold
        if size == scores.shape[-1] or bool((before[:, -1] + probability[:, -1] >= top_p).all()):
            break
        size = scores.shape[-1]
    return best.masked_fill(before >= top_p, -float("inf")), place


def drawing(
    temperature: float, top_p: float, chance: Callable[[int], Any]
) -> Callable[[Any, Any], Any]:
    """A logits processor that leaves one token in each row, drawn from its nucleus: greedy decoding then takes it.

    One number a row, and the token whose share of the summed probabilities it falls in: transformers' `multinomial`
    draws a number for every token of the vocabulary, a fifth of a small model's time on a CPU.

    Args:
        chance: Gives n numbers in [0, 1), one for each row.
    """
    import torch

    def draw(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        kept, place = nucleus(scores, temperature, top_p)
        up_to = kept.softmax(-1).cumsum(-1, dtype=torch.float64)  # its last need not be 1
        chosen = torch.searchsorted(up_to, chance(len(kept))[:, None] * up_to[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter_(-1, place.gather(-1, chosen), 0.0)

    return draw


def chance(seeds: Sequence[int], tokens: int, device: Any) -> Callable[[int], Any]:
    """Numbers for `drawing`, so many tokens long: of each row its own, whatever is written beside it."""
    import torch

    rows = np.array([np.random.default_rng(seed).random(tokens) for seed in seeds])
    each_token = iter(torch.tensor(rows.T, device=device))
    return lambda _: next(each_token)


def hf_engine(setup: Setup) -> Engine:
    """Weights and tokenizer in this process."""
    return in_process(setup, generate)


def generate(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: DictConfig,
    seeds: Sequence[int],
    labels: list[int] | None = None,
    reasoned: bool = False,
) -> list[str]:
    """Completions of tokenised prompts, in their order, without special tokens.

    Args:
        prompts: Token ids, the longest first in work so that memory is short at once or never.
        generation: Group `generation`; temperature 0 is greedy.
        seeds: What each prompt's completion is drawn with, whatever else is asked.
        labels: Candidates that each answer ranks, after a thought if `reasoned`; None: nothing is constrained.
    """
    import torch
    from tqdm import tqdm

    from r2rec.llm import constrain
    from r2rec.llm.sharing import sharing

    model.eval()
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    completions = [""] * len(prompts)
    for start in tqdm(
        range(0, len(order), generation.batch_size), desc="rank", leave=False, disable=None
    ):
        batch = order[start : start + generation.batch_size]
        inputs = tokenizer.pad({"input_ids": [prompts[i] for i in batch]}, return_tensors="pt").to(
            model.device
        )
        rules = (
            [constrain.processor(tokenizer, [labels[i] for i in batch], reasoned)] if labels else []
        )
        draw = []
        if generation.temperature > 0:
            own = chance([seeds[i] for i in batch], generation.max_new_tokens, model.device)
            draw = [drawing(generation.temperature, generation.top_p, own)]
        with (
            torch.inference_mode(),
            sharing(model, inputs["input_ids"], inputs["attention_mask"]) as cache,
        ):
            output = model.generate(
                **inputs,
                max_new_tokens=generation.max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                logits_processor=[*rules, *draw],
                **cache,
            )
        texts = tokenizer.batch_decode(
            output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )
        for i, text in zip(batch, texts, strict=True):
            completions[i] = text
    return completions
