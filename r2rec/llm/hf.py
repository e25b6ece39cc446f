"""Generation engine `hf`: transformers' `generate`, on batches of prompts of similar length."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from r2rec.base.progress import Bar
from r2rec.config import Generation, Probe
from r2rec.llm.constrain import LogitsProcessor, label_processor
from r2rec.llm.engine import Engine, Setup, in_process
from r2rec.llm.turns import end_tokens, text_of

if TYPE_CHECKING:
    from torch import Tensor

Chance = Callable[[int], "Tensor"]  # n -> n numbers in [0, 1), one for each row


def nucleus(
    scores: "Tensor",
    temperature: float,
    top_p: float,
) -> tuple["Tensor", "Tensor"]:
    """The smallest set of most likely tokens that holds `top_p`, for each row of scores.

    transformers' own temperature and nucleus give the same, but sort the whole vocabulary at every
    token, which takes as long as a small model's forward pass. Here only tokens that can belong to
    the set are sorted.

    Args:
        scores: Logits [n, vocabulary].

    Returns:
        Logits [n, k], -inf outside of the set, and the tokens [n, k] they belong to.
    """
    import torch

    scores = scores / temperature
    vocabulary = scores.shape[-1]
    if top_p >= 1:  # nothing is left out: no need to sort
        tokens = torch.arange(vocabulary, device=scores.device)
        return scores, tokens.expand_as(scores)
    norm = scores.logsumexp(-1, keepdim=True)
    # All tokens less likely than this hold less than 1 - top_p together: the set has none of them.
    least = norm + math.log((1 - top_p) / vocabulary)
    size = int((scores >= least).sum(-1).max())
    best, tokens = scores.topk(size)
    probability = (best - norm).exp()
    before = probability.cumsum(-1) - probability  # what the more likely tokens hold
    kept = best.masked_fill(before >= top_p, -float("inf"))
    return kept, tokens


def drawing(
    temperature: float,
    top_p: float,
    chance: Chance,
) -> LogitsProcessor:
    """A logits processor that leaves one token in each row, drawn from the row's nucleus.

    Greedy decoding then takes this token. One random number per row is compared with the summed
    probabilities. transformers' `multinomial` draws a number for every token of the vocabulary,
    which takes a fifth of a small model's time on a CPU.
    """
    import torch

    def draw(_: "Tensor", scores: "Tensor") -> "Tensor":
        kept, tokens = nucleus(scores, temperature, top_p)
        summed = kept.softmax(-1).cumsum(-1, dtype=torch.float64)
        total = summed[:, -1:]  # need not be 1
        thresholds = chance(len(kept))[:, None] * total
        column = torch.searchsorted(summed, thresholds, right=True)
        drawn = tokens.gather(-1, column)
        result = torch.full_like(scores, -torch.inf)
        return result.scatter_(-1, drawn, 0.0)

    return draw


def chance(seeds: Sequence[int], tokens: int, device: Any) -> Chance:
    """Numbers for `drawing`, for so many tokens: a row's depend on its own seed alone."""
    import torch

    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        rows.append(rng.random(tokens))
    by_token = np.array(rows).T
    numbers = iter(torch.tensor(by_token, device=device))
    return lambda _: next(numbers)


def hf_engine(setup: Setup) -> Engine:
    """The engine with tokenizer and weights in this process."""
    return in_process(setup, generate)


def generate(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: Generation | Probe,
    seeds: Sequence[int],
    labels: list[int] | None = None,
    reasoned: bool = False,
) -> list[str]:
    """Completions of prompts (token ids), in their order, up to the end of the turn.

    Longest first, so running out of memory shows in the first batch.

    Args:
        generation: Temperature 0 is greedy.
        seeds: One for each prompt. Its completion does not depend on the other prompts.
        labels: Candidates that each answer ranks, after a thought if `reasoned`. None: nothing is
            constrained.
    """
    model.eval()
    completions = [""] * len(prompts)
    new_tokens = generation.max_new_tokens
    for batch in _batches(prompts, generation.batch_size):
        processors = []
        if labels is not None:
            batch_labels = [labels[i] for i in batch]
            processors.append(label_processor(tokenizer, batch_labels, reasoned))
        if generation.temperature > 0:
            batch_seeds = [seeds[i] for i in batch]
            random = chance(batch_seeds, new_tokens, model.device)
            processors.append(drawing(generation.temperature, generation.top_p, random))
        batch_prompts = [prompts[i] for i in batch]
        texts = _continued(model, tokenizer, batch_prompts, new_tokens, processors)
        for index, text in zip(batch, texts, strict=True):
            completions[index] = text
    return completions


def _batches(prompts: list[list[int]], size: int) -> Iterator[list[int]]:
    """Indices of prompts, the longest first, with a progress bar."""
    order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
    bar = Bar("answers", len(order))
    try:
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            yield batch
            bar.update(len(batch))
    finally:
        bar.close()


def _continued(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    new_tokens: int,
    processors: list[LogitsProcessor],
) -> list[str]:
    """Completions of one batch, decoded greedily after the logits processors."""
    import torch

    from r2rec.llm.sharing import sharing

    ends = end_tokens(tokenizer, model.generation_config)
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    batch = batch.to(model.device)
    ids = batch["input_ids"]
    mask = batch["attention_mask"]
    with torch.inference_mode(), sharing(model, ids, mask) as cache:
        output = model.generate(
            **batch,
            max_new_tokens=new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            logits_processor=processors,
            **cache,
        )
    prompt_length = ids.shape[1]
    new = output[:, prompt_length:].tolist()
    return [text_of(tokenizer, row, ends) for row in new]
