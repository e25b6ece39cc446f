"""What a tiny backbone reads right, part by part, on worlds that nobody trained on.

python experiments/pretrain_tiny/evaluate.py [--prompts 60] [--weights FOLDER] [--seed 77]
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from itertools import zip_longest

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from r2rec.config import Probe
from r2rec.llm import hf
from r2rec.pretrain.levels import Example, Level
from r2rec.pretrain.worlds import world_examples
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps
from r2rec.thoughts import evidence
from r2rec.thoughts.statements import _in_one_wording as plain


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--weights", default=str(files("r2rec.llm") / "weights/tiny"))
    parser.add_argument("--seed", type=int, default=77)
    given = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(given.weights, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(given.weights).eval()
    asked = list(prompts(given.prompts, given.seed))
    ids = [tokenizer.encode(f"<|user|>{e.prompt}<|assistant|>") for e in asked]
    print(
        "| part | " + " | ".join(f"temperature {t}" for t in (0.0, 0.6)) + " |\n| --- | --: | --: |"
    )
    columns = []
    for temperature in (0.0, 0.6):
        sampling = Probe(
            name="sampling", batch_size=32, max_new_tokens=700, temperature=temperature, top_p=0.9
        )
        written = hf.generate(
            model, tokenizer, ids, sampling, range(given.seed, given.seed + len(ids))
        )
        columns.append(scored([e.completion for e in asked], written))
    for part in columns[0]:
        print(f"| {part} | " + " | ".join(f"{column[part]:.3f}" for column in columns) + " |")


def prompts(n: int, seed: int) -> Iterator[Example]:
    """Whole ranking tasks with a thought, of worlds that hold more of the same."""
    rng = np.random.default_rng(seed)
    level = Level(candidates=20, chains=5, history=5)
    while n > 0:
        for example in world_examples(rng, level, 4):
            if (
                "Rank the candidates" in example.prompt
                and "First reason" in example.prompt
                and n > 0
            ):
                yield example
                n -= 1


def scored(wanted: list[str], written: list[str]) -> dict[str, float]:
    """Share of each part that is right. Conclusions are judged by what the model itself read."""
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()

    def add(part: str, is_right: bool) -> None:
        right[part] += is_right
        total[part] += 1

    for target, got in zip(wanted, written, strict=True):
        theirs, ours = (
            list(map(plain, thought_steps(split_thought(text, True)[0] or "")))
            for text in (target, got)
        )
        counted = next(n for n, step in enumerate(theirs) if "Candidates:" in step)
        for step in theirs[:counted]:
            add("history read" if "Liked 1:" in step else "chain read", step in ours)
        mine = next((step for step in ours if "Candidates:" in step), "")
        sums = {label: int(n) for label, n in re.findall(r"\b([A-T]) [^;]*?= (\d+)", mine)}
        n = theirs[counted].count("; ") + 1
        for entry, own in zip_longest(
            map(read, theirs[counted].split("; ")), map(read, mine.split("; ")[:n])
        ):
            add("candidate read and summed", entry is not None and entry == own)
        answer = parse_ranking(got, n, True)
        named = next((step for step in ours if step.startswith(("Best supported:", "Newest:"))), "")
        chosen, up = (
            [(label, int(value)) for label, value in re.findall(r"([A-T]) (\d+)", named)],
            "Newest" in named,
        )
        order = sorted(sums.values(), reverse=not up)
        wanted_values = [value for value in order if value or up][: evidence.BEST]
        once = len({label for label, _ in chosen}) == len(chosen)
        own = bool(named) and once and all(sums.get(label) == value for label, value in chosen)
        add("best (or least), in order", own and [value for _, value in chosen] == wanted_values)
        add("none named twice", once)
        picked = re.fullmatch(r"First: ([A-T])\.", ours[-1] if ours else "")
        add("first is one of them", picked is not None and picked[1] in dict(chosen))
        add("answer begins with it", picked is not None and answer.labels[:1] == (picked[1],))
        add("concludes with more of the same", not up)
        add("answer valid", answer.valid)
        add("answer complete", answer.valid and len(answer.labels) == n)
    return {part: right[part] / n for part, n in total.items()}


def read(entry: str) -> tuple[str, bool]:
    """A candidate's entry without `evidence.OTHER` and its sum, and whether the sum is right."""
    numbers = [int(n) for n in re.findall(r" (\d+)(?=[,.;]| =|$)", entry)]
    return re.sub(r", other \d| = \d+\.?|\.$", "", entry), sum(numbers[:-1]) == numbers[
        -1
    ] if numbers else True


if __name__ == "__main__":
    main()
