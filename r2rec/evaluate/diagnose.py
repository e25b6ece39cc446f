"""Stage `diagnose`: one arm that writes is asked again, in other ways, by a member of group `diagnostic`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.data.split import evaluated
from r2rec.evaluate.diagnostics import DiagnosedArm, Diagnosis, Reply
from r2rec.evaluate.rank import engine_of, evaluation_cases, read_rankings
from r2rec.llm.chat import user_turn
from r2rec.llm.engine import Question
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import render_prompt

FACTS = "facts.json"


def diagnose(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write diagnosis.parquet (the table) and facts.json (what it comes to) of the arm whose rankings are given."""
    candidates = evaluated(cfg, inputs["split"])[: cfg.diagnostic.users]
    cases = evaluation_cases(cfg, inputs, candidates)
    engine, reasoned = engine_of(cfg, inputs, folder), cfg.prompt.reasoning

    def question(case: RankingCase) -> Question:
        return Question(
            user_turn(render_prompt(case, cfg.prompt, cfg.dataset.words)), len(case.candidates)
        )

    def reply(text: str | None, case: RankingCase, tokens: int = 0) -> Reply:
        answer = parse_ranking(text or "", len(case.candidates), reasoned)
        return Reply(tuple(map(LABELS.index, answer.labels)), text or "", tokens)

    def again(given: Any, seed: int) -> list[Reply]:
        answers = engine.write([question(c) for c in given], seed)
        pairs = zip(answers, given, strict=True)
        return [
            reply(a.text, case, a.completion_tokens) if a else reply(None, case)
            for a, case in pairs
        ]

    wrote = candidates.select("user").join(
        read_rankings(inputs["rank"], cfg, inputs["split"]), on="user", maintain_order="left"
    )["completion"]
    shown, positive = np.array(candidates["items"].to_list()), candidates["positive"].to_numpy()
    rated = np.bincount(
        pl.read_parquet(inputs["split"] / "train.parquet")["item"].to_numpy(),
        minlength=shown.max() + 1,
    )
    asked = DiagnosedArm(
        cases, (shown == positive[:, None]).argmax(1), rated[positive],
        [reply(text, case) for text, case in zip(wrote, cases, strict=True)],
        again, lambda given: engine.weigh([question(c) for c in given]),
    )  # fmt: skip
    rng = seeds.generator(cfg.seed, f"diagnose.{cfg.diagnostic.name}")
    found: Diagnosis = get_method(cfg.diagnostic._target_)(asked, rng, **cfg.diagnostic.params)
    pl.DataFrame(found.rows, infer_schema_length=None).write_parquet(folder / "diagnosis.parquet")
    (folder / FACTS).write_text(json.dumps(found.facts))
    return {"users": len(cases)}
