"""Stage `rl`: GRPO on ranking prompts (section 3.3.2, equation 4), from the policy as SFT left it."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import polars as pl
from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.llm import chat, load, runtime
from r2rec.prompts.render import render_prompt
from r2rec.tasks.targets import for_rl
from r2rec.tasks.training import Task, ranking_tasks, targets
from r2rec.tasks.training import load_source as load_source
from r2rec.train import card
from r2rec.train.common import (
    common_arguments,
    forgotten,
    gathered,
    lora,
    per_device,
    run_trainer,
    save_adapter,
)
from r2rec.train.probe import probes

KL_AT_START = (
    1e-3  # nats a token; above it the reference is not the policy that training starts from
)


@forgotten()
def rl(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write the adapter and log.parquet: per step reward and parts, lengths, clipped and zero-variance shares, KL.

    With an SFT adapter, TRL freezes a copy of it as the reference: the KL at the first step is about 0, or it is the
    last (`_reference`).
    """
    runtime.settle(cfg.hardware)
    from datasets import Dataset

    from r2rec.train.shared_prompt import SharedPromptGRPO

    made, adapter = inputs.get("backbone"), inputs.get("sft")
    tokenizer = load.tokenizer(cfg.model, made)
    tasks, notes = _tasks(cfg, inputs, tokenizer)
    rows = [
        {
            "prompt": chat.user_turn(render_prompt(t.case, cfg.prompt, cfg.dataset.words)),
            "positive": t.truth,
            "n_candidates": n,
        }
        for t in tasks
        if (n := cfg.evaluation.negatives + 1)
    ]
    args = _arguments(
        cfg, folder
    )  # before the weights: under ZeRO-3 these are then loaded in parts
    trainer = SharedPromptGRPO(
        model=load.weights(cfg.model, made, adapter, train=True),
        reward_funcs=[
            reward_function(name, part, cfg.prompt.reasoning)
            for name, part in cfg.reward.parts.items()
        ],
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=None if adapter or cfg.model.adapter else lora(cfg.model.lora),
    )
    log = run_trainer(trainer, "rl", folder, [_reference(), *probes(cfg, inputs, tokenizer, "rl")])
    save_adapter(trainer.model, tokenizer, folder, cfg.model, gathered(trainer))
    facts = {
        "prompts": len(rows),
        "steps": trainer.state.global_step,
        **summary(log),
        "notes": notes + warnings(log),
    }
    card.write_card(folder, "rl", cfg, inputs, facts)
    return facts


def _tasks(
    cfg: DictConfig, inputs: dict[str, Path], tokenizer: Any
) -> tuple[list[Task], list[str]]:
    source = load_source(inputs["prepare"], inputs["split"])
    pool = targets(source, cfg)
    per_step = cfg.rl.prompts_per_step
    tasks = ranking_tasks(
        source, for_rl(pool, cfg.rl.samples), cfg, seeds.generator(cfg.seed, "rl.tasks")
    )
    prompts = [render_prompt(t.case, cfg.prompt, cfg.dataset.words) for t in tasks]
    fits = chat.fits(tokenizer, prompts, cfg, cfg.rl.max_new_tokens)
    kept = [t for t, fit in zip(tasks, fits, strict=True) if fit]
    notes = [f"{len(tasks) - len(kept)} prompts too long for model.max_length were left out"] * (
        len(kept) < len(tasks)
    )
    if len(kept) < per_step:
        raise R2RecError(
            f"only {len(kept)} RL prompts fit, rl.prompts_per_step={per_step}; raise model.max_length or give more data"
        )
    return kept, notes


def reward_function(name: str, part: DictConfig, reasoned: bool) -> Callable[..., list[float]]:
    """A reward part as TRL calls it: messages in, one number each out; the columns it names are passed on."""
    reward = get_method(part._target_)
    wanted = set(signature(reward).parameters) - {"completions"}

    def named(completions: list[chat.Messages], **columns: Any) -> list[float]:
        known = columns | {"reasoned": reasoned} | dict(part.params)
        return reward(
            [c[-1]["content"] for c in completions],
            **{k: v for k, v in known.items() if k in wanted},
        )

    named.__name__ = name  # what TRL's logs call it
    return named


def _arguments(cfg: DictConfig, folder: Path) -> Any:
    from trl import GRPOConfig

    group = cfg.rl
    rollouts = group.prompts_per_step * group.group_size
    at_once, times = per_device(rollouts, group.micro_batch_size, cfg.hardware.processes)
    return GRPOConfig(
        **common_arguments(cfg, folder, seeds.integer(cfg.seed, "rl")),
        **_rollouts(cfg),
        num_train_epochs=group.epochs,
        learning_rate=group.learning_rate,
        lr_scheduler_type="constant_with_warmup"
        if group.schedule == "constant"
        else group.schedule,
        warmup_steps=group.warmup,
        per_device_train_batch_size=at_once,
        gradient_accumulation_steps=times,
        num_generations=group.group_size,
        max_completion_length=group.max_new_tokens,
        temperature=group.temperature,
        top_p=group.top_p,
        loss_type=group.loss,
        beta=group.beta,
        epsilon=group.epsilon,
        scale_rewards=group.scale_rewards,
        reward_weights=[part.weight for part in cfg.reward.parts.values()],
        num_iterations=1,
        mask_truncated_completions=False,
        disable_dropout=True,  # what the policy drops the reference does not, and the KL would count that
        save_steps=group.save_steps,
    )


def _rollouts(cfg: DictConfig) -> dict[str, Any]:
    """TRL's settings for who writes the rollouts; vLLM gets the adapter anew before each step."""
    hardware = cfg.hardware
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
        "vllm_max_model_length": cfg.model.max_length,  # or vLLM makes room for the longest that the model can read
        "vllm_gpu_memory_utilization": hardware.vllm_memory,
        "vllm_enable_sleep_mode": True,
    }


def _reference() -> Any:
    """The trainer callback that ends a training at its first step, where its reference is not what it starts from."""
    from transformers import TrainerCallback

    class Reference(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            kl = (logs or {}).get("kl", 0.0)
            if state.global_step == 1 and not abs(kl) <= KL_AT_START:  # nor where it is no number
                why = "the reference is not the policy that training starts from"
                raise R2RecError(
                    f"rl: the KL of the first step is {kl:.4f}: {why}; rl.beta=0 trains without one"
                )

    return Reference()


def summary(log: pl.DataFrame) -> dict[str, float]:
    """First and last fifth of the rewards, and what kept groups from teaching."""
    reward = log["reward"].drop_nulls()
    fifth = max(1, len(reward) // 5)
    facts = {"reward_first": reward.head(fifth).mean(), "reward_last": reward.tail(fifth).mean()}
    for column in ("frac_reward_zero_std", "completions/clipped_ratio", "kl"):
        if column in log.columns:
            facts[column] = log[column].drop_nulls().mean()
    return {name: round(float(value), 5) for name, value in facts.items()}  # type: ignore[arg-type]


def warnings(log: pl.DataFrame) -> list[str]:
    """What a user should know of the run, in words."""
    silent = summary(log).get("frac_reward_zero_std", 0.0)
    if silent <= 0.5:
        return []
    return [
        f"{silent:.0%} of groups had equal rewards and taught nothing; raise rl.group_size or rl.temperature"
    ]
