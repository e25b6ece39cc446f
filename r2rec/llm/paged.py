"""Generation engine `paged`: transformers' continuous batching, with a cache in shared pages.

A finished request makes room for the next one at once, where a batch of `hf` waits for its longest.
"""

from collections.abc import Sequence
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.compat import transformers as upstream
from r2rec.config import Generation
from r2rec.llm.constrain import Grammar, masked
from r2rec.llm.engine import Engine, Setup, Written, in_process
from r2rec.llm.turns import end_tokens, length_of, text_of

PAGE_TOKENS = 32
# tokens of prompts in one step on a CPU; with more, all requests wait for them
MAX_STEP_TOKENS = 512
# Requests at once on a CPU. Without flash attention each attends to the pages of all of them: with
# 16, half as many tokens per second.
MAX_CPU_REQUESTS = 4
POLL_SECONDS = 1


def paged_engine(setup: Setup) -> Engine:
    """The engine with tokenizer and weights in this process."""
    return in_process(setup, generate_paged)


def generate_paged(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: Generation,
    seeds: Sequence[int],
    labels: list[int] | None = None,
    reasoned: bool = False,
    expected: Sequence[str] | None = None,
) -> list[Written]:
    """Completions of prompts, as `hf.generate` gives them, with `batch_size` requests at once.

    All are drawn with the seed of the first: the library has one seed for all requests. It cannot
    be told what is expected.

    Raises:
        R2RecError: The library's worker died, for example because it ran out of memory.
    """
    if not prompts:
        return []
    longest = max(map(len, prompts))
    on_cpu = model.device.type == "cpu"
    ends = end_tokens(tokenizer, model.generation_config)
    manager = model.init_continuous_batching(
        _sampling(generation, tokenizer.pad_token_id, ends),
        _batching(longest, len(prompts), generation, seeds[0], on_cpu),
    )
    if labels is not None:
        grammar = Grammar(tokenizer, reasoned)
        upstream.restrict_requests(
            manager,
            rule=lambda tokens, n: grammar.allowed(grammar.text_of(tokens), n),
            mask=masked,
        )
    # All requests come before the start, so that what is batched together is settled.
    for index, ids in enumerate(prompts):
        arguments = {}
        if labels is not None:
            arguments = {"labels": labels[index], "start": len(ids)}
        manager.add_request(ids, request_id=str(index), **arguments)
    written = _collected(manager, len(prompts))
    completions = []
    for index in range(len(prompts)):
        tokens = written[str(index)]
        completions.append(Written(text_of(tokenizer, tokens, ends), length_of(tokens, ends)))
    return completions


def _collected(manager: Any, count: int) -> dict[str, list[int]]:
    """Request id -> new tokens, when all are done. In any case the library's worker is stopped."""
    from tqdm import tqdm

    written: dict[str, list[int]] = {}
    manager.start()
    try:
        with tqdm(total=count, desc="rank", leave=False, disable=None) as bar:
            while len(written) < count:
                result = manager.get_result(timeout=POLL_SECONDS)
                if result is None:
                    if not manager.is_running():
                        raise _stopped(upstream.worker_error(manager))
                    continue
                if result.error:
                    raise _stopped(result.error)
                written[result.request_id] = result.generated_tokens
                bar.update()
    finally:
        manager.stop(hard_stop=len(written) < count)
        manager.destroy()
    return written


def _stopped(reason: object) -> R2RecError:
    line = " ".join(str(reason).split())[:200]
    return R2RecError(f"generation=paged stopped: {line}; try generation=hf")


def _sampling(generation: Generation, pad: int, ends: list[int]) -> Any:
    """The library's settings of how tokens are chosen."""
    from transformers import GenerationConfig

    sampling: dict[str, Any] = {"do_sample": False}
    if generation.temperature > 0:
        sampling = {
            "do_sample": True,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "top_k": 0,
        }
    return GenerationConfig(
        max_new_tokens=generation.max_new_tokens,
        pad_token_id=pad,
        eos_token_id=ends,
        **sampling,
    )


def _batching(longest: int, count: int, generation: Generation, seed: int, on_cpu: bool) -> Any:
    """The library's settings of how much is held and read at once.

    By itself, on a CPU, it would take most of the memory, and read huge batches slowly.

    Args:
        longest: Tokens of the longest prompt.
        count: How many prompts there are.
    """
    from transformers import ContinuousBatchingConfig

    requests = min(generation.batch_size, count)
    if on_cpu:
        requests = min(requests, MAX_CPU_REQUESTS)
    common = {
        "max_requests_per_batch": requests,
        "seed": seed % 2**32,
        "use_async_batching": False,
    }
    if not on_cpu:
        return ContinuousBatchingConfig(**common, use_cuda_graph=not generation.constrained)
    full_pages = -(-(longest + generation.max_new_tokens) // PAGE_TOKENS)  # rounded up
    return ContinuousBatchingConfig(
        **common,
        page_size=PAGE_TOKENS,
        num_blocks=requests * (full_pages + 1),
        max_batch_tokens=max(MAX_STEP_TOKENS, requests),
    )
