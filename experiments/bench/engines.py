"""Prompts per second of the engines `hf` and `paged`, and whether they write the same texts.

    python experiments/bench/engines.py [--prompts 1000] [--block 100] [override ...]

Greedy decoding of ranking prompts, with the same weights.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from composing import artefacts, composed

from r2rec.base.workspace import Workspace
from r2rec.config.slices import Arm, RankSlice, cut
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import engine_of, evaluation_cases, ranking_questions
from r2rec.execution.rules import checked_config
from r2rec.llm.engine import Engine, Question
from r2rec.llm.responses import Answer

ENGINES = ("hf", "paged")
SPARE_USERS = 200  # users with too few likes are not evaluated
WARM_UP = 2  # questions


class Timed:
    """An engine, its answers so far, and the seconds of each block."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.answers: list[Answer | None] = []
        self.seconds: list[float] = []

    def answer(self, block: Sequence[Question]) -> None:
        begin = time.perf_counter()
        self.answers += self.engine.write(block, 0)
        self.seconds.append(time.perf_counter() - begin)

    def texts(self) -> list[str | None]:
        return [answer.text if answer else None for answer in self.answers]

    def show(self) -> None:
        """Print the rates over all blocks."""
        tokens = sum(answer.completion_tokens for answer in self.answers if answer)
        total = sum(self.seconds)
        count = len(self.answers)
        print(
            f"{self.name:6} {total:8.1f} s  {count / total:7.2f} prompts/s  "
            f"{tokens / total:8.0f} tokens/s  {count} prompts, {tokens} new tokens"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument(
        "--block", type=int, default=100, help="prompts that each engine answers in its turn"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        help="overrides of the configuration; the default is the toy world and the tiny backbone",
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        loaded = []
        for engine in ENGINES:
            timed, questions = load(engine, Path(name), args.prompts, args.overrides)
            loaded.append(timed)
        for start in range(0, len(questions), args.block):
            for timed in loaded:  # in turns, so other load on the machine affects both
                timed.answer(questions[start : start + args.block])
    for timed in loaded:
        timed.show()
    first, second = loaded
    ratios = []
    for first_seconds, second_seconds in zip(first.seconds, second.seconds, strict=True):
        ratios.append(second_seconds / first_seconds)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} blocks"
    print(f"{second.name} / {first.name}: {median(ratios):.2f} ({spread})")
    pairs = zip(first.texts(), second.texts(), strict=True)
    same = sum(one == other for one, other in pairs)
    print(f"same texts: {same} of {len(questions)}")


def load(
    engine_name: str, folder: Path, prompts: int, overrides: Sequence[str]
) -> tuple[Timed, list[Question]]:
    """An engine, loaded and warm, and the questions.

    Args:
        folder: Where both engines keep store and run folders.
    """
    store = folder / "artefacts"
    cfg = composed(
        f"dataset.params.users={prompts + SPARE_USERS}",
        "evaluation.arms=[base]",
        f"generation={engine_name}",
        "generation.temperature=0",
        f"evaluation.users={prompts}",
        *overrides,
    )
    inputs = artefacts(cfg, store, folder / f"run-{engine_name}", until="backbone")
    config = checked_config(cfg)
    choices = cut(RankSlice, config, arm=Arm("bench"))
    candidates = evaluated(inputs["split"], choices.seed, choices.users)
    cases = evaluation_cases(choices, inputs, candidates)
    questions = ranking_questions(cases, choices.prompt, choices.words)
    work = Workspace(store / "rank" / "bench", config.hardware, store / "responses")
    engine = engine_of(choices, inputs, work)
    engine.write(questions[:WARM_UP], 0)  # imports and first allocations
    return Timed(engine_name, engine), questions


if __name__ == "__main__":
    main()
