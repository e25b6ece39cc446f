"""Training settings that cannot work together: SFT, learning from rewards, the probe."""

from collections.abc import Iterator

from r2rec.base.errors import R2RecError, guess
from r2rec.base.jobs import imported
from r2rec.config import Config, Rl
from r2rec.config.training import TASKS
from r2rec.execution.methods import stage
from r2rec.pipeline import STAGES

TRAINERS = tuple(row.name for row in STAGES if row.place == "rl")

Rules = Iterator[str]


def sft_rules(config: Config) -> Rules:
    """Supervised fine-tuning."""
    sft = config.sft
    if not sft.enabled:
        return
    sampler = config.chain_sampler
    about_chains = sft.task in TASKS and sft.task != "ranking"
    if sft.samples < 1:
        yield "sft.samples must be 1 or more; leave SFT out with sft=off"
    if about_chains and (sampler._target_ is None or sampler.per_user < 1):
        yield f"sft.task={sft.task} asks about chains, but chain_sampler={sampler.name} makes none"
    if about_chains and not sampler.closed:
        yield (
            f"sft.task={sft.task} asks for the last rating of a chain; "
            f"chain_sampler={sampler.name} has none; set sft.task=ranking or chain_sampler=closed"
        )
    given = f"sft.batch_size={sft.batch_size}"
    if sft.batch_size % sft.micro_batch_size != 0:
        yield f"{given} is not a multiple of sft.micro_batch_size={sft.micro_batch_size}"
    processes = config.hardware.processes
    if sft.batch_size % processes != 0:
        yield f"{given} cannot be shared out over hardware.processes={processes}"


def rl_rules(config: Config) -> Rules:
    """Learning from rewards."""
    rl = config.rl
    if not rl.enabled:
        return
    if rl.trainer not in TRAINERS:
        meant = guess(rl.trainer, TRAINERS)
        yield f"rl.trainer={rl.trainer}{meant}; choose from {', '.join(TRAINERS)}"
        return
    yield from _trainer_rules(rl)
    if not config.reward.parts:
        yield "rl needs a reward; choose reward=paper, or leave RL out with rl=off"
    if rl.group_size < 2:
        yield "rl.group_size must be 2 or more: rollouts of a group are compared"
    if rl.samples < rl.prompts_per_step:
        yield f"rl.samples={rl.samples} is less than rl.prompts_per_step={rl.prompts_per_step}"
    if rl.max_new_tokens >= config.model.max_length:
        yield (
            f"rl.max_new_tokens={rl.max_new_tokens} leaves no room for a prompt "
            f"in model.max_length={config.model.max_length}"
        )
    if rl.trainer == "rl":
        yield from _grpo_rules(config)


def _trainer_rules(rl: Rl) -> Rules:
    """What a trainer says of its own `rl.params`."""
    row = stage(rl.trainer)
    if not row.check:
        if rl.params:
            yield f"rl.params has {', '.join(rl.params)}; rl.trainer={rl.trainer} takes none"
        return
    try:
        imported(row.check)(rl.params)
    except R2RecError as error:
        yield str(error)


def _grpo_rules(config: Config) -> Rules:
    """How GRPO's rollouts are shared out over batches and processes."""
    rl = config.rl
    rollouts = rl.prompts_per_step * rl.group_size
    made = f"rl.prompts_per_step x rl.group_size = {rollouts}"
    if rollouts % rl.micro_batch_size != 0:
        yield f"{made} is not a multiple of rl.micro_batch_size={rl.micro_batch_size}"
    processes = config.hardware.processes
    if rollouts % processes != 0:
        yield f"{made} cannot be shared out over hardware.processes={processes}"
    each = rollouts // processes
    divides = each % rl.group_size == 0 or rl.group_size % each == 0
    if _in_parts(config) and not divides:
        yield (
            f"{made} is {each} for each of {processes} processes, which should be a multiple of "
            f"rl.group_size={rl.group_size}, or divide it, "
            f"under hardware.strategy={config.hardware.strategy}"
        )


def probe_rules(config: Config) -> Rules:
    """The probe: one process asks, which cannot be where weights are in parts."""
    trains = config.sft.enabled or config.rl.enabled
    if _in_parts(config) and config.probe.users > 0 and trains:
        yield (
            f"probe.users={config.probe.users}: one process asks, "
            f"hardware.strategy={config.hardware.strategy} needs all; set it to 0"
        )


def _in_parts(config: Config) -> bool:
    """Whether each forward pass is one of all processes together."""
    return config.hardware.processes > 1 and config.hardware.strategy in ("fsdp", "zero3")
