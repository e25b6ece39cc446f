"""The probe: HR@1 of a model in training on a fixed slice of validation positives, before, during and after.

It reads the same prompts each time, greedily, and leaves training's random numbers alone: a probed run learns
what an unprobed one does.
"""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from r2rec.base import tracking
from r2rec.llm import chat, hf
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import render_prompt
from r2rec.tasks.validation import validation


def validation_questions(cfg: DictConfig, inputs: dict[str, Path]) -> tuple[list[str], list[str]]:
    """Ranking prompts of `probe.users` validation positives, and the labels of these."""
    table, cases = validation(cfg, inputs, cfg.probe.users, "probe")
    shown = np.array(table["items"].to_list())
    place = (shown == table["positive"].to_numpy()[:, None]).argmax(1)
    return [render_prompt(c, cfg.prompt, cfg.dataset.words) for c in cases], [
        LABELS[k] for k in place
    ]


def probes(cfg: DictConfig, inputs: dict[str, Path], tokenizer: Any, stage: str) -> list[Any]:
    """The trainer callback that adds rows `probe/hr@1`, `probe/valid` to the log; none where no users are probed."""
    if not cfg.probe.users:
        return []
    import torch
    from transformers import TrainerCallback

    texts, positives = validation_questions(cfg, inputs)
    prompts = [chat.encode(tokenizer, text, cfg.prompt.reasoning) for text in texts]

    class Probe(TrainerCallback):
        def ask(self, state: Any, model: Any) -> None:
            known = [row["step"] for row in state.log_history if "probe/hr@1" in row]
            if state.global_step in known or not state.is_world_process_zero:
                return
            with torch.random.fork_rng():
                written = hf.generate(model, tokenizer, prompts, cfg.probe, range(len(prompts)))
            model.train()
            answers = [
                parse_ranking(text, cfg.evaluation.negatives + 1, cfg.prompt.reasoning)
                for text in written
            ]
            hits = [a.labels[:1] == (label,) for a, label in zip(answers, positives, strict=True)]
            valid = float(np.mean([a.valid for a in answers]))
            row = {
                "step": state.global_step,
                "probe/hr@1": float(np.mean(hits)),
                "probe/valid": valid,
            }
            state.log_history.append(row)
            tracking.log_step(stage, state.global_step, row)

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            self.ask(state, model)

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
            if state.global_step % cfg.probe.every == 0 or state.global_step == state.max_steps:
                self.ask(state, model)

    return [Probe()]
