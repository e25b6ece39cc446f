"""Ranking prompts a second: `hf` beside `paged`, greedily, on the same weights; and whether they write the same.

python experiments/bench/engines.py [--prompts 1000] [override ...]
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from r2rec import config, pipeline
from r2rec.__main__ import CONF
from r2rec.data.split import evaluated
from r2rec.evaluate.rank import engine_of, evaluation_cases
from r2rec.llm.chat import ask
from r2rec.llm.engine import Question
from r2rec.prompts.render import render
from r2rec.runner import Run

ENGINES = ("hf", "paged")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument(
        "overrides", nargs="*", help="of the configuration; the toy world and the tiny backbone by default"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        texts = {}
        for engine in ENGINES:
            answers, seconds = timed(Path(name), engine, given.prompts, given.overrides)
            tokens = sum(a.completion_tokens for a in answers)
            rates = f"{len(answers) / seconds:7.2f} prompts/s  {tokens / seconds:8.0f} tokens/s"
            print(f"{engine:6} {seconds:8.1f} s  {rates}  {len(answers)} prompts, {tokens} new tokens", flush=True)
            texts[engine] = [a.text for a in answers]
    first, second = (texts[engine] for engine in ENGINES)
    same = sum(a == b for a, b in zip(first, second, strict=True))
    print(f"same texts: {same} of {len(first)}")


def timed(folder: Path, engine: str, prompts: int, overrides: list[str]) -> tuple[list[Any], float]:
    """Answers to the prompts that have room, and the seconds that these took, loading left out."""
    config.register()
    words = [f"generation={engine}", "generation.temperature=0", f"evaluation.users={prompts}"]
    # a few more users than prompts: who has too few likes is not evaluated
    world = [f"dataset.params.users={prompts + 200}", f"artefacts={folder / 'artefacts'}", "evaluation.arms=[base]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*world, *words, *overrides])
    made = Run(cfg, folder / "run", lambda line: None)
    for stage in pipeline.STAGES:
        if stage.name in ("prepare", "split", "chain", *(["backbone"] if cfg.model.path is None else [])):
            made.make(stage)
    inputs = {name: artefact.path for name, artefact in made.made.items()}
    cases = evaluation_cases(cfg, inputs, evaluated(cfg, inputs["split"]))
    questions = [Question(ask(render(c, cfg.prompt, cfg.dataset.words)), len(c.candidates)) for c in cases]
    asks = engine_of(cfg, inputs, folder / "artefacts" / "rank" / "bench")
    asks.write(questions[:2], 0)  # imports and first allocations
    begin = time.perf_counter()
    answers = asks.write(questions, 0)
    return [a for a in answers if a], time.perf_counter() - begin


if __name__ == "__main__":
    main()
