"""Generation engine `hf`: batches of prompts of similar length, on transformers' models."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from r2rec.base.progress import Bar
from r2rec.config import Generation, Probe
from r2rec.llm.constrain import LogitsProcessor, label_processor
from r2rec.llm.drafts import Draft
from r2rec.llm.engine import Engine, Setup, Written, in_process
from r2rec.llm.turns import end_tokens, expected_tokens, length_of, text_of

if TYPE_CHECKING:
    from torch import Tensor

Choose = Callable[["Tensor", "Tensor"], "Tensor"]
"""(logits [n, vocabulary], numbers in [0, 1) [n]) -> tokens [n]."""


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


def drawn(scores: "Tensor", temperature: float, top_p: float, numbers: "Tensor") -> "Tensor":
    """Tokens [n], each drawn from the nucleus of its row of logits [n, vocabulary].

    One random number per row is compared with the summed probabilities. transformers' `multinomial`
    draws a number for every token of the vocabulary, which takes a fifth of a small model's time on
    a CPU.

    Args:
        numbers: [n], in [0, 1).
    """
    import torch

    norm = (scores / temperature).logsumexp(-1)
    best, likeliest = scores.max(-1)
    is_open = (best / temperature - norm).exp() < top_p  # else the nucleus is that one token
    if not is_open.any():
        return likeliest
    kept, tokens = nucleus(scores[is_open], temperature, top_p)
    summed = kept.softmax(-1).cumsum(-1, dtype=torch.float64)
    total = summed[:, -1:]  # need not be 1
    column = torch.searchsorted(summed, numbers[is_open, None] * total, right=True)
    likeliest[is_open] = tokens.gather(-1, column)[:, 0]
    return likeliest


def choosing(temperature: float, top_p: float) -> Choose:
    """How tokens are chosen: drawn, or at temperature 0 the likeliest."""
    if temperature > 0:
        return lambda scores, numbers: drawn(scores, temperature, top_p, numbers)
    return lambda scores, _: scores.argmax(-1)


def leaving_chosen(choose: Choose, numbers: "Tensor") -> LogitsProcessor:
    """A logits processor for greedy decoding that leaves the chosen token of each row alone.

    Args:
        numbers: [rows, tokens].
    """
    import torch

    by_token = iter(numbers.T)

    def leave(_: "Tensor", scores: "Tensor") -> "Tensor":
        chosen = choose(scores, next(by_token))
        result = torch.full_like(scores, -torch.inf)
        return result.scatter_(-1, chosen[:, None], 0.0)

    return leave


def random_numbers(seeds: Sequence[int], tokens: int, device: Any) -> "Tensor":
    """Numbers in [0, 1) [rows, tokens]: a row's depend on its own seed alone."""
    import torch

    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        rows.append(rng.random(tokens))
    return torch.tensor(np.array(rows), device=device)


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
    expected: Sequence[str] | None = None,
) -> list[Written]:
    """Completions of prompts (token ids), in their order, up to the end of the turn.

    Longest first, so running out of memory shows in the first batch.

    Args:
        generation: Temperature 0 is greedy.
        seeds: One for each prompt. Its completion does not depend on the other prompts.
        labels: Candidates that each answer ranks, after a thought if `reasoned`. None: nothing is
            constrained.
        expected: Texts that completions may be close to, "" where none is known: they change how
            fast completions are written, and nothing else.
    """
    model.eval()
    completions = [Written("", 0)] * len(prompts)
    choose = choosing(generation.temperature, generation.top_p)
    for batch in _batches(prompts, generation.batch_size):
        processors = []
        if labels is not None:
            batch_labels = [labels[i] for i in batch]
            processors.append(label_processor(tokenizer, batch_labels, reasoned))
        likely = [expected[i] if expected else "" for i in batch]
        continued = _continued(
            model,
            tokenizer,
            [prompts[i] for i in batch],
            likely,
            choose,
            random_numbers([seeds[i] for i in batch], generation.max_new_tokens, model.device),
            processors,
        )
        for index, completion in zip(batch, continued, strict=True):
            completions[index] = completion
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
    expected: Sequence[str],
    choose: Choose,
    numbers: "Tensor",
    processors: list[LogitsProcessor],
) -> list[Written]:
    """Completions of one batch.

    Args:
        numbers: For `choose`, [rows, most new tokens].
        processors: Of logits, before `choose`; with any, tokens are written one by one.
    """
    import torch

    from r2rec.llm import speculative
    from r2rec.llm.sharing import sharing

    ends = end_tokens(tokenizer, model.generation_config)
    batch = tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
    batch = batch.to(model.device)
    ids = batch["input_ids"]
    mask = batch["attention_mask"]
    with torch.inference_mode():
        if any(expected) and not processors and speculative.can_draft(model, ids):
            drafts = []
            for prompt, text in zip(prompts, expected, strict=True):
                drafts.append(Draft(expected_tokens(tokenizer, text), prompt))
            new = speculative.write(model, ids, mask, drafts, choose, numbers, ends)
        else:
            with sharing(model, ids, mask) as cache:
                output = model.generate(
                    **batch,
                    max_new_tokens=numbers.shape[1],
                    pad_token_id=tokenizer.pad_token_id,
                    eos_token_id=ends,
                    do_sample=False,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    logits_processor=[*processors, leaving_chosen(choose, numbers)],
                    **cache,
                )
            new = output[:, ids.shape[1] :].tolist()
    return [Written(text_of(tokenizer, row, ends), length_of(row, ends)) for row in new]
