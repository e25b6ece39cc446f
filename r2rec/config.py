"""Schemas of every config group: types, units and defaults. The choices themselves are YAML, under `conf/`.

A leaf that users swap (a dataset reader, a sampler, a teacher, a reward shape, a baseline) is named by
`_target_`, a dotted path to a plain function; its own options are `params`, checked against that function's
signature by `check.check`. So a new leaf is one Python file and one YAML.
"""

from dataclasses import dataclass, field
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class Words:
    """How prompts speak of this domain."""

    singular: str = "item"
    plural: str = "items"
    verb: str = "rated"  # what a user did with an item: watched, read, bought


@dataclass
class Download:
    """One file of the documented download."""

    url: str = MISSING
    checksum: str | None = None  # "md5:..." or "sha256:..."; null: noted at first download, verified from then on


@dataclass
class Dataset:
    name: str = MISSING
    _target_: str = MISSING  # (root, category, **params) -> r2rec.data.interactions.Raw
    root: str | None = None  # folder with the raw files; null: download into `<artefacts>/downloads/<name>`
    category: str | None = None  # Amazon Reviews 2023 category, e.g. Office_Products
    files: list[str] = field(default_factory=list)  # raw files the reader opens; `a|b` means whichever exists
    downloads: list[Download] = field(default_factory=list)
    words: Words = field(default_factory=Words)
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Noise:
    """Train ratings made worse on purpose; held-out items and candidates stay those of the clean run."""

    name: str = MISSING
    _target_: str | None = None  # (train, n_users, n_items, rng, **params) -> train; null: as they are
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class ChainSampler:
    name: str = MISSING
    _target_: str | None = None  # (graph, queries, per_query, rng, **params) -> chains; null: no chains
    per_user: int = 5  # chains per user (paper 4.1.2); fewer where there are no more loops
    forward: bool = False  # chains lead to the candidates: only users that are ranked have any
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Prompt:
    name: str = MISSING
    reasoning: bool = True  # ask for, train and require a thought before the answer
    chains: bool = True  # show the user's interaction chains
    compact: bool = False  # a chain in about half as many words: "user 5, neighbour 4: item; neighbour 3, user 2: item"
    profile: bool = True  # show the profile where the data has one
    history: int = 5  # recently liked items shown (paper 4.1.2)
    title_length: int = 80  # characters of a title shown; data is untrusted and may be endless


@dataclass
class Lora:
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0  # GRPO leaves it out: its policy and its reference are compared
    targets: str = "all-linear"


@dataclass
class TinySpec:
    """A Llama-architecture model small enough to be made on the spot, with its own tokenizer."""

    vocabulary: int = 4096  # byte-level BPE entries
    hidden: int = 96
    layers: int = 4
    heads: int = 3
    feed_forward: int = 256
    initializer_range: float = 0.08
    rope_theta: float = 10000.0
    prompts_per_world: int = 30
    start: str | None = None  # go on from the weights and tokenizer of an earlier run's folder, at the last level
    steps: int = 800  # optimiser steps of full training
    batch_tokens: int = 2304  # tokens in a step, padding included; many small steps learn faster than few large
    learning_rate: float = 3e-3


@dataclass
class Model:
    name: str = MISSING
    path: str | None = None  # local folder or hub id with safetensors; null: made locally from `tiny`
    revision: str | None = None
    chat_template: str | None = None  # template for training and rollouts: a file of r2rec/llm/templates or TRL's
    adapter: str | None = None  # start from this adapter (folder or hub id) in place of a fresh one
    dtype: str = "float32"
    architecture: dict[str, Any] = field(default_factory=dict)  # random weights of this config in place of the path's
    max_length: int = 2048  # tokens of prompt and completion; longer prompts are left out, and counted
    lora: Lora = field(default_factory=Lora)
    tiny: TinySpec | None = None


@dataclass
class Sft:
    name: str = MISSING
    enabled: bool = True
    samples: int = 500  # accepted traces (paper 4.1.2)
    task: str = "ranking"  # ranking | chain_rating (the paper's question on one chain) | mix (half and half)
    epochs: float = 10.0
    learning_rate: float = 5e-5
    batch_size: int = 8  # sequences per optimiser step, over all processes
    micro_batch_size: int = 8  # sequences at once on one device
    warmup: float = 0.1  # share of steps
    save_steps: int = 50  # optimiser steps between checkpoints


@dataclass
class Rl:
    name: str = MISSING
    enabled: bool = True
    samples: int = 500  # prompts (paper 4.1.2)
    epochs: float = 1.0
    learning_rate: float = 5e-6
    group_size: int = 8  # rollouts per prompt
    prompts_per_step: int = 4  # prompts per optimiser step, over all processes
    micro_batch_size: int = 8  # rollouts at once on one device
    max_new_tokens: int = 512  # tokens of a rollout
    temperature: float = 1.0
    top_p: float = 1.0
    loss: str = "grpo"  # TRL's loss_type
    beta: float = 0.04  # KL weight against the policy as SFT left it (DeepSeekMath, eq. 3)
    epsilon: float = 0.2  # clip range
    scale_rewards: str = "group"  # divide by the group's standard deviation (paper eq. 4)
    warmup: float = 0.0
    schedule: str = "constant"  # of the learning rate after warm-up: constant | linear (to 0) | cosine
    save_steps: int = 20


@dataclass
class Probe:
    """HR@1 on validation positives while SFT and GRPO train, into their logs; greedy."""

    name: str = MISSING
    users: int = 0  # 0: none; one process asks them, so hardware=fsdp and zero3 have none
    every: int = 10  # optimiser steps; before the first and after the last in any case
    batch_size: int = 32
    max_new_tokens: int = 768
    temperature: float = 0.0
    top_p: float = 1.0


@dataclass
class RewardPart:
    _target_: str = MISSING  # (completions, **columns) -> list of floats in [0, 1]
    weight: float = 1.0
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Reward:
    name: str = MISSING
    parts: dict[str, RewardPart] = field(default_factory=dict)


@dataclass
class Fit:
    """How a classical baseline is trained; one loop for all."""

    loss: str = "softmax"  # softmax | bpr | bce
    negatives: int = 0  # items drawn for a batch and shared by its positives; 0: all items, for softmax
    likes_only: bool = False  # learn from ratings above evaluation.positive_above; false: from all
    batch_size: int = 128  # users of a sequence model, edges of a graph model; fewer where an epoch had too few steps
    least_steps: int = 25  # of the optimiser in an epoch, after which patience is counted
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    epochs: int = 200  # at most
    patience: int = 10  # epochs without a better validation NDCG before it stops; the best weights are kept


@dataclass
class Endpoint:
    """An OpenAI-compatible chat endpoint. Answers are kept under `<artefacts>/responses`, never paid for twice."""

    model: str = MISSING
    base_url: str | None = None  # e.g. http://127.0.0.1:8000/v1; null: OpenAI's own
    key: str = "OPENAI_API_KEY"  # the environment variable that holds the key; the key itself is stored nowhere
    options: dict[str, Any] = field(default_factory=dict)  # of a request: temperature, max_completion_tokens, ...
    dollars_in: float = 0.0  # per million tokens of prompts
    dollars_out: float = 0.0  # per million tokens of answers, thoughts included
    ceiling: float = 5.0  # dollars for the answers of one run, all stages together, kept ones included
    concurrency: int = 8  # requests on their way at once
    timeout: float = 120.0  # seconds for a whole answer
    retries: int = 6
    backoff: float = 1.0  # seconds before the first retry, doubled at each
    replay: bool = False  # answer from what is kept alone, without a network


@dataclass
class Adapt:
    """How a language model is tuned for a baseline: LoRA on closed questions, the loss on the answer alone."""

    samples: int = 4096  # targets: train-side likes with enough likes before them
    negatives: int = 1  # items beside each
    disliked: bool = False  # the first of these is one that the user rated later and did not like, where there is one
    epochs: float = 1.0
    learning_rate: float = 1e-4
    batch_size: int = 128  # questions per optimiser step
    batch_tokens: int = 16384  # tokens at once on the device, padding included
    warmup: float = 0.05  # share of steps; a cosine then falls to a hundredth
    save_steps: int = 50  # optimiser steps between snapshots
    lora: Lora = field(default_factory=Lora)


@dataclass
class Baseline:
    name: str = MISSING
    # (train, users, candidates, rng, **params) -> scores; with `fit`: (data, **params) -> module;
    # with `endpoint`: (case, prompt, words, **params) -> messages;
    # with `adapt`: (view, texts, prompt, words, **params) -> questions
    _target_: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    fit: Fit | None = None  # null: nothing to train
    endpoint: Endpoint | None = None  # null: no language model behind an endpoint
    adapt: Adapt | None = None  # null: no language model of one's own
    vectors: Optional["Baseline"] = None  # a fitted baseline whose item vectors the language model is shown


@dataclass
class Evaluation:
    name: str = MISSING
    users: int = 1000  # evaluated users, a seeded sample of those with a held-out positive
    negatives: int = 19  # untouched items beside the positive (paper 4.1.1)
    matched: bool = False  # the negatives of held-out positives are as popular as these; false: uniform (paper)
    positive_above: float = 3.0  # a rating above this is a like
    min_positives: int = 6  # users with fewer likes are left out
    min_history: int = 3  # likes before a training target
    arms: list[str] = field(default_factory=lambda: ["base", "sft", "rl"])  # stages of R2Rec that are ranked
    references: dict[str, str] = field(default_factory=dict)  # name -> baseline function, printed in every table
    resamples: int = 1000  # bootstrap resamples over users
    validation_users: int = 200  # whose validation positives say how much a fused answer weighs


@dataclass
class Diagnostic:
    """What an arm that writes is asked beyond its ranking."""

    name: str = MISSING
    _target_: str | None = None  # (asked, rng, **params) -> r2rec.evaluate.diagnostics.Diagnosis; null: nothing
    users: int = 200  # of those evaluated, at most
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Generation:
    name: str = MISSING
    _target_: str = MISSING  # (r2rec.llm.engine.Setup) -> r2rec.llm.engine.Engine
    batch_size: int = 32  # prompts at once
    max_new_tokens: int = 768
    temperature: float = 0.6  # paper 4.1.2; 0 is greedy
    top_p: float = 0.9
    constrained: bool = False  # after "Ranking:" only labels can follow, all of them, each once
    orders: int = 1  # of the candidates, each asked in its own prompt: a ranking is their sum (1 / rank)
    by: str = "text"  # text: read the answer | labels: rank by how likely each label opens it, nothing is written
    endpoint: Endpoint | None = None  # the server that answers; null: weights in this process


@dataclass
class Teacher:
    name: str = MISSING
    # (cases, answers, seed, **params) -> list of (thought, answer);
    # with `generation`: (case, answer, prompt, words, **params) -> messages
    _target_: str = MISSING
    oversample: int = 4  # tasks tried per accepted trace wanted, before giving up on the rest
    params: dict[str, Any] = field(default_factory=dict)
    generation: Generation | None = None  # how a model that teaches is asked; null: the teacher is a program
    model: Model | None = None  # its weights; null: behind an endpoint, or none
    attempts: int = 3  # times that a task is asked for, until the audit accepts


@dataclass
class Hardware:
    name: str = MISSING
    device: str = "auto"  # auto | cpu | cuda | mps
    processes: int = 1  # over all nodes; more than one are started by `accelerate launch`
    strategy: str = "ddp"  # of several: ddp (a copy each), fsdp, zero2, zero3 (parts of the weights each; DeepSpeed)
    nodes: int = 1
    node: int = 0  # which of them this is; the same command runs on each
    address: str = "127.0.0.1"  # of node 0
    port: int = 0  # on it; 0: any free one, which several nodes cannot agree on
    rollouts: str = "hf"  # GRPO's, written by: hf (the model trained), vllm (on the same GPUs), server (trl vllm-serve)
    vllm_memory: float = 0.3  # share of a GPU that rollouts=vllm may take; it sleeps while the model learns
    vllm_server: str | None = None  # of rollouts=server: http://HOST:8000
    threads: int | None = None  # CPU threads; null: as many as there are cores
    bf16: bool = False


@dataclass
class Logger:
    name: str = MISSING
    report_to: list[str] = field(default_factory=list)  # wandb | tensorboard; what each stage says goes there as well
    project: str = "r2rec"
    mode: str = "offline"  # of wandb: offline | online | disabled
    patience: float = 30.0  # seconds for wandb's server to answer; after that the run goes on offline


@dataclass
class Plan:
    """The full run whose cost `+experiment=throughput` foretells (paper 4.1.2)."""

    enabled: bool = False
    sft_samples: int = 500
    sft_epochs: float = 10.0
    rl_samples: int = 500
    users: int = 1000
    dollars_per_hour: float = 0.0  # of one device; 0: no cost is told


@dataclass
class Config:
    name: str = "run"  # first folder under outputs/
    seed: int = 0
    until: str | None = None  # stop after this stage
    force: list[str] = field(default_factory=list)  # stages made again though they are there
    artefacts: str = "outputs/artefacts"
    push_to_hub: str | None = None  # repository that gets this run's last adapter; the token is $HF_TOKEN
    roots: dict[str, Any] = field(default_factory=dict)  # folders of raw files by data set, where dataset.root is null
    dataset: Dataset = MISSING
    train_on: Dataset = MISSING  # SFT and GRPO on another data set than `dataset` (Table 3): dataset@train_on=...
    noise: Noise = MISSING
    chain_sampler: ChainSampler = MISSING
    prompt: Prompt = MISSING
    teacher: Teacher = MISSING
    model: Model = MISSING
    sft: Sft = MISSING
    rl: Rl = MISSING
    reward: Reward = MISSING
    probe: Probe = MISSING
    baseline: Baseline = MISSING
    fusion: Baseline = MISSING  # each arm that writes is ranked once more, together with this: baseline@fusion=sasrec
    evaluation: Evaluation = MISSING
    diagnostic: Diagnostic = MISSING
    generation: Generation = MISSING
    hardware: Hardware = MISSING
    logger: Logger = MISSING
    plan: Plan = field(default_factory=Plan)


def register() -> None:
    """Put the schema where `conf/config.yaml` finds it: every group is then typed and closed to unknown keys."""
    # Hydra copies its store, a singleton, for every group that it lists: 120 times the whole schema for one --help.
    ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
    ConfigStore.instance().store(name="schema", node=Config)
