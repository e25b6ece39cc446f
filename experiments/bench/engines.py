"""Ranking prompts a second: `hf` beside `paged`, greedily, on the same weights; and whether they write the same.

python experiments/bench/engines.py [--prompts 1000] [--block 100] [override ...]
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from hydra import compose, initialize_config_dir

from r2rec import config, pipeline
from r2rec.__main__ import CONF
from r2rec.data.split import evaluated
from r2rec.evaluate.rank import engine_of, evaluation_cases
from r2rec.llm.chat import user_turn
from r2rec.llm.engine import Question
from r2rec.prompts.render import render_prompt
from r2rec.run.runner import Run

ENGINES = ("hf", "paged")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument(
        "--block",
        type=int,
        default=100,
        help="prompts that one engine answers before the other's turn",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        help="of the configuration; the toy world and the tiny backbone by default",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        asked = [ready(Path(name), engine, given.prompts, given.overrides) for engine in ENGINES]
        questions = asked[0][1]
        blocks = [questions[at : at + given.block] for at in range(0, len(questions), given.block)]
        answers: list[list[Any]] = [[] for _ in ENGINES]
        seconds: list[list[float]] = [[] for _ in ENGINES]
        for block in blocks:  # in turns: what else the machine does slows both
            for n, (engine, _) in enumerate(asked):
                begin = time.perf_counter()
                answers[n] += engine.write(block, 0)
                seconds[n].append(time.perf_counter() - begin)
    for engine, said, spent in zip(ENGINES, answers, seconds, strict=True):
        tokens, whole = sum(a.completion_tokens for a in said if a), sum(spent)
        rates = f"{len(said) / whole:7.2f} prompts/s  {tokens / whole:8.0f} tokens/s"
        print(f"{engine:6} {whole:8.1f} s  {rates}  {len(said)} prompts, {tokens} new tokens")
    ratios = sorted(second / first for first, second in zip(*seconds, strict=True))
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f} over {len(ratios)} blocks"
    print(f"{ENGINES[1]} / {ENGINES[0]}: {median(ratios):.2f} ({spread})")
    same = sum((a and a.text) == (b and b.text) for a, b in zip(*answers, strict=True))
    print(f"same texts: {same} of {len(questions)}")


def ready(
    folder: Path, engine: str, prompts: int, overrides: list[str]
) -> tuple[Any, list[Question]]:
    """An engine, loaded and warm, and the questions."""
    config.register()
    words = [f"generation={engine}", "generation.temperature=0", f"evaluation.users={prompts}"]
    # a few more users than prompts: who has too few likes is not evaluated
    world = [
        f"dataset.params.users={prompts + 200}",
        f"artefacts={folder / 'artefacts'}",
        "evaluation.arms=[base]",
    ]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*world, *words, *overrides])
    made = Run(cfg, folder / "run", lambda line: None)
    for stage in pipeline.STAGES:
        if stage.name in (
            "prepare",
            "split",
            "chain",
            *(["backbone"] if cfg.model.path is None else []),
        ):
            made.make(stage)
    inputs = {name: artefact.path for name, artefact in made.made.items()}
    cases = evaluation_cases(cfg, inputs, evaluated(cfg, inputs["split"]))
    questions = [
        Question(user_turn(render_prompt(c, cfg.prompt, cfg.dataset.words)), len(c.candidates))
        for c in cases
    ]
    asks = engine_of(cfg, inputs, folder / "artefacts" / "rank" / "bench")
    asks.write(questions[:2], 0)  # imports and first allocations
    return asks, questions


if __name__ == "__main__":
    main()
