"""Generation engine `paged`: transformers' continuous batching, keys and values in pages that requests share.

A request that is done makes room for the next at once, where a batch of `hf` waits for its longest.
"""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from r2rec.base.errors import R2RecError
from r2rec.llm.engine import Engine, Setup, in_process

PAGE = 32  # tokens
TOKENS = 512  # of prompts, read in one step on a CPU; more make all requests wait for them
TOGETHER = 4  # requests on a CPU: without flash attention each looks at the pages of all (16: half as many tokens/s)


def paged_engine(setup: Setup) -> Engine:
    """Weights and tokenizer in this process."""
    return in_process(setup, generate_paged)


def generate_paged(
    model: Any,
    tokenizer: Any,
    prompts: list[list[int]],
    generation: DictConfig,
    seeds: Sequence[int],
    labels: list[int] | None = None,
    reasoned: bool = False,
) -> list[str]:
    """Completions of tokenised prompts, in their order, as `hf.generate`; at most `batch_size` on their way at once.

    All are drawn with the first one's seed: the library has one for all requests.

    Raises:
        R2RecError: The library's worker died, e.g. of memory.
    """
    from transformers import GenerationConfig

    if not prompts:
        return []
    sampling = {
        "do_sample": True,
        "temperature": generation.temperature,
        "top_p": generation.top_p,
        "top_k": 0,
    }
    manager = model.init_continuous_batching(
        GenerationConfig(
            max_new_tokens=generation.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            **(sampling if generation.temperature > 0 else {"do_sample": False}),
        ),
        _pages(max(map(len, prompts)), len(prompts), generation, seeds[0], model.device.type),
    )
    if labels:
        _constrain(manager.logit_processor, tokenizer, reasoned)
    for k, ids in enumerate(
        prompts
    ):  # all before the start: what is batched together, and so drawn, is then settled
        manager.add_request(
            ids, request_id=str(k), **({"labels": labels[k], "start": len(ids)} if labels else {})
        )
    texts = _collected(manager, tokenizer, len(prompts))
    return [texts[str(k)] for k in range(len(prompts))]


def _collected(manager: Any, tokenizer: Any, count: int) -> dict[str, str]:
    """Texts by request, when all are done; however that ends, the library's worker is stopped."""
    from tqdm import tqdm

    texts: dict[str, str] = {}
    manager.start()
    try:
        with tqdm(total=count, desc="rank", leave=False, disable=None) as bar:
            while len(texts) < count:
                done = manager.get_result(timeout=1)
                if done is None and manager.is_running():
                    continue
                if done is None or done.error:
                    why = done.error if done else manager.background_thread_status.fatal_error
                    raise R2RecError(
                        f"generation=paged stopped: {' '.join(str(why).split())[:200]}; try generation=hf"
                    )
                texts[done.request_id] = tokenizer.decode(
                    done.generated_tokens, skip_special_tokens=True
                )
                bar.update()
    finally:
        manager.stop(hard_stop=len(texts) < count)
        manager.destroy()
    return texts


def _pages(longest: int, count: int, generation: DictConfig, seed: int, device: str) -> Any:
    """How much is held at once; on a CPU the library would take most of the memory, and read huge batches slowly."""
    from transformers import ContinuousBatchingConfig

    requests = min(generation.batch_size, count, *([TOGETHER] if device == "cpu" else []))
    common = {"max_requests_per_batch": requests, "seed": seed % 2**32, "use_async_batching": False}
    if device != "cpu":
        return ContinuousBatchingConfig(**common, use_cuda_graph=not generation.constrained)
    of_one = -(-(longest + generation.max_new_tokens) // PAGE) + 1
    return ContinuousBatchingConfig(
        **common,
        page_size=PAGE,
        num_blocks=requests * of_one,
        max_batch_tokens=max(TOKENS, requests),
    )


def _constrain(processors: Any, tokenizer: Any, reasoned: bool) -> None:
    """Put the grammar of label lists before all other processors: each request says how many labels it ranks."""
    import torch
    from transformers.generation.continuous_batching.cb_logits_processors import (
        ContinuousBatchingLogitsProcessor,
    )

    from r2rec.llm.constrain import Grammar, masked

    grammar = Grammar(tokenizer, reasoned)

    class Listing(ContinuousBatchingLogitsProcessor):
        supported_kwargs = {"labels": int, "start": int}  # noqa: RUF012
        ignored_kwargs = ()
        allowed: list[list[int] | None] = []  # noqa: RUF012

        def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
            int32_tensor.zero_()

        def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
            self.allowed = [self.next(future.state) for future in requests_with_new_token]
            return torch.arange(len(self.allowed), dtype=torch.int32)

        def next(self, state: Any) -> list[int] | None:
            told = state.logit_processor_kwargs
            written = (state.initial_tokens + state.generated_tokens)[told["start"] :]
            return grammar.allowed(
                "".join(grammar.pieces.get(i, "") for i in written), told["labels"]
            )

        def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
            return masked(scores, self.allowed + [None] * (len(scores) - len(self.allowed)))

    processors.logits_processor.insert(0, Listing())
    processors.tensors_required += 1
    processors.do_processing = True
    processors._retrieve_processors_kwargs()
