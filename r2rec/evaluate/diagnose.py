"""Stage `diagnose`: ask one arm again in other ways, as a member of group `diagnostic` says."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method

from r2rec.base import seeds
from r2rec.base.workspace import Workspace
from r2rec.config.slices import DiagnoseSlice
from r2rec.data.candidates import Candidates
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import engine_of, evaluation_cases, ranking_questions, read_order
from r2rec.evaluate.arrays import Integers
from r2rec.evaluate.diagnostics import DiagnosedArm, Diagnosis, Reply
from r2rec.evaluate.rankings import read_rankings
from r2rec.llm.engine import Engine, Question
from r2rec.prompts.cases import RankingCase

FACTS = "facts.json"


def diagnose(choices: DiagnoseSlice, inputs: Mapping[str, Path], work: Workspace) -> dict[str, Any]:
    """Write diagnosis.parquet (the rows) and facts.json of the arm that made `inputs["rank"]`."""
    evaluated_users = evaluated(inputs["split"], choices.data_seed, choices.users)
    rankings = read_rankings(inputs["rank"], evaluated_users)
    diagnostic = choices.diagnostic
    candidates = evaluated_users[: diagnostic.users]
    cases = evaluation_cases(choices, inputs, candidates)
    asker = _Asker(choices, engine_of(choices, inputs, work))
    replies = []
    completions = rankings["completion"][: len(cases)]
    for text, case in zip(completions, cases, strict=True):
        replies.append(asker.read(text, case))
    table = Candidates.of(candidates)
    arm = DiagnosedArm(
        cases,
        table.positive_index,
        _train_ratings(inputs["split"], table),
        replies,
        asker.ask,
        asker.weigh,
    )
    rng = seeds.generator(choices.seed, f"diagnose.{diagnostic.name}")
    run_diagnostic = get_method(str(diagnostic._target_))
    diagnosis: Diagnosis = run_diagnostic(arm, rng, **diagnostic.params)
    rows = pl.DataFrame(diagnosis.rows, infer_schema_length=None)
    rows.write_parquet(work.folder / "diagnosis.parquet")
    facts = json.dumps(diagnosis.facts)
    (work.folder / FACTS).write_text(facts)
    return {"users": len(cases)}


def _train_ratings(split: Path, candidates: Candidates) -> Integers:
    """[n] how many train ratings each user's positive has."""
    rated_items = pl.read_parquet(split / "train.parquet")["item"].to_numpy()
    n_items = int(candidates.items.max()) + 1
    counts = np.bincount(rated_items, minlength=n_items)
    return counts[candidates.positives]


@dataclass(frozen=True)
class _Asker:
    """Asks an arm about cases, with the prompt of the run."""

    choices: DiagnoseSlice
    engine: Engine

    def ask(self, cases: Sequence[RankingCase], seed: int) -> list[Reply]:
        """What the arm answers; a prompt too long to be asked counts as an invalid answer."""
        replies = []
        answers = self.engine.write(self._questions(cases), seed)
        for answer, case in zip(answers, cases, strict=True):
            if answer:
                replies.append(self.read(answer.text, case, answer.completion_tokens))
            else:
                replies.append(self.read(None, case))
        return replies

    def weigh(self, cases: Sequence[RankingCase]) -> list[list[float] | None]:
        """[n] log-probability of each label to come first; None: the prompt is too long."""
        return self.engine.weigh(self._questions(cases))

    def read(self, text: str | None, case: RankingCase, tokens: int = 0) -> Reply:
        """Parse an answer to a case."""
        k = len(case.candidates)
        order = read_order(text, k, self.choices.prompt.reasoning)
        return Reply(order, text or "", tokens)

    def _questions(self, cases: Sequence[RankingCase]) -> list[Question]:
        return ranking_questions(cases, self.choices.prompt, self.choices.words)
