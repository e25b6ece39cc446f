"""Stage `rft`: rejection-sampling fine-tuning on ranking prompts, in the place of GRPO.

In each round the current policy answers every RL prompt several times, and is fine-tuned on the
best answers to each prompt, if these are better than the mean of their group (RAFT, Dong et al.,
2023; RFT, Yuan et al., 2023). Prompts and rewards are those of stage `rl`. There is no reference
policy and no KL: `rl.beta`, `rl.loss`, `rl.epsilon` and `rl.scale_rewards` change nothing.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from r2rec.base import seeds, tracking
from r2rec.base.checkpoint import SEAL, is_sealed, load_state, save_state, seal
from r2rec.base.workspace import Workspace
from r2rec.compat import trl as hooks
from r2rec.config import Generation
from r2rec.config.slices import RlSlice
from r2rec.llm import chat, hf, load, runtime, turns
from r2rec.prompts.answer import parse_ranking
from r2rec.thoughts.template import expected_replies
from r2rec.train.common import (
    CHECKPOINTS,
    Row,
    common_arguments,
    lora,
    per_device,
    save_adapter,
    train,
    trainer_released,
    write_log,
)
from r2rec.train.memory import checkpointed
from r2rec.train.probe import probes
from r2rec.train.rft_params import RftParams, rft_params
from r2rec.train.rl import rl_prompts, weighted_rewards
from r2rec.train.sft import unmasked

ROUNDING = 1e-9  # relative: the mean of equal numbers may be off in its last digits
IGNORED = -100  # a label that the loss skips
ADAPTER = "adapter"  # folder of a round: the policy that it left
ANSWERS = "answers.pt"  # file of a round: what was drawn
RESULT = "round.pt"  # file of a round that is done: its log


def rft(choices: RlSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Train by rounds of drawing and fine-tuning; write adapter, log.parquet and answers.parquet.

    The log has a row per optimiser step (step, loss, ...), and a row per round, at the step before
    which its answers were drawn: `reward`, the mean over all answers; `reward_kept`, over those
    that were kept; the shares `kept` and `valid` of the answers. answers.parquet has every answer
    with its prompt's number, its reward, and whether it was kept.

    A killed run goes on from its last whole round, and within a round from the answers and
    checkpoints that are there.

    Returns:
        prompts, rounds, steps, kept (answers), reward_first and reward_last (of a round).

    Raises:
        R2RecError: `rl.params` make no sense, or too few prompts fit.
    """
    params = rft_params(choices.rl.params)
    runtime.settle(work.hardware)
    with hooks.single_process():
        return _Rounds(choices, inputs, work, params).run()


@dataclass(frozen=True)
class _Answers:
    """What the policy answered in a round: n prompts, `rl.group_size` answers each."""

    texts: list[list[str]]  # [n][group]
    rewards: NDArray[np.float64]  # [n, group]
    kept: NDArray[np.bool_]  # [n, group]

    def table(self, number: int) -> pl.DataFrame:
        """Columns round, prompt, completion, reward, kept; one row per answer."""
        n_prompts, group = self.rewards.shape
        return pl.DataFrame(
            {
                "round": np.full(n_prompts * group, number),
                "prompt": np.repeat(np.arange(n_prompts), group),
                "completion": list(chain.from_iterable(self.texts)),
                "reward": self.rewards.ravel(),
                "kept": self.kept.ravel(),
            }
        )


@dataclass(frozen=True)
class _Round:
    """A round that is done; its adapter is in the round's folder."""

    answers: _Answers
    log: list[Row]
    steps: int


class _Rounds:
    """All rounds of a stage, one after the other."""

    def __init__(
        self, choices: RlSlice, inputs: Mapping[str, Path], work: Workspace, params: RftParams
    ) -> None:
        self.choices = choices
        self.inputs = inputs
        self.work = work
        self.params = params
        self.tokenizer = load.tokenizer(choices.model, inputs.get("backbone"))
        self.prompts = rl_prompts(choices, inputs, self.tokenizer)
        reasoning = choices.prompt.reasoning
        asked = [row["prompt"] for row in self.prompts.rows]
        self.encoded = [chat.encode(self.tokenizer, prompt, reasoning) for prompt in asked]
        self.expected = expected_replies(self.prompts.cases, choices.prompt)

    def run(self) -> dict[str, Any]:
        """Do all rounds and write the stage's files; its facts."""
        adapter = self.inputs.get("sft")
        log: list[Row] = []
        tables = []
        steps = 0
        for number in range(1, self.params.rounds + 1):
            folder = self._folder(number)
            done = self._finished(folder)
            if done is None:
                with trainer_released():
                    done = self._run_round(number, adapter, steps)
            for path in folder.glob("checkpoint-*"):
                shutil.rmtree(path)
            log += done.log
            tables.append(done.answers.table(number))
            steps += done.steps
            adapter = folder / ADAPTER
        self._take_last_adapter()
        answered = pl.concat(tables)
        answered.write_parquet(self.work.folder / "answers.parquet")
        frame = write_log(log, self.work.folder)
        return self._facts(frame, answered, steps)

    def _take_last_adapter(self) -> None:
        """Copy the adapter of the last round into the stage's folder."""
        last = self._folder(self.params.rounds) / ADAPTER
        for path in last.iterdir():
            if path.name != SEAL:
                shutil.copyfile(path, self.work.folder / path.name)

    def _folder(self, number: int) -> Path:
        """Where a round keeps what a killed run goes on from."""
        return self.work.folder / CHECKPOINTS / f"round-{number}"

    def _finished(self, folder: Path) -> _Round | None:
        """A round that an earlier run has done; None if it is not whole."""
        result = load_state(folder / RESULT)
        answers = self._saved_answers(folder)
        if result is None or answers is None or not is_sealed(folder / ADAPTER):
            return None
        return _Round(answers, result["log"], result["steps"])

    def _saved_answers(self, folder: Path) -> _Answers | None:
        saved = load_state(folder / ANSWERS)
        if saved is None:
            return None
        rewards = np.array(saved["rewards"])
        return _Answers(saved["texts"], rewards, best_above_mean(rewards, self.params.keep))

    def _run_round(self, number: int, adapter: Path | None, first_step: int) -> _Round:
        """Draw answers, fine-tune on the best, and leave the policy in the round's folder."""
        folder = self._folder(number)
        folder.mkdir(parents=True, exist_ok=True)
        policy = self._policy(number, adapter)
        answers = self._saved_answers(folder)
        if answers is None:
            answers = self._draw_answers(number, policy)
        log = [self._log_row(answers, number, first_step)]
        steps = 0
        weights = None
        if answers.kept.any():
            trainer = self._trainer(number, policy, self._examples(answers))
            log += self._fine_tune(trainer, number, first_step)
            steps = trainer.state.global_step
            policy = trainer.model
            weights = hooks.whole_weights(trainer)
        target = folder / ADAPTER
        target.mkdir(exist_ok=True)
        save_adapter(policy, self.tokenizer, target, self.choices.model, weights)
        seal(target)
        save_state(folder / RESULT, {"log": log, "steps": steps})
        return _Round(answers, log, steps)

    def _fine_tune(self, trainer: Any, number: int, first_step: int) -> list[Row]:
        """Run the trainer of a round; its rows of the log, their steps counted over all rounds."""
        listeners = probes(self.choices, self.inputs, self.tokenizer, "rft", first_step)
        history = train(trainer, "rft", self.work.folder, listeners, first_step)
        rows = [row for row in history if not hooks.is_summary(row)]
        return [{**row, "step": first_step + row["step"], "round": number} for row in rows]

    def _policy(self, number: int, adapter: Path | None) -> Any:
        """The model with the adapter so far, or a fresh one, on the device that draws."""
        import torch
        from peft import get_peft_model

        choices = self.choices
        made = self.inputs.get("backbone")
        device = runtime.device(self.work.hardware)
        model = load.weights(choices.model, made, adapter, train=True, device=device)
        if adapter is None and choices.model.adapter is None:
            torch.manual_seed(self._seed(number))
            model = get_peft_model(model, lora(choices.model.lora))
        return model.to(device)

    def _draw_answers(self, number: int, policy: Any) -> _Answers:
        """The policy's answers of a round and their rewards, which are saved as well."""
        texts = self._draw(number, policy)
        reasoning = self.choices.prompt.reasoning
        rewards = weighted_rewards(texts, self.prompts, self.choices.reward, reasoning)
        saved = {"texts": texts, "rewards": rewards.tolist()}
        save_state(self._folder(number) / ANSWERS, saved)
        return _Answers(texts, rewards, best_above_mean(rewards, self.params.keep))

    def _draw(self, number: int, policy: Any) -> list[list[str]]:
        """Answers of the policy to each prompt; round, prompt and place in the group seed each."""
        spec = self.choices.rl
        batch_size = spec.micro_batch_size
        if batch_size > spec.group_size:
            batch_size -= batch_size % spec.group_size  # whole groups: their prompt is read once
        generation = Generation(
            name="rft",
            batch_size=batch_size,
            max_new_tokens=spec.max_new_tokens,
            temperature=spec.temperature,
            top_p=spec.top_p,
        )
        # rows with the same prompt follow each other
        prompts = [prompt for prompt in self.encoded for _ in range(spec.group_size)]
        expected = [reply for reply in self.expected for _ in range(spec.group_size)]
        rng = seeds.generator(self.choices.seed, f"rft.round.{number}")
        own_seeds = rng.integers(2**63, size=len(prompts)).tolist()
        written = hf.generate(
            policy, self.tokenizer, prompts, generation, own_seeds, expected=expected
        )
        texts = [answer.text for answer in written]
        starts = range(0, len(texts), spec.group_size)
        return [texts[start : start + spec.group_size] for start in starts]

    def _log_row(self, answers: _Answers, number: int, step: int) -> Row:
        """The log's row about a round's answers, which is also told to trackers and the console."""
        reasoning = self.choices.prompt.reasoning
        valid = []
        for row, texts in zip(self.prompts.rows, answers.texts, strict=True):
            n = row["n_candidates"]
            valid += [parse_ranking(text, n, reasoning).valid for text in texts]
        reward = float(answers.rewards.mean())
        reward_kept = None
        if answers.kept.any():
            reward_kept = float(answers.rewards[answers.kept].mean())
        log_row = {
            "step": step,
            "round": number,
            "reward": reward,
            "reward_kept": reward_kept,
            "kept": float(answers.kept.mean()),
            "valid": float(np.mean(valid)),
        }
        tracking.log_step("rft", step, log_row)
        tqdm.write(
            f"  round {number} of {self.params.rounds}: mean reward {reward:.3f}, "
            f"{answers.kept.sum()} answers kept"
        )
        return log_row

    def _examples(self, answers: _Answers) -> list[dict[str, list[int]]]:
        """Token ids and labels of the kept answers; only the answer and its end have labels.

        The prompt is the one that the answer was drawn from, token for token. An answer that was
        cut off has no end, or the policy would learn to stop there.
        """
        examples = []
        rows = zip(self.encoded, answers.texts, answers.kept, strict=True)
        for prompt, texts, kept in rows:
            for index in np.flatnonzero(kept):
                answer = turns.tokens_of(self.tokenizer, texts[index])
                if len(answer) < self.choices.rl.max_new_tokens:
                    answer.append(turns.end_token(self.tokenizer))
                example = {
                    "input_ids": prompt + answer,
                    "labels": [IGNORED] * len(prompt) + answer,
                }
                examples.append(example)
        return examples

    def _trainer(self, number: int, policy: Any, examples: list[dict[str, list[int]]]) -> Any:
        """TRL's SFTTrainer of a round.

        A step takes as many answers as `rl.prompts_per_step` prompts have kept at most.
        """
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer

        spec = self.choices.rl
        batch = spec.prompts_per_step * self.params.keep
        at_once, times = per_device(batch, spec.micro_batch_size, 1)
        schedule = spec.schedule
        if schedule == "constant":
            schedule = "constant_with_warmup"
        hardware, model = self.work.hardware, self.choices.model
        tokens = at_once * max(len(example["input_ids"]) for example in examples)
        recomputes = checkpointed(hardware, model, self.inputs.get("backbone"), tokens)
        arguments = common_arguments(hardware, self.work.folder, self._seed(number), recomputes)
        arguments["output_dir"] = str(self._folder(number))
        args = SFTConfig(
            **arguments,
            num_train_epochs=spec.epochs,
            learning_rate=spec.learning_rate,
            lr_scheduler_type=schedule,
            warmup_steps=spec.warmup,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=times,
            save_steps=spec.save_steps,
            max_length=model.max_length,
            packing=False,
            dataset_num_proc=None,
        )
        hooks.use_one_gpu(args)
        return SFTTrainer(
            model=policy,
            args=args,
            train_dataset=Dataset.from_list(examples),
            processing_class=self.tokenizer,
            data_collator=unmasked(self.tokenizer.pad_token_id),
        )

    def _seed(self, number: int) -> int:
        return seeds.integer(self.choices.seed, f"rft.{number}")

    def _facts(self, log: pl.DataFrame, answered: pl.DataFrame, steps: int) -> dict[str, Any]:
        rewards = log["reward"].drop_nulls()
        notes = list(self.prompts.notes)
        for number in range(1, self.params.rounds + 1):
            if not answered.filter(round=number)["kept"].any():
                notes.append(
                    f"round {number} taught nothing: in every group all rewards were equal; "
                    "raise rl.group_size or rl.temperature"
                )
        return {
            "prompts": len(self.prompts.rows),
            "rounds": self.params.rounds,
            "steps": steps,
            "kept": int(answered["kept"].sum()),
            "reward_first": round(float(rewards[0]), 5),
            "reward_last": round(float(rewards[-1]), 5),
            "notes": notes,
        }


def best_above_mean(rewards: NDArray[np.float64], keep: int) -> NDArray[np.bool_]:
    """Which answers are kept [n, group]: the `keep` best of each row that beat the row's mean.

    None of a row whose rewards are all equal. Of equal rewards the earlier comes first.
    """
    order = np.argsort(-rewards, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(rewards.shape[1])[None, :], axis=1)
    mean = rewards.mean(axis=1, keepdims=True)
    above_mean = rewards > mean + ROUNDING * (1.0 + np.abs(mean))
    kept: NDArray[np.bool_] = (rank < keep) & above_mean
    return kept
