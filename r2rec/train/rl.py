"""Stage `rl`: GRPO on ranking prompts (section 3.3.2, equation 4), starting from the SFT policy."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray
from tqdm import tqdm

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.base.progress import note
from r2rec.base.workspace import Workspace
from r2rec.chains import witness
from r2rec.chains.chain import weighed
from r2rec.compat import trl as hooks
from r2rec.config import Hardware, Prompt, Reward, RewardPart
from r2rec.config.slices import RlSlice
from r2rec.llm import chat, load, runtime, turns
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.tasks.targets import for_rl
from r2rec.tasks.training import load_source, ranking_tasks, targets
from r2rec.thoughts.template import expected_replies
from r2rec.train.common import (
    common_arguments,
    lora,
    per_device,
    run_trainer,
    save_adapter,
    trainer_released,
)
from r2rec.train.memory import checkpointed
from r2rec.train.probe import probes
from r2rec.train.rollouts import RolloutLog

MAX_KL_AT_START = 1e-3  # nats per token; above it, the reference is not the starting policy
MAX_SILENT_SHARE = 0.5  # of groups whose rollouts all have the same reward; a note above it
SILENT = "frac_reward_zero_std"  # TRL's column: the share of groups with equal rewards
MEANS = (SILENT, "completions/clipped_ratio", "kl")  # columns whose means are facts

RewardFunction = Callable[..., list[float]]


class Prompts(NamedTuple):
    """What a policy answers and is rewarded on.

    Attributes:
        rows: Each with `prompt` (a conversation), and the columns that rewards read: `positive`,
            the label of the held-out item, `n_candidates`, and `case`, an index into `cases`.
        cases: What the prompts tell.
        notes: On prompts that were left out.
    """

    rows: list[dict[str, Any]]
    cases: list[RankingCase]
    notes: list[str]


@trainer_released()
def rl(choices: RlSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Train by GRPO; write the adapter and log.parquet.

    Per step, the log has the reward and its parts, lengths, the shares of cut-off completions and
    of groups with equal rewards, and the KL. A killed run goes on from its newest checkpoint.

    The KL reference is set by TRL: with an SFT adapter it keeps a frozen copy of that adapter, so
    the KL of the first step is about 0, or else a note says so (`ReferenceCheck`). `rl.beta` is
    its weight.

    Returns:
        prompts, steps, and what `summary` gives.

    Raises:
        R2RecError: Too few prompts fit.
    """
    runtime.settle(work.hardware)
    tokenizer = load.tokenizer(choices.model, inputs.get("backbone"))
    prompts = rl_prompts(choices, inputs, tokenizer)
    rollouts = RolloutLog("rl")
    trainer = _trainer(choices, inputs, work, tokenizer, prompts, rollouts)
    listeners = [ReferenceCheck(), rollouts, *probes(choices, inputs, tokenizer, "rl")]
    log = run_trainer(trainer, "rl", work.folder, listeners)
    weights = hooks.whole_weights(trainer)
    save_adapter(trainer.model, tokenizer, work.folder, choices.model, weights)
    return {
        "prompts": len(prompts.rows),
        "steps": trainer.state.global_step,
        **summary(log),
        "notes": prompts.notes + warnings(log),
    }


def _trainer(
    choices: RlSlice,
    inputs: Mapping[str, Path],
    work: Workspace,
    tokenizer: Any,
    prompts: Prompts,
    rollouts: RolloutLog,
) -> Any:
    """TRL's GRPOTrainer on the policy after SFT, with our prompts, rewards and rollouts."""
    from datasets import Dataset
    from trl import GRPOTrainer

    from r2rec.train.shared_prompt import share_prompts

    backbone = inputs.get("backbone")
    adapter = inputs.get("sft")
    peft_config = None
    if adapter is None and choices.model.adapter is None:
        peft_config = lora(choices.model.lora)
    # before the weights: ZeRO-3 settings make them load in parts
    args = _arguments(choices, work, backbone)
    reasoning = choices.prompt.reasoning
    device = runtime.device(work.hardware)
    model = load.weights(choices.model, backbone, adapter, train=True, device=device)
    ends = turns.end_tokens(tokenizer, model.generation_config)
    model.generation_config.eos_token_id = ends  # where TRL looks for them
    rewards = watched(reward_functions(choices.reward, reasoning, prompts.cases), reasoning)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[reading(reward, tokenizer, ends) for reward in rollouts.watch(rewards)],
        args=args,
        train_dataset=Dataset.from_list(prompts.rows),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    hooks.replace_prompt_tokens(trainer, lambda prompt: chat.encode(tokenizer, prompt, reasoning))
    share_prompts(trainer, expected_rollouts(prompts, tokenizer, choices.prompt))
    return trainer


def rl_prompts(choices: RlSlice, inputs: Mapping[str, Path], tokenizer: Any) -> Prompts:
    """The prompts of the targets that RL learns from.

    Raises:
        R2RecError: Fewer prompts fit into the model than a step takes.
    """
    choices = weighed(choices, inputs)
    source = load_source(inputs["prepare"], inputs["split"])
    chosen = for_rl(targets(source, choices), choices.rl.samples)
    rng = seeds.generator(choices.seed, "rl.tasks")
    tasks = ranking_tasks(source, chosen, choices, rng, witness.out_of_fold(inputs))
    texts = [render_prompt(task.case, choices.prompt, choices.words) for task in tasks]
    fits = chat.fits(
        tokenizer,
        texts,
        choices.model.max_length,
        choices.rl.max_new_tokens,
        choices.prompt.reasoning,
    )
    rows = []
    cases: list[RankingCase] = []
    for task, text, is_short in zip(tasks, texts, fits, strict=True):
        if is_short:
            row = {
                "prompt": chat.user_turn(text),
                "positive": task.truth,
                "n_candidates": choices.negatives + 1,
                "case": len(cases),
            }
            rows.append(row)
            cases.append(cast(RankingCase, task.case))
    per_step = choices.rl.prompts_per_step
    if len(rows) < per_step:
        raise R2RecError(
            f"only {len(rows)} RL prompts fit, rl.prompts_per_step={per_step}; "
            "raise model.max_length or give more data"
        )
    notes = []
    n_left_out = len(tasks) - len(rows)
    if n_left_out:
        notes.append(f"{n_left_out} prompts too long for model.max_length were left out")
    return Prompts(rows, cases, notes)


def expected_rollouts(
    prompts: Prompts, tokenizer: Any, prompt: Prompt
) -> dict[tuple[int, ...], list[int]]:
    """Tokens of a prompt -> tokens that its rollouts may be close to."""
    expected = {}
    for row, reply in zip(prompts.rows, expected_replies(prompts.cases, prompt), strict=True):
        ids = chat.encode(tokenizer, row["prompt"], prompt.reasoning)
        expected[tuple(ids)] = turns.expected_tokens(tokenizer, reply)
    return expected


def reward_functions(
    reward: Reward, reasoned: bool, cases: Sequence[RankingCase] = ()
) -> list[RewardFunction]:
    """The parts of a reward as trainers call them, in their order."""
    return [reward_function(name, part, reasoned, cases) for name, part in reward.parts.items()]


def reward_function(
    name: str, part: RewardPart, reasoned: bool, cases: Sequence[RankingCase] = ()
) -> RewardFunction:
    """A part of a reward as trainers call it: conversations in, one number each out.

    The part gets the texts, its own params, and of all columns those that it names.

    Args:
        reasoned: Whether prompts ask for a thought; a part that names `reasoned` gets it.
        cases: What the prompts tell; a part that names `cases` gets those of its rows.
    """
    reward = get_method(part._target_)
    wanted = set(signature(reward).parameters) - {"completions"}

    def named(completions: Sequence[chat.Messages], **columns: Any) -> list[float]:
        available = {**columns, "reasoned": reasoned, **part.params}
        if "cases" in wanted:
            available["cases"] = [cases[index] for index in columns["case"]]
        options = {key: value for key, value in available.items() if key in wanted}
        texts = [messages[-1]["content"] for messages in completions]
        rewards: list[float] = reward(texts, **options)
        return rewards

    named.__name__ = name  # TRL's logs call it by that
    return named


def reading(reward: RewardFunction, tokenizer: Any, ends: Sequence[int]) -> RewardFunction:
    """A reward that reads completions as ranking does (`turns.text_of`).

    TRL's own texts lack special tokens, and with them the marks of some models' thoughts.
    """

    @wraps(reward)
    def read(completion_ids: Sequence[Sequence[int]], **columns: Any) -> list[float]:
        conversations = []
        for ids in completion_ids:
            text = turns.text_of(tokenizer, ids, ends)
            conversations.append([{"role": "assistant", "content": text}])
        return reward(**{**columns, "completions": conversations})

    return read


def watched(functions: list[RewardFunction], reasoned: bool) -> list[RewardFunction]:
    """The parts of a reward; the first one also tells the bar how many answers can be read."""
    first, *others = functions

    def named(completions: Sequence[chat.Messages], **columns: Any) -> list[float]:
        rows = zip(completions, columns["n_candidates"], strict=True)
        valid = [parse_ranking(answer[-1]["content"], n, reasoned).valid for answer, n in rows]
        note(valid=sum(valid) / max(1, len(valid)))
        return first(completions=completions, **columns)

    named.__name__ = first.__name__
    return [named, *others]


def weighted_rewards(
    texts: list[list[str]], prompts: Prompts, reward: Reward, reasoned: bool
) -> NDArray[np.float64]:
    """The weighted sum of a reward's parts for each answer, [n, group].

    Args:
        texts: [n][group] answers to the prompts.
    """
    conversations = []
    columns: dict[str, list[Any]] = {name: [] for name in prompts.rows[0]}
    for row, group in zip(prompts.rows, texts, strict=True):
        for text in group:
            conversations.append([{"role": "assistant", "content": text}])
            for name, value in row.items():
                columns[name].append(value)
    columns["prompts"] = columns.pop("prompt")  # what GRPOTrainer calls them
    total = np.zeros(len(conversations))
    functions = reward_functions(reward, reasoned, prompts.cases)
    for function, part in zip(functions, reward.parts.values(), strict=True):
        total += part.weight * np.array(function(completions=conversations, **columns))
    return total.reshape(len(texts), -1)


class ReferenceCheck:
    """Tells at the first step if the reference is not the policy that training starts from.

    A listener (`train.listeners`). At step 1 both are the same model, so a KL other than 0 says
    that TRL's reference is another one, and the whole training is pulled towards that.
    """

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **_: Any
    ) -> None:
        if state.global_step == 1:
            for note in reference_notes(logs.get("kl", 0.0)):
                tqdm.write(f"  note: {note}")


def reference_notes(kl: float) -> list[str]:
    """A note if the KL of the first step, in nats per token, is not 0 but for rounding."""
    if abs(kl) <= MAX_KL_AT_START:  # False for NaN
        return []
    return [
        f"the KL of the first step is {kl:.4f}: the reference is not the policy that training "
        "starts from; rl.beta=0 trains without one"
    ]


def summary(log: pl.DataFrame) -> dict[str, float]:
    """Mean reward of the first and the last fifth of the steps, and the means of `MEANS`."""
    reward = log["reward"].drop_nulls()
    fifth = max(1, len(reward) // 5)
    means = {
        "reward_first": reward.head(fifth).mean(),
        "reward_last": reward.tail(fifth).mean(),
    }
    for column in MEANS:
        if column in log.columns:
            means[column] = log[column].drop_nulls().mean()
    return {name: round(float(value), 5) for name, value in means.items()}  # type: ignore[arg-type]


def warnings(log: pl.DataFrame) -> list[str]:
    """Notes on what a user should know about this training."""
    notes = []
    if "kl" in log.columns and log["kl"].count():
        notes += reference_notes(log["kl"].drop_nulls()[0])
    silent = summary(log).get(SILENT, 0.0)
    if silent > MAX_SILENT_SHARE:
        notes.append(
            f"{silent:.0%} of groups had equal rewards and taught nothing; "
            "raise rl.group_size or rl.temperature"
        )
    return notes


def _arguments(choices: RlSlice, work: Workspace, backbone: Path | None) -> Any:
    from trl import GRPOConfig

    spec = choices.rl
    rollouts = spec.prompts_per_step * spec.group_size
    at_once, times = per_device(rollouts, spec.micro_batch_size, work.hardware.processes)
    schedule = spec.schedule
    if schedule == "constant":
        schedule = "constant_with_warmup"
    seed = seeds.integer(choices.seed, "rl")
    tokens = at_once * choices.model.max_length
    checkpointing = checkpointed(work.hardware, choices.model, backbone, tokens)
    return GRPOConfig(
        **common_arguments(work.hardware, work.folder, seed, checkpointing),
        **_rollout_arguments(work.hardware, choices.model.max_length),
        num_train_epochs=spec.epochs,
        learning_rate=spec.learning_rate,
        lr_scheduler_type=schedule,
        warmup_steps=spec.warmup,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=times,
        num_generations=spec.group_size,
        max_completion_length=spec.max_new_tokens,
        temperature=spec.temperature,
        top_p=spec.top_p,
        loss_type=spec.loss,
        beta=spec.beta,
        epsilon=spec.epsilon,
        scale_rewards=spec.scale_rewards,
        reward_weights=[part.weight for part in choices.reward.parts.values()],
        num_iterations=1,
        mask_truncated_completions=False,
        disable_dropout=True,  # the reference has none, and the KL would count the difference
        save_steps=spec.save_steps,
    )


def _rollout_arguments(hardware: Hardware, max_length: int) -> dict[str, Any]:
    """TRL's settings for who writes the rollouts; it gives vLLM the adapter before each step."""
    if hardware.rollouts == "hf":
        return {}
    if hardware.rollouts == "server":
        return {
            "use_vllm": True,
            "vllm_mode": "server",
            "vllm_server_base_url": hardware.vllm_server,
        }
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        # else vLLM reserves memory for the longest text that the model can read
        "vllm_max_model_length": max_length,
        "vllm_gpu_memory_utilization": hardware.vllm_memory,
        "vllm_enable_sleep_mode": True,
    }
