"""Schemas of `prompt`, `model`, `generation` and `teacher`: all about language models."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from r2rec.config.fields import choice, local_path, not_in_key, number

ANSWERS = ("text", "labels")
DTYPES = ("float32", "bfloat16", "float16")


@dataclass
class Prompt:
    """What a prompt tells and asks for."""

    name: str = MISSING
    reasoning: bool = True  # ask for, train and require a thought before the answer
    chains: bool = True  # show the user's interaction chains
    compact: bool = False  # write a chain in about half as many words
    # whole sentences that say what a chain is and what ratings mean, for models that know language
    prose: bool = False
    # tell how many rated each candidate, and what share liked it; null: with evidence chains only
    facts: bool | None = None
    # evidence chains told in full, from the strongest on; of further ones only the order is told
    detailed: int = number(5, least=3)
    profile: bool = True  # show the user's profile where the data has one
    history: int = number(5, least=0)  # recently liked items shown (4.1.2)
    title_length: int = number(80, above=0)  # characters of a title shown; longer ones are cut
    # a Jinja file of one's own for ranking prompts; its text is in keys, and not where it lies
    template: str | None = not_in_key(None)


@dataclass
class Lora:
    """A LoRA adapter."""

    r: int = number(16, least=1)  # rank
    alpha: int = 32
    dropout: float = number(0.0, least=0, below=1)  # GRPO switches it off
    targets: str = "all-linear"  # or module names, separated by commas


@dataclass
class TinySpec:
    """A Llama small enough to be trained on the spot, with a tokenizer of its own."""

    chains: str = choice("closed", "closed", "evidence")  # of the prompts that it learns to read
    vocabulary: int = 4096  # entries of the byte-level BPE
    hidden: int = number(96, above=0)
    layers: int = number(4, above=0)
    heads: int = number(3, above=0)
    feed_forward: int = number(256, above=0)
    initializer_range: float = number(0.08, above=0)
    rope_theta: float = number(10000.0, above=0)
    prompts_per_world: int = number(30, above=0)
    start: str | None = local_path()  # weights and tokenizer of an earlier run to continue from
    steps: int = number(800, above=0)  # optimiser steps
    batch_tokens: int = number(2304, above=0)  # tokens in a step, padding included
    learning_rate: float = number(3e-3, above=0)
    # of forward and backward passes; the weights are float32. bfloat16 is faster where the CPU or
    # GPU has matrix units for it.
    dtype: str = choice("float32", "float32", "bfloat16")


@dataclass
class Model:
    """The backbone."""

    name: str = MISSING
    # folder or hub id with safetensors, or a GGUF file; null: trained from `tiny`
    path: str | None = local_path()
    revision: str | None = None
    # template for training and rollouts: a file of r2rec/llm/templates or one that TRL ships
    chat_template: str | None = None
    adapter: str | None = local_path()  # adapter to start from, folder or hub id
    # number format of the weights; a CPU without units for it computes in float32
    dtype: str = choice("float32", *DTYPES)
    # how transformers computes attention: sdpa, eager, flash_attention_2, ...; null: it chooses
    attention: str | None = not_in_key(None)
    architecture: dict[str, Any] = field(
        default_factory=dict
    )  # random weights of this architecture
    max_length: int = number(2048, above=0)  # tokens of prompt and completion together
    # tokens that a thought with its answer may take; a run that allows fewer is refused
    thought_tokens: int = number(0, least=0, in_key=False)
    lora: Lora = field(default_factory=Lora)
    tiny: TinySpec | None = None

    @property
    def packed(self) -> bool:
        """Whether `path` is a GGUF file, which stage `unpack` reads."""
        return self.path is not None and self.path.endswith(".gguf")


@dataclass
class Endpoint:
    """An OpenAI-compatible chat endpoint. Its answers are stored, and none is paid for twice."""

    model: str = MISSING
    base_url: str | None = None  # e.g. http://127.0.0.1:8000/v1; null: OpenAI
    key: str = not_in_key("OPENAI_API_KEY")  # environment variable that holds the key
    options: dict[str, Any] = field(default_factory=dict)  # of a request: temperature, top_p, ...
    dollars_in: float = number(0.0, least=0)  # per million tokens of prompts
    dollars_out: float = number(0.0, least=0)  # per million tokens of answers, thoughts included
    ceiling: float = number(5.0, above=0, in_key=False)  # dollars for all answers of one run
    concurrency: int = number(8, above=0, in_key=False)  # requests in flight
    timeout: float = number(120.0, above=0, in_key=False)  # seconds for a whole answer
    retries: int = number(6, least=0, in_key=False)
    replay: bool = not_in_key(False)  # answer from the store alone, without a network


@dataclass
class Generation:
    """How answers are generated."""

    name: str = MISSING
    _target_: str = MISSING  # (r2rec.llm.engine.Setup) -> r2rec.llm.engine.Engine
    batch_size: int = number(32, least=1)  # prompts at once
    max_new_tokens: int = number(768, least=1)
    temperature: float = number(0.6, least=0)  # 4.1.2; 0 is greedy
    top_p: float = number(0.9, above=0, most=1)
    constrained: bool = False  # after "Ranking:" only labels can follow, each exactly once
    orders: int = number(1, least=1)  # orders of the candidates; a ranking is the sum of 1 / rank
    by: str = choice("text", *ANSWERS)  # text: parse the answer; labels: rank by their probability
    endpoint: Endpoint | None = None  # the server that answers; null: weights in this process
    # further arguments of vLLM's `LLM`, such as quantization: fp8; null: its default
    params: dict[str, Any] = field(default_factory=dict, metadata={"untold": {}})


@dataclass
class Teacher:
    """Who writes the interaction-of-thoughts (section 3.2.2)."""

    name: str = MISSING
    # (cases, answers, seed, **params) -> list of (thought, answer);
    # with `generation`: (case, answer, prompt, words, **params) -> messages
    _target_: str = MISSING
    oversample: int = number(4, above=0)  # tasks tried per accepted trace before giving up
    params: dict[str, Any] = field(default_factory=dict)
    generation: Generation | None = None  # how a teaching model is asked; null: a program teaches
    model: Model | None = None  # its weights; null: the run's own, or none behind an endpoint
    attempts: int = number(3, above=0)  # times one task is asked, until the audit accepts
    # how a model is asked whether a thought that the audit accepts makes sense; null: nobody is.
    # Without an endpoint it is the teacher's model.
    judge: Generation | None = None
