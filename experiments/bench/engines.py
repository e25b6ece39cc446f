"""Prompts per second of ways to write answers, and whether they write the same texts.

    python experiments/bench/engines.py [--ways hf paged transformers] [--prompts N] [override ...]

Greedy decoding of ranking prompts, with the same weights. `transformers` is its own `generate`;
`token-by-token` is the engine `hf` that is not told what answers may be close to.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from composing import artefacts, composed

from r2rec.base.workspace import Workspace
from r2rec.config.slices import Arm, RankSlice, cut
from r2rec.data.split import evaluated
from r2rec.evaluate.answers import engine_of, evaluation_cases, ranking_questions
from r2rec.execution.rules import checked_config
from r2rec.llm.engine import Engine, Question, Setup, Written, in_process
from r2rec.llm.responses import Answer
from r2rec.llm.turns import end_tokens, length_of, text_of

WAYS = ("hf", "token-by-token", "paged", "transformers")
SPARE_USERS = 200  # users with too few likes are not evaluated
WARM_UP = 2  # questions


class Timed:
    """A way to write, its answers so far, and the seconds of each block."""

    def __init__(self, name: str, engine: Engine) -> None:
        self.name = name
        self.engine = engine
        self.answers: list[Answer | None] = []
        self.seconds: list[float] = []

    def answer(self, block: Sequence[Question]) -> None:
        if self.name == "token-by-token":
            block = [question._replace(expected="") for question in block]
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
            f"{self.name:14} {total:8.1f} s  {count / total:7.2f} prompts/s  "
            f"{tokens / total:8.0f} tokens/s  {count} prompts, {tokens} new tokens"
        )

    def compare(self, first: "Timed") -> None:
        """Print how many times as long as the first way this one took, block by block."""
        ratios = []
        for own, other in zip(self.seconds, first.seconds, strict=True):
            ratios.append(own / other)
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} blocks"
        pairs = zip(self.texts(), first.texts(), strict=True)
        same = sum(one == other for one, other in pairs)
        print(
            f"{self.name} / {first.name}: {median(ratios):.2f} ({spread}); "
            f"same texts: {same} of {len(self.answers)}"
        )


class Material(NamedTuple):
    """What all ways have in common."""

    questions: list[Question]
    choices: RankSlice
    inputs: dict[str, Path]
    work: Workspace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS[:2], metavar="WAY")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument(
        "--block", type=int, default=100, help="prompts that each way answers in its turn"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        help="overrides of the configuration; the default is the toy world and the tiny backbone",
    )
    args = parser.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as name:
        material = prepared(Path(name), args.prompts, args.overrides)
        loaded = []
        for way in args.ways:
            engine = engine_for(way, material)
            engine.write(material.questions[:WARM_UP], 0)  # imports and first allocations
            loaded.append(Timed(way, engine))
        for start in range(0, len(material.questions), args.block):
            for timed in loaded:  # in turns, so other load on the machine affects all
                timed.answer(material.questions[start : start + args.block])
    for timed in loaded:
        timed.show()
    for timed in loaded[1:]:
        timed.compare(loaded[0])


def prepared(folder: Path, prompts: int, overrides: Sequence[str]) -> Material:
    """The questions, and what answers them."""
    cfg = composed(
        f"dataset.params.users={prompts + SPARE_USERS}",
        "evaluation.arms=[base]",
        "generation.temperature=0",
        f"evaluation.users={prompts}",
        *overrides,
    )
    store = folder / "artefacts"
    inputs = artefacts(cfg, store, folder / "run", until="backbone")
    config = checked_config(cfg)
    choices = cut(RankSlice, config, arm=Arm("bench"))
    candidates = evaluated(inputs["split"], choices.seed, choices.users)
    cases = evaluation_cases(choices, inputs, candidates)
    questions = ranking_questions(cases, choices.prompt, choices.words)
    work = Workspace(store / "rank" / "bench", config.hardware, store / "responses")
    return Material(questions, choices, inputs, work)


def engine_for(way: str, material: Material) -> Engine:
    """The engine that writes in this way."""
    choices = material.choices
    if way == "transformers":
        setup = Setup(
            choices.generation,
            choices.model,
            material.work.hardware,
            choices.prompt.reasoning,
            made=material.inputs.get("backbone"),
        )
        return in_process(setup, by_transformers)
    if way == "paged":
        choices.generation._target_ = "r2rec.llm.paged.paged_engine"
    else:
        choices.generation._target_ = "r2rec.llm.hf.hf_engine"
    return engine_of(choices, material.inputs, material.work)


def by_transformers(model, tokenizer, prompts, generation, *_others):
    """Completions as `hf.generate` gives them, by transformers alone: greedy, in batches."""
    ends = end_tokens(tokenizer, model.generation_config)
    texts = []
    for start in range(0, len(prompts), generation.batch_size):
        block = prompts[start : start + generation.batch_size]
        batch = tokenizer.pad({"input_ids": block}, return_tensors="pt").to(model.device)
        output = model.generate(
            **batch,
            max_new_tokens=generation.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=ends,
            do_sample=False,
        )
        new = output[:, batch["input_ids"].shape[1] :].tolist()
        texts += [Written(text_of(tokenizer, row, ends), length_of(row, ends)) for row in new]
    return texts


if __name__ == "__main__":
    main()
