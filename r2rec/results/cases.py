"""Cases: what a run told its methods of a user, what they answered, and what was right."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from hydra.utils import get_method

from r2rec.base.code import package_code
from r2rec.base.files import checksum
from r2rec.base.store import MANIFEST
from r2rec.config import Config
from r2rec.config.slices import Arm, QuestionSlice, cut
from r2rec.evaluate.answers import evaluation_cases
from r2rec.execution.methods import arms
from r2rec.prompts.answer import split_thought
from r2rec.prompts.cases import LABELS, Chain, Evidence, Facts, Item, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.report.cases import as_shown, verdict_of

WRITES_PROMPTS = (
    "r2rec.prompts.render",
    "r2rec.tasks.assemble",
    "r2rec/prompts/templates/ranking.j2",
    "r2rec/prompts/templates/evidence.j2",
)


class MethodAnswer(NamedTuple):
    """What one method answered."""

    method: str
    variant: str
    place: int | None  # of the held-out item, from 1; None: invalid, or left out
    summary: str  # "ranked 3 of 20", "left out", "invalid: ..."
    ranking: str  # labels, best first: "BAC"
    completion: str | None  # all that it wrote; None: it wrote no text
    thought: str | None


class UserCase(NamedTuple):
    """One user's ranking question. Texts come from data and models, and are untrusted."""

    user: int  # number in every table of the run
    raw_id: str  # in the original files
    profile: str | None
    history: Sequence[Item]  # liked, latest last
    chains: Sequence[Chain]
    evidence: Sequence[Evidence]  # of each candidate; empty: chains are of another kind
    facts: Sequence[Facts]  # of each candidate; empty: not told
    candidates: Sequence[Item]  # as shown: candidate k carries LABELS[k]
    positive: int  # index of the held-out item among them
    prompt: str | None  # what language models were asked; None: no method was asked in words
    changed: Sequence[str]  # code that writes prompts and is not what it was: `prompt` may differ
    answers: Sequence[MethodAnswer]  # in the order of the results

    @property
    def truth(self) -> str:
        """The label of the held-out item."""
        return LABELS[self.positive]


def cases_of(
    config: Config,
    rankings: pl.DataFrame,
    variants: Mapping[str, str],
    inputs: Mapping[str, Path],
) -> list[UserCase]:
    """The cases of all users in a rankings table, made again from the artefacts of the run.

    Args:
        variants: Method -> its variant.
        inputs: Folders of `prepare`, `split`, and of `chain`, `tell` and `rank` (of any method)
            where the run has them.
    """
    users = rankings.unique("user", maintain_order=True)
    candidates = users.select("user", "positive", items="candidates")
    changed = _changed_since(inputs.get("rank"), config.prompt.template)
    raw_ids = pl.read_parquet(inputs["prepare"] / "users.parquet").sort("user")["raw_id"]
    answers: dict[int, list[MethodAnswer]] = {}
    reasoned = config.prompt.reasoning and not config.baseline.endpoint
    for row in rankings.iter_rows(named=True):
        answer = answer_of(row, variants.get(row["method"], ""), reasoned)
        answers.setdefault(row["user"], []).append(answer)
    cases = []
    questions = questions_of(config, inputs, candidates)
    for question, (user, positive, items) in zip(questions, candidates.iter_rows(), strict=True):
        shown = as_shown(question, config.prompt.title_length)
        case = UserCase(
            user=user,
            raw_id=raw_ids[user],
            profile=shown.profile,
            history=shown.history,
            chains=shown.chains,
            evidence=shown.evidence,
            facts=shown.facts,
            candidates=shown.candidates,
            positive=items.index(positive),
            prompt=_prompt(config, question),
            changed=changed,
            answers=answers[user],
        )
        cases.append(case)
    return cases


def questions_of(
    config: Config, inputs: Mapping[str, Path], candidates: pl.DataFrame
) -> list[RankingCase]:
    """What a run asked about each row of `candidates`, before it was text.

    Args:
        inputs: As of `cases_of`.
        candidates: Columns user, positive and items.
    """
    prompt = config.prompt
    if "chain" not in inputs:
        prompt = replace(prompt, chains=False)
    choices = cut(QuestionSlice, config, arm=Arm(""), prompt=prompt)
    return evaluation_cases(choices, inputs, candidates)


def _prompt(config: Config, question: RankingCase) -> str | None:
    """What a language model of the run was asked, in words; None where none was."""
    baseline = config.baseline
    if baseline.endpoint:
        build_messages = get_method(str(baseline._target_))
        words = config.dataset.words
        messages = build_messages(question, config.prompt, words, **baseline.params)
        return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
    own = config.prompt.template
    if own and not Path(own).is_file():
        return None
    if any(arm.target is None for arm in arms(config)):
        return render_prompt(question, config.prompt, config.dataset.words)
    return None


def _changed_since(rank: Path | None, own: str | None) -> list[str]:
    """What of WRITES_PROMPTS, and of a user's own template, is not as it was for these rankings."""
    if rank is None or not (rank / MANIFEST).exists():
        return []
    manifest = json.loads((rank / MANIFEST).read_text(encoding="utf-8"))
    before = manifest["code"]["modules"]
    now = package_code(["r2rec.prompts.render", "r2rec.tasks.assemble"])
    # a stage without prompts lists none of them
    changed = [name for name in WRITES_PROMPTS if name in before and before[name] != now.get(name)]
    if own:
        templates = manifest["inputs"].get("templates", {})
        digest = checksum(Path(own)) if Path(own).is_file() else ""
        if templates.get(f"own/{Path(own).name}", digest) != digest:
            changed.append(own)
    return changed


def answer_of(row: Mapping[str, Any], variant: str, reasoned: bool) -> MethodAnswer:
    """What one row of a rankings table says.

    Args:
        reasoned: A thought was asked for.
    """
    candidates = row["candidates"]
    place = None
    if row["valid"] and row["positive"] in row["ranking"]:
        place = row["ranking"].index(row["positive"]) + 1
    completion = row["completion"]
    thought = None
    if completion is not None:
        closed = "</think>" in completion
        thought, _ = split_thought(completion, reasoned and (closed or not row["valid"]))
    summary = "invalid: not asked"
    if row["valid"] or completion is not None:
        _, summary = verdict_of(row, place or 0, len(candidates), reasoned)
    return MethodAnswer(
        method=row["method"],
        variant=variant,
        place=place,
        summary=summary,
        ranking=_labels(row["ranking"], candidates),
        completion=completion,
        thought=thought,
    )


def _labels(ranking: Iterable[int], candidates: Sequence[int]) -> str:
    return "".join(LABELS[candidates.index(item)] for item in ranking)
