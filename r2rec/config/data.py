"""Schemas of `dataset`, `noise`, `chain_sampler`, `evaluation` and `diagnostic`."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from r2rec.config.fields import choice, local_path, not_in_key, number

HISTORIES = ("train", "all")
TARGETS = ("likes", "users")
METRICS = ("hr@1", "hr@3", "ndcg@3")  # of the paper; every record has them


@dataclass
class Words:
    """How prompts speak of this domain."""

    singular: str = "item"
    plural: str = "items"
    verb: str = "rated"  # what a user did with an item: watched, read, bought
    traits: str = "attributes"  # what items are described by: genres and decade


@dataclass
class Download:
    """One file of the documented download."""

    url: str = MISSING
    # "md5:..." or "sha256:..."; null: recorded at the first download, verified from then on
    checksum: str | None = None


@dataclass
class Dataset:
    """Where ratings come from and how they are read."""

    name: str = MISSING
    # (root, category, **params) -> r2rec.data.interactions.Raw, or plain tables: data/contract.py
    _target_: str = MISSING
    root: str | None = local_path()  # folder with the raw files; null: download them
    category: str | None = None  # category of Amazon Reviews, e.g. Office_Products
    # files the reader opens; `a|b`: whichever exists, `a|`: may be missing, `*` is anything
    files: list[str] = field(default_factory=list)
    downloads: list[Download] = field(default_factory=list)
    words: Words = field(default_factory=Words)
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Noise:
    """Train ratings that are corrupted on purpose. Held-out items and candidates stay the same."""

    name: str = MISSING
    _target_: str | None = None  # (train, n_users, n_items, rng, **params) -> train; null: no noise
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class ChainSampler:
    """How interaction chains are drawn (section 3.2.1)."""

    name: str = MISSING
    _target_: str | None = None  # (graph, queries, per_query, rng, **params) -> chains; null: none
    # (graph, queries, positive_index, params) -> params, those that are null chosen; null: as given
    weigh: str | None = None
    per_user: int = number(5, least=0)  # chains per user (4.1.2); fewer where the graph has fewer
    forward: bool = False  # chains lead to candidates, so only ranked users have any
    closed: bool = not_in_key(True)  # the user has rated the last item, so it can be asked for
    tiny: str = not_in_key("closed")  # the tiny backbone that reads such prompts: closed, evidence
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class Evaluation:
    """The protocol: who is evaluated, on which candidates, and how (section 4.1.1)."""

    name: str = MISSING
    users: int = 1000  # evaluated users, a seeded sample of all with a held-out positive
    negatives: int = 19  # items beside the positive, which the user never touched
    matched: bool = False  # negatives as popular as the positive; false: uniform, as in the paper
    positive_above: float = 3.0  # a rating above this is a like
    min_positives: int = 6  # users with fewer likes are left out
    min_history: int = number(3, least=0)  # likes before a training target
    # how training targets are drawn: likes, each as likely as another, so that heavy users have
    # most; users, everybody once before anybody twice, in SFT's half of the likes and in RL's
    targets: str = choice("likes", *TARGETS)
    # What each method is told of users to be ranked for: train, which ends before the validation
    # positive; or all before the test positive. Training and tuning see train either way.
    history: str = choice("train", *HISTORIES)
    # tell no chain, count or neighbour's rating from the time of the target on; the variant of
    # methods that cannot keep to that says so
    temporal: bool = False
    arms: list[str] = field(default_factory=lambda: ["base", "sft", "rl"])  # trained models to rank
    references: dict[str, str] = field(default_factory=dict)  # name -> scorer, shown in every table
    # what reports show: hr@K, ndcg@K, mrr; intervals and differences are those of the first one
    metrics: list[str] = field(default_factory=lambda: list(METRICS))
    # pairs of methods, e.g. [[r2rec, gru4rec]]: Holm's correction is over these, and whatever else
    # is compared is called exploratory; empty: all comparisons on a data set are one family
    compare: list[Any] = field(default_factory=list, metadata={"in_key": False})
    resamples: int = 1000  # bootstrap resamples over users
    validation_users: int = 200  # users whose validation positives set the weight of a fusion


@dataclass
class Diagnostic:
    """Further questions to an arm that writes text."""

    name: str = MISSING
    # (arm, rng, **params) -> r2rec.evaluate.diagnostics.Diagnosis; null: no diagnostic
    _target_: str | None = None
    users: int = number(200, above=0)  # evaluated users who are asked, at most
    params: dict[str, Any] = field(default_factory=dict)
