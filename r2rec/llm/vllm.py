"""Generation engine `vllm`: vLLM in this process (`pip install 'r2rec[vllm]'`).

For a vLLM server, use `generation=openai`.

A constrained answer is written freely up to its marker, and then token by token. Custom logits
processors change from one release of vLLM to the next; `allowed_token_ids` does not. With prefix
caching a step costs one token, as long as the cache holds the prompts: so many as run at once.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from r2rec.base.errors import R2RecError
from r2rec.config import Generation
from r2rec.llm.constrain import Grammar, answer_tail
from r2rec.llm.engine import Engine, Prompts, Setup, Written, on_tokens
from r2rec.llm.resident import resident
from r2rec.llm.turns import cleaned, end_token
from r2rec.prompts.cases import LABELS

ADAPTER_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values that vLLM accepts
MARKER = "Ranking:"

Run = Callable[[Prompts, list[Any]], list[Any]]  # (prompts, SamplingParams of each) -> outputs


def vllm_engine(setup: Setup) -> Engine:
    """The engine on vLLM's own copy of the weights; an adapter is not merged into them.

    Raises:
        R2RecError: vLLM is not installed, or does not load.
    """
    try:
        from vllm import LLM, SamplingParams
        from vllm.lora.request import LoRARequest
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise R2RecError(
            f"generation=vllm: {reason}; pip install 'r2rec[vllm]', or use generation=hf"
        ) from error
    from r2rec.llm import load

    generation = setup.generation
    tokenizer = load.tokenizer(setup.backbone, setup.made)
    run = _runner(setup, LLM, LoRARequest)

    def texts(
        prompts: Prompts, seeds: list[int], labels: list[int], expected: list[str]
    ) -> list[Written]:
        grammar = None
        if generation.constrained:
            grammar = Grammar(tokenizer, setup.reasoning)
        writer = Writer(run, SamplingParams, tokenizer, generation, grammar)
        return writer.write(prompts, seeds, labels)

    def weigh(prompts: Prompts, options: Prompts) -> list[list[float]]:
        if any(len(option) != 1 for option in options):
            raise R2RecError(
                "generation=vllm weighs only labels that are one token, and this tokenizer splits "
                "them: use generation=hf"
            )
        tokens = [option[0] for option in options]
        one_token = SamplingParams(
            temperature=1.0,
            max_tokens=1,
            logprobs=len(tokens),
            allowed_token_ids=tokens,
            seed=0,
        )
        table = []
        for output in run(prompts, [one_token] * len(prompts)):
            table.append(_logprobs_of(tokens, output.logprobs[0]))
        return table

    return on_tokens(setup, tokenizer, texts, weigh)


def _runner(setup: Setup, llm_class: Any, lora_class: Any) -> Run:
    """vLLM, loaded, as a function."""
    from r2rec.llm import load

    model = setup.backbone
    adapter = setup.adapter or model.adapter
    lora = None
    rank = model.lora.r  # arms without an adapter share the loaded model with those that have one
    if adapter:
        folder = load.adapter_folder(adapter)
        lora = lora_class(str(folder), adapter_number(folder), str(folder))
        rank = max(rank, _rank(folder))
    options: dict[str, Any] = {
        "model": load.source_of(model, setup.made),
        "revision": model.revision,
        "dtype": model.dtype,
        "max_model_len": model.max_length,
        "trust_remote_code": False,
        "enable_prefix_caching": True,
        "max_num_seqs": setup.generation.batch_size,
        "enable_lora": True,
        "max_lora_rank": _accepted(rank),
    }
    if setup.generation.by == "labels":  # which costs a sort of the vocabulary at every token
        options |= {"max_logprobs": len(LABELS), "logprobs_mode": "processed_logprobs"}
    options |= {name: value for name, value in setup.generation.params.items() if value is not None}
    llm = resident(llm_class, options)

    def run(prompts: Prompts, params: list[Any]) -> list[Any]:
        requests = [{"prompt_token_ids": ids} for ids in prompts]
        results = llm.generate(requests, params, lora_request=lora, use_tqdm=False)
        return [result.outputs[0] for result in results]

    return run


_adapters: list[Path] = []


def adapter_number(folder: Path) -> int:
    """The number by which vLLM knows an adapter, from 1: it takes equal numbers for equal ones."""
    if folder not in _adapters:
        _adapters.append(folder)
    return _adapters.index(folder) + 1


def _logprobs_of(tokens: list[int], logprobs: dict[int, Any]) -> list[float]:
    """Log-probability of each token; -inf where vLLM gives none."""
    row = []
    for token in tokens:
        if token in logprobs:
            row.append(logprobs[token].logprob)
        else:
            row.append(-float("inf"))
    return row


class Writer:
    """Writes texts in rounds: freely first, then, in a list of labels, a token per round."""

    def __init__(
        self,
        run: Run,
        sampling_params: Callable[..., Any],  # vLLM's SamplingParams
        tokenizer: Any,
        generation: Generation,
        grammar: Grammar | None,  # None: nothing is constrained
    ) -> None:
        self.run = run
        self.sampling_params = sampling_params
        self.tokenizer = tokenizer
        self.max_new_tokens = generation.max_new_tokens
        self.batch_size = generation.batch_size
        self.grammar = grammar
        self.draws = generation.temperature > 0
        self.common: dict[str, Any] = {"temperature": 0.0}
        if self.draws:
            self.common = {"temperature": generation.temperature, "top_p": generation.top_p}
        # vLLM itself stops at the end of text, and at what the generation config names
        self.common |= {"stop_token_ids": [end_token(tokenizer)], "skip_special_tokens": False}
        self.stop: dict[str, Any] = {}
        if grammar is not None:
            self.stop = {"stop": [MARKER], "include_stop_str_in_output": True}

    def write(self, prompts: Prompts, seeds: list[int], labels: list[int]) -> list[Written]:
        """A completion of each prompt, drawn with its own seed."""
        if self.grammar is None:
            return self._write(prompts, seeds, labels)
        completions = []
        for start in range(0, len(prompts), self.batch_size):
            part = slice(start, start + self.batch_size)
            completions += self._write(prompts[part], seeds[part], labels[part])
        return completions

    def _write(self, prompts: Prompts, seeds: list[int], labels: list[int]) -> list[Written]:
        texts = [""] * len(prompts)
        room = [self.max_new_tokens] * len(prompts)
        unfinished = list(range(len(prompts)))
        while unfinished:
            inputs = []
            params = []
            for index in unfinished:
                written = self.tokenizer.encode(texts[index], add_special_tokens=False)
                inputs.append(prompts[index] + written)
                seed = seeds[index]
                params.append(
                    self._params(texts[index], labels[index], seed, len(written), room[index])
                )
            still_unfinished = []
            for index, output in zip(unfinished, self.run(inputs, params), strict=True):
                texts[index] += output.text
                room[index] -= len(output.token_ids)
                if room[index] > 0 and self._goes_on(texts[index], output.text):
                    still_unfinished.append(index)
            unfinished = still_unfinished
        completions = []
        for text, unused in zip(texts, room, strict=True):
            tokens = self.max_new_tokens - unused
            completions.append(Written(cleaned(self.tokenizer, text), tokens))
        return completions

    def _params(self, text: str, labels: int, seed: int, written: int, room: int) -> Any:
        """How vLLM goes on from `text`."""
        allowed = None
        if self.grammar is not None:
            allowed = self.grammar.allowed(text, labels)
        if allowed is None:
            drawn = self._seeded(seed)
            return self.sampling_params(**self.common, **self.stop, **drawn, max_tokens=room)
        return self.sampling_params(
            **self.common,
            **self._seeded(seed + written),
            max_tokens=1,
            allowed_token_ids=allowed,
        )

    def _seeded(self, seed: int) -> dict[str, int]:
        """A request's own seed where it draws: vLLM handles such requests one by one."""
        return {"seed": seed} if self.draws else {}

    def _goes_on(self, text: str, new: str) -> bool:
        """Whether a list has begun, or a marker inside a thought stopped the writing."""
        if self.grammar is None or not new:
            return False
        in_list = answer_tail(text, self.grammar.reasoned) is not None
        return in_list or new.endswith(MARKER)


def _rank(adapter: Path) -> int:
    from peft import PeftConfig

    rank: int = PeftConfig.from_pretrained(str(adapter)).r
    return rank


def _accepted(rank: int) -> int:
    """The least rank that vLLM accepts and that an adapter of this rank fits into."""
    for accepted in ADAPTER_RANKS:
        if accepted >= rank:
            return accepted
    return rank
