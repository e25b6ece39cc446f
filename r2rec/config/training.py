"""Schemas of the groups about training: `sft`, `rl`, `reward`, `probe`, `baseline`."""

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

from r2rec.config.fields import choice, not_in_key, number
from r2rec.config.models import Endpoint, Lora

FIT_LOSSES = ("softmax", "bpr", "bce")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo")
SCALES = ("group", "batch", "none")
SCHEDULES = ("constant", "linear", "cosine")
TASKS = ("ranking", "chain_rating", "mix")


@dataclass
class Sft:
    """Supervised fine-tuning on accepted traces (section 3.3.1)."""

    name: str = MISSING
    enabled: bool = True
    samples: int = number(500, least=0)  # accepted traces (4.1.2)
    # ranking; chain_rating: the paper's question on one chain; mix: half of each
    task: str = choice("ranking", *TASKS)
    epochs: float = number(10.0, above=0)
    learning_rate: float = number(5e-5, above=0)
    batch_size: int = number(8, above=0)  # sequences per optimiser step, over all processes
    micro_batch_size: int = number(8, above=0)  # sequences at once on one device
    # a step takes samples of similar length, for less padding: task=mix pads 40% away without
    group_by_length: bool = False
    warmup: float = number(0.1, least=0)  # share of steps
    save_steps: int = number(50, above=0)  # optimiser steps between checkpoints


@dataclass
class Rl:
    """Learning from rewards (section 3.3.2). `trainer` names the stage that does it."""

    name: str = MISSING
    enabled: bool = True
    trainer: str = "rl"  # a stage of r2rec/pipeline.py: rl (GRPO), rft
    samples: int = number(500, least=0)  # prompts (4.1.2)
    epochs: float = number(1.0, above=0)
    learning_rate: float = number(5e-6, above=0)
    group_size: int = 8  # rollouts per prompt
    prompts_per_step: int = number(4, above=0)  # per optimiser step, over all processes
    micro_batch_size: int = number(8, above=0)  # rollouts at once on one device
    max_new_tokens: int = number(512, above=0)  # tokens of a rollout
    temperature: float = number(1.0, above=0)
    top_p: float = number(1.0, above=0)
    loss: str = choice("grpo", *LOSSES)  # TRL's loss_type
    beta: float = number(0.04, least=0)  # weight of the KL to the policy after SFT
    epsilon: float = number(0.2, above=0)  # clip range
    scale_rewards: str = choice("group", *SCALES)  # divide by the group's deviation (equation 4)
    warmup: float = number(0.0, least=0)  # share of steps
    schedule: str = choice("constant", *SCHEDULES)  # of the learning rate after warm-up
    save_steps: int = number(20, above=0)  # optimiser steps between checkpoints
    params: dict[str, Any] = field(default_factory=dict)  # options of another trainer


@dataclass
class Probe:
    """HR@1 on validation positives during SFT and RL, for their logs."""

    name: str = MISSING
    users: int = number(0, least=0)  # 0: no probe; one process asks, so fsdp and zero3 have none
    every: int = number(10, above=0)  # optimiser steps
    batch_size: int = number(32, above=0)
    max_new_tokens: int = number(768, above=0)
    temperature: float = number(0.0, least=0)
    top_p: float = number(1.0, above=0)


@dataclass
class RewardPart:
    """One term of a reward."""

    _target_: str = MISSING  # (completions, **columns) -> list of floats in [0, 1]
    weight: float = number(1.0)
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Reward:
    """A weighted sum of terms."""

    name: str = MISSING
    parts: dict[str, RewardPart] = field(default_factory=dict)


@dataclass
class Fit:
    """How a classical baseline is trained; one loop serves all."""

    loss: str = choice("softmax", *FIT_LOSSES)
    negatives: int = number(0, least=0)  # items drawn per batch; 0: all items, for softmax
    likes_only: bool = False  # learn from likes; false: from all ratings
    batch_size: int = number(128, above=0)  # users of a sequence model, edges of a graph model
    least_steps: int = number(25, above=0)  # optimiser steps per epoch; small data: smaller batches
    learning_rate: float = number(1e-3, above=0)
    weight_decay: float = number(0.0, least=0)
    epochs: int = number(200, above=0)  # at most
    patience: int = number(10, above=0)  # epochs without a better validation NDCG before it stops


@dataclass
class Adapt:
    """How a language model is tuned for a baseline: LoRA, the loss on the answer alone."""

    # ask about the ranking cases of R2Rec, with their chains and candidates; `negatives` and
    # `disliked` are then without effect. It decides which stage runs, and that is in the key.
    cases: bool = not_in_key(False)
    samples: int = number(4096, above=0)  # targets: train likes with enough likes before them
    negatives: int = number(1, above=0)  # items beside each target
    disliked: bool = (
        False  # the first negative is one that the user disliked later, if there is one
    )
    epochs: float = number(1.0, above=0)
    learning_rate: float = number(1e-4, above=0)
    batch_size: int = number(128, above=0)  # questions per optimiser step
    batch_tokens: int = number(16384, above=0)  # tokens at once on the device, padding included
    warmup: float = number(0.05, least=0, below=1)  # share of steps; then a cosine to 1 %
    save_steps: int = number(50, above=0)  # optimiser steps between snapshots
    lora: Lora = field(default_factory=Lora)


@dataclass
class Count:
    """How a baseline counts evidence chains."""

    # training targets that its weights are fitted to, the first of SFT's; null: not fitted
    samples: int | None = number(None, least=0)
    penalty: float = number(1.0, above=0)  # of squared weights; the log-loss is summed over targets


@dataclass
class Baseline:
    """A method that runs in place of R2Rec."""

    name: str = MISSING
    # (train, users, candidates, rng, **params) -> scores; one that has a parameter `times` gets [n]
    # the times of the targets under evaluation.temporal; with `fit`: (data, **params) -> module;
    # with `endpoint`: (case, prompt, words, **params) -> messages;
    # with `adapt`: (view, texts, prompt, words, **params) -> questions;
    # with `adapt.cases`: (case, prompt, words, **params) -> a question
    # with `count`: (cases, prompt, **params) -> numbers of the candidates, by name
    _target_: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    fit: Fit | None = None  # null: nothing to train
    endpoint: Endpoint | None = None  # null: no language model behind an endpoint
    adapt: Adapt | None = None  # null: no language model to tune
    count: Count | None = None  # null: does not read the evidence chains of prompts
    vectors: Optional["Baseline"] = None  # fitted baseline whose item vectors the model is shown


@dataclass
class Witness(Baseline):
    """A fitted baseline whose placing of the candidates is told with evidence chains."""

    # of users; a training target is placed by a model fitted without its user's fold
    folds: int = number(2, least=2)
