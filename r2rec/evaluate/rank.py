"""Stage `rank`: one arm - a trained model, a bare one, a baseline - orders the stored candidates of every user.

Every arm leaves the same table: method, user, positive, candidates (as shown), ranking (best first), valid,
completion (null where no text was written).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hydra.utils import get_method
from numpy.typing import NDArray
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.base.errors import R2RecError
from r2rec.baselines import adapt, fit
from r2rec.chains.chain import load_graph
from r2rec.data.split import evaluated
from r2rec.evaluate.metrics import rank_by_score
from r2rec.evaluate.orders import Order, aggregate, reordered
from r2rec.llm.runtime import gpu_memory
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.tasks.assemble import RankingQuestions, load_texts, ranking_cases


def read_rankings(folder: Path, cfg: DictConfig, split: Path) -> pl.DataFrame:
    """A stored rankings table, once it is known to be of this run's users and candidates.

    Raises:
        R2RecError: It ranks others: its figures could not be compared with the run's.
    """
    table, own = pl.read_parquet(folder / "rankings.parquet"), evaluated(cfg, split)
    if missing := {"method", "user", "positive", "candidates"} - set(table.columns):
        raise R2RecError(
            f"{folder} holds no rankings: {', '.join(sorted(missing))} missing; force=[rank] makes them"
        )
    told = table.select("user", "positive", items="candidates")
    if not told.equals(own):
        raise R2RecError(
            f"{folder} ranks other users or candidates than {split / 'candidates.parquet'} has for this run; "
            "remove the folder, or force=[rank]"
        )
    return table


def evaluation_cases(
    cfg: DictConfig, inputs: dict[str, Path], candidates: pl.DataFrame
) -> list[RankingCase]:
    """The ranking case of each row of `candidates`: all that its user did before the held-out items."""
    graph = load_graph(inputs["prepare"], inputs["split"])
    users, shown = asked_of(candidates)
    user = users.astype(np.int64)
    chains = (
        pl.read_parquet(inputs["chain"] / "chains.parquet")
        .join(
            candidates.select("user", query=pl.int_range(pl.len())),
            on="user",
            maintain_order="left",
        )
        .sort("query", maintain_order=True)
    )
    return ranking_cases(
        RankingQuestions(user, np.diff(graph.start)[user], shown), chains, graph, load_texts(inputs["prepare"]), cfg.prompt,
        positive_above=cfg.evaluation.positive_above,
    )  # fmt: skip


def rank_by_model(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write rankings.parquet of a language model; `inputs["adapter"]` is on top of it where there is one."""
    spec = cfg.generation
    candidates = evaluated(cfg, inputs["split"])
    rankings, facts = answered(
        cfg,
        evaluation_cases(cfg, inputs, candidates),
        candidates,
        engine_of(cfg, inputs, folder),
        "rank",
    )
    rankings.write_parquet(folder / "rankings.parquet")
    unasked, room = (
        facts.pop("unasked"),
        cfg.model.max_length - (spec.max_new_tokens if spec.by == "text" else 0),
    )
    notes = (
        [f"{unasked} prompts longer than {room} tokens were not asked and count as misses"]
        if unasked
        else []
    )
    facts |= {"notes": notes, **gpu_memory()}
    return {"users": rankings.height, "valid": int(rankings["valid"].sum()), **facts}


def answered(
    cfg: DictConfig,
    cases: Sequence[RankingCase],
    candidates: pl.DataFrame,
    engine: Any,
    purpose: str,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The rankings table of what an engine says to these cases, in `generation.orders` orders each; and its cost.

    An answer is valid where that to any of the orders is; the text kept is that of the first, the stored one.
    """
    from r2rec.llm.chat import user_turn
    from r2rec.llm.engine import Question
    from r2rec.prompts.render import render_prompt

    spec, n = cfg.generation, len(cases)
    every, stood = reordered(cases, spec.orders, seeds.generator(cfg.seed, f"{purpose}.orders"))
    questions = [
        Question(user_turn(render_prompt(c, cfg.prompt, cfg.dataset.words)), len(c.candidates))
        for c in every
    ]
    if spec.by == "labels":
        rows = zip(engine.weigh(questions), stood, strict=True)
        weights = [None if row is None else np.array(row)[np.argsort(at)] for row, at in rows]
        of_user = [weights[q::n] for q in range(n)]
        return read_weights(
            cfg, candidates, [None if any(w is None for w in of) else sum(of) for of in of_user]
        )
    answers = engine.write(questions, seeds.integer(cfg.seed, f"{purpose}.generation"))
    texts = [a.text if a else None for a in answers]
    table = read_answers(cfg.arm.method, candidates, texts[:n], cfg.prompt.reasoning)
    if spec.orders > 1:
        read = [_places(*one, cfg.prompt.reasoning) for one in zip(texts, stood, strict=True)]
        sums = [
            aggregate([order for order in read[q::n] if order], len(stood[q])) for q in range(n)
        ]
        rankings = [
            [items[p] for p in order]
            for items, order in zip(candidates["items"], sums, strict=True)
        ]
        table = ranked_table(
            cfg.arm.method, candidates, rankings, [bool(order) for order in sums], texts[:n]
        )
    return table, spent(answers)


def _places(text: str | None, stood: NDArray[np.int64], reasoned: bool) -> Order:
    """Where what the answer ranks stood at first; () where it is invalid."""
    return tuple(
        int(stood[LABELS.index(label)])
        for label in parse_ranking(text or "", len(stood), reasoned).labels
    )


def engine_of(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> Any:
    """The engine (`llm.engine.Engine`) of the arm whose weights `inputs` have; `folder` is an artefact's."""
    from r2rec.llm.engine import Setup

    setup = Setup(
        cfg.generation, cfg.model, cfg.hardware, cfg.prompt.reasoning, inputs.get("backbone"), inputs.get("adapter"),
        responses=folder.parents[1] / "responses",
    )  # fmt: skip
    return get_method(cfg.generation._target_)(setup)


def spent(answers: Sequence[Any]) -> dict[str, Any]:
    """What answers (`endpoint.Answer`, None where nothing was asked) came to."""
    given = [a for a in answers if a]
    dollars = round(sum(a.cost for a in given), 4)
    facts = {
        "unasked": len(answers) - len(given),
        "new_tokens": sum(a.completion_tokens for a in given),
    }
    return facts | ({"dollars": dollars} if dollars else {})


def read_weights(
    cfg: DictConfig, candidates: pl.DataFrame, weights: list[Any]
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The rankings table by log-probabilities of labels (None: not asked, ranks nothing), equals at random."""
    shown = np.array(candidates["items"].to_list(), np.uint32)
    rng = seeds.generator(cfg.seed, f"rank.{cfg.arm.method}")
    asked = [row is not None for row in weights]
    none = [0.0] * shown.shape[1]
    ranked = rank_by_score(np.array([none if row is None else row for row in weights]), shown, rng)
    rankings = [row if there else [] for row, there in zip(ranked, asked, strict=True)]
    table = ranked_table(cfg.arm.method, candidates, rankings, asked, [None] * len(shown))
    return table, {"unasked": asked.count(False)}


def read_answers(
    method: str, candidates: pl.DataFrame, completions: list[str | None], reasoned: bool
) -> pl.DataFrame:
    """The rankings table of these completions; what does not parse is invalid and ranks nothing."""
    rankings, valid = [], []
    for items, text in zip(candidates["items"].to_list(), completions, strict=True):
        answer = parse_ranking(text or "", len(items), reasoned)
        rankings.append([items[LABELS.index(label)] for label in answer.labels])
        valid.append(answer.valid)
    return ranked_table(method, candidates, rankings, valid, completions)


def rank_by_endpoint(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write rankings.parquet of a language model behind an endpoint; its answers are kept beside all artefacts."""
    from r2rec.llm import endpoint

    spec, build = cfg.baseline.endpoint, get_method(cfg.arm.target)
    candidates = evaluated(cfg, inputs["split"])
    cases = evaluation_cases(cfg, inputs, candidates)
    prompts = [build(case, cfg.prompt, cfg.dataset.words, **cfg.arm.params) for case in cases]
    answers = endpoint.answers(prompts, spec, folder.parents[1] / "responses")
    rankings = read_answers(cfg.arm.method, candidates, [a.text for a in answers], reasoned=False)
    rankings.write_parquet(folder / "rankings.parquet")
    return {
        "users": len(answers),
        "valid": int(rankings["valid"].sum()),
        "new_tokens": sum(a.completion_tokens for a in answers),
        "dollars": round(sum(a.cost for a in answers), 4),
    }


def rank_by_baseline(cfg: DictConfig, inputs: dict[str, Path], folder: Path) -> dict[str, Any]:
    """Write rankings.parquet of a scorer; equal scores are ordered at random, by seed."""
    candidates, arm = evaluated(cfg, inputs["split"]), cfg.arm
    rng = seeds.generator(cfg.seed, f"rank.{arm.method}")
    if "baseline" in cfg and cfg.baseline.adapt:  # a tuned language model
        scores = adapt.scores_by_language_model(cfg, inputs, *asked_of(candidates))
    else:
        scores = scored(arm.target, arm.params, inputs.get("adapter"), inputs, candidates, rng)
    table = ranked_by(arm.method, candidates, scores, rng)
    table.write_parquet(folder / "rankings.parquet")
    return {"users": table.height}


def scored(
    target: str, params: Mapping[str, Any], fitted: Path | None, inputs: dict[str, Path], candidates: pl.DataFrame,
    rng: np.random.Generator,
) -> NDArray:  # fmt: skip
    """Scores [n, k] by the weights in `fitted` or, where there are none, by the function that `target` names."""
    users, shown = asked_of(candidates)
    if fitted:
        return fit.scores_by_fitted_model(fitted, inputs["prepare"], inputs["split"], users, shown)
    train = pl.read_parquet(inputs["split"] / "train.parquet")
    return get_method(target)(train, users, shown, rng, **params)


def asked_of(candidates: pl.DataFrame) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Users [n] and their candidates as shown [n, k]."""
    return candidates["user"].to_numpy(), np.array(candidates["items"].to_list(), np.uint32)


def ranked_by(
    method: str, candidates: pl.DataFrame, scores: NDArray, rng: np.random.Generator
) -> pl.DataFrame:
    """The rankings table by scores [n, k], equals at random."""
    rankings = rank_by_score(scores, asked_of(candidates)[1], rng)
    return ranked_table(
        method, candidates, rankings, [True] * len(rankings), [None] * len(rankings)
    )


def ranked_table(
    method: str, candidates: pl.DataFrame, rankings: Any, valid: list[bool], completions: list
) -> pl.DataFrame:
    """The rankings table: method, user, positive, candidates as shown, ranking (best first), valid, completion."""
    ranked = pl.Series("ranking", [list(r) for r in rankings], dtype=pl.List(pl.UInt32))
    return candidates.select(
        pl.lit(method).alias("method"), "user", "positive", candidates="items"
    ).with_columns(
        ranked,
        pl.Series("valid", valid, dtype=pl.Boolean),
        pl.Series("completion", completions, dtype=pl.String),
    )
