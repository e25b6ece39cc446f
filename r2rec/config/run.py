"""The schema of a whole configuration, and of the groups about a run: `hardware`, `logger`."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from r2rec.config.data import ChainSampler, Dataset, Diagnostic, Evaluation, Noise
from r2rec.config.fields import choice, number
from r2rec.config.models import Generation, Model, Prompt, Teacher
from r2rec.config.training import Baseline, Probe, Reward, Rl, Sft, Witness

DEVICES = ("auto", "cpu", "cuda", "mps")
MODES = ("offline", "online", "disabled")
CHECKPOINTING = ("auto", "on", "off")
ROLLOUTS = ("hf", "vllm", "server")
SIDES = ("data", "train", "answer")  # what `seeds` sets apart
STRATEGIES = ("ddp", "fsdp", "zero2", "zero3")


@dataclass
class Hardware:
    """Where and how a run computes. It is in no artefact's key."""

    name: str = MISSING
    device: str = choice("auto", *DEVICES)
    processes: int = 1  # over all nodes; more than one are started by `accelerate launch`
    strategy: str = choice(
        "ddp", *STRATEGIES
    )  # ddp: a copy each; others: parts of the weights each
    nodes: int = 1
    node: int = 0  # which node this is; the same command runs on each
    address: str = "127.0.0.1"  # of node 0
    port: int = 0  # of node 0; 0: any free one, which several nodes cannot agree on
    # who writes GRPO's rollouts: the trained model; vLLM on the same GPUs; `trl vllm-serve`
    rollouts: str = choice("hf", *ROLLOUTS)
    # share of a GPU for rollouts=vllm: 16 GB of weights and 32 rollouts of an 8B model in 80 GB
    vllm_memory: float = number(0.45, above=0, below=1)
    vllm_server: str | None = None  # of rollouts=server: http://HOST:8000
    # recompute activations in training, for a third more time: where they would not fit into the
    # memory of a GPU (auto), always, or never. It changes nothing that is learnt beyond rounding.
    checkpointing: str = choice("auto", *CHECKPOINTING)
    threads: int | None = None  # CPU threads; null: one per core that is free when a stage begins
    bf16: bool = False


@dataclass
class Logger:
    """Dashboards."""

    name: str = MISSING
    report_to: list[str] = field(default_factory=list)  # wandb, tensorboard
    project: str = "r2rec"
    mode: str = choice("offline", *MODES)  # of wandb
    patience: float = number(30.0, above=0)  # seconds to wait for wandb's server, then go offline


@dataclass
class Forecast:
    """The full run whose cost `+experiment=throughput` estimates (section 4.1.2)."""

    enabled: bool = False
    sft_samples: int = 500
    sft_epochs: float = 10.0
    rl_samples: int = 500
    users: int = 1000
    dollars_per_hour: float = 0.0  # of one device; 0: no cost is shown


@dataclass
class Seeds:
    """Parts of `seed` that are set apart. Three runs on the same data: -m seeds.train=0,1,2"""

    # candidates, evaluated users and those that validation asks about, the chains of both, noise,
    # the toy world
    data: int | None = number(None, least=0)
    # targets, their candidates and chains, thoughts, SFT, RL, baselines, witnesses
    train: int | None = number(None, least=0)
    # what is drawn while candidates are ranked: sampled answers, ties, diagnostics
    answer: int | None = number(None, least=0)


@dataclass
class Config:
    """Everything a run can choose."""

    name: str = "run"  # first folder under outputs/
    seed: int = number(0, least=0)
    seeds: Seeds = field(default_factory=Seeds)  # one that is null is `seed`
    until: str | None = None  # stop after this stage
    force: list[str] = field(default_factory=list)  # stages to make again
    dry: bool = False  # print the plan, make nothing
    artefacts: str = "outputs/artefacts"  # the store
    push_to_hub: str | None = None  # repository for this run's last adapter; needs $HF_TOKEN
    roots: dict[str, Any] = field(default_factory=dict)  # raw folders, where dataset.root is null
    dataset: Dataset = MISSING
    train_on: Dataset = MISSING  # train on another data set than `dataset` (Table 3)
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
    fusion: Baseline = MISSING  # rank each trained arm once more, together with this baseline
    witness: Witness = MISSING  # a model that evidence chains tell about
    evaluation: Evaluation = MISSING
    diagnostic: Diagnostic = MISSING
    generation: Generation = MISSING
    hardware: Hardware = MISSING
    logger: Logger = MISSING
    # baselines that rank by the evidence that R2Rec is told; they are in every table that shows it
    counters: dict[str, Baseline] = field(default_factory=dict)
    forecast: Forecast = field(default_factory=Forecast)

    @property
    def data_seed(self) -> int:
        """The seed of what is evaluated on."""
        return seed_of("data", _root_=self)

    @property
    def train_seed(self) -> int:
        """The seed of all that is trained."""
        return seed_of("train", _root_=self)

    @property
    def answer_seed(self) -> int:
        """The seed of what is drawn while candidates are ranked."""
        return seed_of("answer", _root_=self)


def seed_of(side: str, *, _root_: Any) -> int:
    """The seed that holds for one of `SIDES`; in YAML `${seed_of:data}`."""
    own: int | None = getattr(_root_.seeds, side)
    root: int = _root_.seed
    return root if own is None else own


def register() -> None:
    """Give Hydra the schema that `conf/config.yaml` names, so that every group is typed."""
    OmegaConf.register_new_resolver("seed_of", seed_of, replace=True)
    schema = OmegaConf.structured(Config)
    OmegaConf.set_struct(schema.roots, False)  # any data set may have a folder there
    ConfigStore.instance().store(name="schema", node=schema)
