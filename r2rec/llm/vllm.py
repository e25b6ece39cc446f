"""Generation engine `vllm`: vLLM in this process (`pip install 'r2rec[vllm]'`). Its server: `generation=openai`.

A constrained answer is written freely up to its marker and then token by token: custom logits processors change from
one release of vLLM to the next, `allowed_token_ids` does not, and with prefix caching a step costs one token.
"""

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig

from r2rec.base.errors import R2RecError
from r2rec.llm.constrain import Grammar, answer_tail
from r2rec.llm.engine import Engine, Setup, on_tokens
from r2rec.prompts.cases import LABELS

RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters, as vLLM takes them
MARKER = "Ranking:"

Run = Callable[
    [list[list[int]], list[Any]], list[Any]
]  # prompts and how to sample each, to what was written


def vllm_engine(setup: Setup) -> Engine:
    """vLLM's own copy of the weights; an adapter stays beside them."""
    try:
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest
    except ImportError as error:
        said = " ".join(str(error).split())
        raise R2RecError(
            f"generation=vllm: {said}; pip install 'r2rec[vllm]', or use generation=hf"
        ) from error
    from r2rec.llm import load

    spec, model = setup.generation, setup.model
    assert model is not None
    tokenizer = load.tokenizer(model, setup.made)
    adapter = setup.adapter or model.adapter
    adapter = load.adapter_folder(adapter) if adapter else None
    lora = LoRARequest("adapter", 1, str(adapter)) if adapter else None
    llm = LLM(
        load.source_of(model, setup.made), revision=model.revision, dtype=model.dtype, max_model_len=model.max_length,
        trust_remote_code=False, enable_prefix_caching=True, max_num_seqs=spec.batch_size, max_logprobs=len(LABELS),
        logprobs_mode="processed_logprobs", **({"enable_lora": True, "max_lora_rank": _rank(adapter)} if lora else {}),
    )  # fmt: skip

    def run(prompts: list[list[int]], params: list[Any]) -> list[Any]:
        asked = [{"prompt_token_ids": ids} for ids in prompts]
        return [
            done.outputs[0]
            for done in llm.generate(asked, params, lora_request=lora, use_tqdm=False)
        ]

    def texts(prompts: list[list[int]], seeds: list[int], labels: list[int]) -> list[str]:
        grammar = Grammar(tokenizer, setup.reasoning) if spec.constrained else None
        return written(run, SamplingParams, tokenizer, spec, prompts, seeds, labels, grammar)

    def weigh(prompts: list[list[int]], options: list[list[int]]) -> list[list[float]]:
        if any(len(option) != 1 for option in options):
            raise R2RecError(
                "generation=vllm weighs labels of one token alone; this tokenizer splits them: use hf"
            )
        tokens = [option[0] for option in options]
        one = SamplingParams(
            temperature=1.0, max_tokens=1, logprobs=len(tokens), allowed_token_ids=tokens, seed=0
        )
        found = [out.logprobs[0] for out in run(prompts, [one] * len(prompts))]
        return [[row[t].logprob if t in row else -float("inf") for t in tokens] for row in found]

    return on_tokens(setup, tokenizer, texts, weigh)


def written(
    run: Run,
    sampling: Any,
    tokenizer: Any,
    spec: DictConfig,
    prompts: list[list[int]],
    seeds: list[int],
    labels: list[int],
    grammar: Grammar | None,
) -> list[str]:
    """A text for each prompt; each drawn with its own seed."""
    drawing = (
        {"temperature": spec.temperature, "top_p": spec.top_p}
        if spec.temperature > 0
        else {"temperature": 0.0}
    )
    stop = {"stop": [MARKER], "include_stop_str_in_output": True} if grammar else {}
    room, texts = [spec.max_new_tokens] * len(prompts), [""] * len(prompts)
    going = list(range(len(prompts)))
    while going:
        behind = {k: tokenizer.encode(texts[k], add_special_tokens=False) for k in going}
        allowed = {k: grammar.allowed(texts[k], labels[k]) if grammar else None for k in going}
        params = [
            sampling(**drawing, **stop, seed=seeds[k], max_tokens=room[k])
            if allowed[k] is None
            else sampling(
                **drawing,
                seed=seeds[k] + len(behind[k]),
                max_tokens=1,
                allowed_token_ids=allowed[k],
            )
            for k in going
        ]
        more = []
        for k, out in zip(going, run([prompts[k] + behind[k] for k in going], params), strict=True):
            texts[k] += out.text
            room[k] -= len(out.token_ids)
            if (
                grammar
                and out.text
                and room[k] > 0
                and _begun(texts[k], out.text, grammar.reasoned)
            ):
                more.append(k)
        going = more
    return texts


def _begun(text: str, new: str, reasoned: bool) -> bool:
    """Whether there is more to come: a list has begun, or a marker inside a thought stopped the writing."""
    return answer_tail(text, reasoned) is not None or new.endswith(MARKER)


def _rank(adapter: Any) -> int:
    """The least rank that vLLM has room for."""
    from peft import PeftConfig

    own = PeftConfig.from_pretrained(str(adapter)).r
    return next((rank for rank in RANKS if rank >= own), own)
