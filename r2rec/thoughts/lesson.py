"""A language model as teacher: asked in rounds, and again where the audit turns a trace down."""

from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_method
from omegaconf import DictConfig

from r2rec.base import seeds
from r2rec.llm.engine import Engine, Question, Setup
from r2rec.tasks.training import Task
from r2rec.thoughts.audit import audit
from r2rec.thoughts.teacher import again, read_reply

WAIVED = ("masked", "progressive")  # rules that a prompt without them cannot be held to


class TaughtTrace(NamedTuple):
    thought: str
    answer: str
    reasons: list[str]  # why the audit turns it down


def start(cfg: DictConfig, inputs: dict[str, Path], responses: Path) -> Engine:
    """The teacher's engine: on `teacher.model`, on the run's own where that is null, or behind an endpoint."""
    spec, model = cfg.teacher.generation, cfg.teacher.model or cfg.get("model")
    made = inputs.get("backbone")
    return get_method(spec._target_)(Setup(spec, model, cfg.hardware, True, made, None, responses))


def lessons(
    tasks: list[Task], wanted: int, cfg: DictConfig, engine: Engine
) -> tuple[dict[int, TaughtTrace], dict[str, Any]]:
    """Traces of the first tasks, by index, until `wanted` are accepted; and what they cost.

    A round asks for as many as are missing, and each task up to `teacher.attempts` times.
    """
    traces: dict[int, TaughtTrace] = {}
    facts = {"asked": 0, "new_tokens": 0, "dollars": 0.0}
    while (missing := wanted - sum(accepted(cfg, t.reasons) for t in traces.values())) > 0 and len(
        traces
    ) < len(tasks):
        batch = {k: tasks[k] for k in range(len(tasks)) if k not in traces}
        traces |= _taught(dict(list(batch.items())[:missing]), cfg, engine, facts)
    return traces, facts


def accepted(cfg: DictConfig, reasons: list[str]) -> bool:
    """Whether a trace keeps the rules that its writer was told."""
    waived = [rule for rule in WAIVED if cfg.teacher.params.get(rule) is False]
    return all(reason.partition(":")[0] in waived for reason in reasons)


def _taught(
    tasks: dict[int, Task], cfg: DictConfig, engine: Engine, facts: dict[str, Any]
) -> dict[int, TaughtTrace]:
    build, params = get_method(cfg.teacher._target_), cfg.teacher.params
    talks = {
        k: build(t.case, t.truth, cfg.prompt, cfg.dataset.words, **params) for k, t in tasks.items()
    }
    traces: dict[int, TaughtTrace] = {}
    for attempt in range(cfg.teacher.attempts):
        going = [k for k in tasks if k not in traces or not accepted(cfg, traces[k].reasons)]
        answers = engine.write(
            [Question(talks[k]) for k in going], seeds.integer(cfg.seed, f"think.teacher.{attempt}")
        )
        for k, answer in zip(going, answers, strict=True):
            if (
                answer is None
            ):  # too long: the first time a trace of nothing, later what was there before
                traces.setdefault(
                    k, TaughtTrace("", "", ["malformed: the prompt leaves no room for a reply"])
                )
                continue
            facts["asked"] += 1
            facts["new_tokens"] += answer.completion_tokens
            facts["dollars"] = round(facts["dollars"] + answer.cost, 4)
            thought, said = read_reply(answer.text, tasks[k].case)
            traces[k] = TaughtTrace(
                thought, said, audit(tasks[k].case, thought, said, tasks[k].truth)
            )
            talks[k] = [
                *talks[k][:1],
                *again(answer.text, traces[k].reasons, params.get("guided", True)),
            ]
    return traces
