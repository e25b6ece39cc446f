"""The probe: HR@1 on a fixed slice of validation positives before, during and after a training.

It asks the same prompts each time, greedily, and leaves the random numbers of the training alone:
a run with a probe learns the same weights as one without.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from r2rec.base import signals, tracking
from r2rec.base.progress import note
from r2rec.config import Probe
from r2rec.config.slices import RlSlice, SftSlice
from r2rec.data.candidates import Candidates
from r2rec.llm import chat, hf
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import render_prompt
from r2rec.tasks.validation import validation
from r2rec.thoughts.template import expected_replies

HIT_RATIO = "probe/hr@1"  # columns of the log
VALID = "probe/valid"


class ValidationProbe:
    """Adds rows with `probe/hr@1` and `probe/valid` to the log of a trainer (`train.listeners`).

    Args:
        prompts: Token ids of ranking prompts.
        expected: Texts that their answers may be close to (`hf.generate`).
        positives: The right label of each prompt.
        first_step: Steps of the stage before this training; trackers count from there.
    """

    def __init__(
        self,
        spec: Probe,
        stage: str,
        tokenizer: Any,
        prompts: list[list[int]],
        expected: Sequence[str],
        positives: Sequence[str],
        n_candidates: int,
        reasoning: bool,
        first_step: int,
    ) -> None:
        self.spec = spec
        self.stage = stage
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.expected = expected
        self.positives = positives
        self.n_candidates = n_candidates
        self.reasoning = reasoning
        self.first_step = first_step

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if state.global_step == 0:
            is_due = self.first_step == 0  # else the training before this one has asked already
        else:
            is_due = self._is_due(state)  # an interrupted run may have stopped before it asked
        if is_due:
            self.ask(state, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any, **_: Any) -> None:
        if self._is_due(state) and signals.pending() is None:
            self.ask(state, model)

    def ask(self, state: Any, model: Any) -> None:
        """Ask all questions, unless this step's answers are in the log already."""
        asked = [row["step"] for row in state.log_history if HIT_RATIO in row]
        if state.global_step in asked or not state.is_world_process_zero:
            return
        import torch

        with torch.random.fork_rng():
            written = hf.generate(
                model,
                self.tokenizer,
                self.prompts,
                self.spec,
                seeds=range(len(self.prompts)),
                expected=self.expected,
            )
        model.train()
        hits = []
        valid = []
        for completion, positive in zip(written, self.positives, strict=True):
            answer = parse_ranking(completion.text, self.n_candidates, self.reasoning)
            hits.append(answer.labels[:1] == (positive,))
            valid.append(answer.valid)
        row = {
            "step": state.global_step,
            HIT_RATIO: float(np.mean(hits)),
            VALID: float(np.mean(valid)),
        }
        note(valid=row[VALID])
        state.log_history.append(row)
        tracking.log_step(self.stage, self.first_step + state.global_step, row)

    def _is_due(self, state: Any) -> bool:
        step: int = state.global_step
        return step == state.max_steps or step % self.spec.every == 0


def validation_questions(
    choices: SftSlice | RlSlice, inputs: Mapping[str, Path]
) -> tuple[list[str], list[str], list[str]]:
    """Ranking prompts about `probe.users` validation positives, and for each what may be answered.

    Returns:
        The prompts, replies that a taught model is likely to give, and the positives' labels.
    """
    table, cases = validation(choices, inputs, choices.probe.users, "probe")
    prompts = [render_prompt(case, choices.prompt, choices.words) for case in cases]
    labels = [LABELS[index] for index in Candidates.of(table).positive_index]
    return prompts, expected_replies(cases, choices.prompt), labels


def probes(
    choices: SftSlice | RlSlice,
    inputs: Mapping[str, Path],
    tokenizer: Any,
    stage: str,
    first_step: int = 0,
) -> list[ValidationProbe]:
    """The listener that probes a training, in a list; an empty list if `probe.users` is 0.

    Args:
        first_step: Steps of the stage before this training.
    """
    if not choices.probe.users:
        return []
    texts, expected, positives = validation_questions(choices, inputs)
    reasoning = choices.prompt.reasoning
    probe = ValidationProbe(
        spec=choices.probe,
        stage=stage,
        tokenizer=tokenizer,
        prompts=[chat.encode(tokenizer, text, reasoning) for text in texts],
        expected=expected,
        positives=positives,
        n_candidates=choices.negatives + 1,
        reasoning=reasoning,
        first_step=first_step,
    )
    return [probe]
