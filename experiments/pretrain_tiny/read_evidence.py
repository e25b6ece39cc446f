"""What a tiny backbone reads right of evidence chains, in made-up prompts of 20 candidates.

    python experiments/pretrain_tiny/read_evidence.py --weights FOLDER [--prompts 60] [--seed 77]

Prints a Markdown table: the share of each part that is right, greedy and sampled.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from r2rec.config import Generation
from r2rec.llm import hf
from r2rec.pretrain.levels import Example
from r2rec.pretrain.weighed import weighed_example
from r2rec.pretrain.worlds import DOMAINS
from r2rec.prompts.answer import parse_ranking, split_thought, thought_steps

TEMPERATURES = (0.0, 0.6)
CANDIDATES = 20
QUOTED = re.compile(r'"[^"]*"')
NUMBER = re.compile(r"\d+")
VERDICT = re.compile(r"\b(?:better|worse|even)\b")

Shares = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", required=True)
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=77)
    args = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(args.weights, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(args.weights).eval()
    examples = list(whole_tasks(args.prompts, args.seed))
    prompts = []
    for example in examples:
        prompts.append(tokenizer.encode(f"<|user|>{example.prompt}<|assistant|>"))
    lengths = [len(tokenizer.encode(example.completion)) for example in examples]
    print(f"tokens: prompt {np.mean([*map(len, prompts)]):.0f}, answer {np.mean(lengths):.0f}\n")
    columns = []
    for temperature in TEMPERATURES:
        generation = Generation(
            name="hf",
            _target_="r2rec.llm.hf.hf_engine",
            batch_size=32,
            max_new_tokens=500,
            temperature=temperature,
            top_p=0.9,
        )
        seeds = range(args.seed, args.seed + len(prompts))
        written = hf.generate(model, tokenizer, prompts, generation, seeds)
        columns.append(shares_right(examples, written))
    print("| part | " + " | ".join(f"temperature {value}" for value in TEMPERATURES) + " |")
    print("| --- | --: | --: |")
    for part in columns[0]:
        print(f"| {part} | " + " | ".join(f"{column[part]:.3f}" for column in columns) + " |")


def whole_tasks(count: int, seed: int) -> Iterator[Example]:
    """Ranking tasks of 20 candidates with a thought."""
    rng = np.random.default_rng(seed)
    found = 0
    while found < count:
        example = weighed_example(DOMAINS[rng.integers(len(DOMAINS))], rng)
        if "\n- T: " in example.prompt and "First reason" in example.prompt:
            found += 1
            yield example


def shares_right(examples: list[Example], written: list[str]) -> Shares:
    """The share of each part that is right, held against what the teacher writes."""
    right: dict[str, list[bool]] = defaultdict(list)
    for example, completion in zip(examples, written, strict=True):
        wanted = steps_of(example.completion)
        got = steps_of(completion)
        got += [""] * (len(wanted) - len(got))
        for want, have in zip(wanted[:-1], got, strict=False):
            if " against " in want:
                right["candidates compared"].append(have == want)
                verdicts = zip(VERDICT.findall(want), VERDICT.findall(have), strict=False)
                right["verdict"] += [first == second for first, second in verdicts]
                continue
            right["chain read"].append(have == want)
            right["titles"].append(QUOTED.findall(have) == QUOTED.findall(want))
            right["numbers"].append(numbers_of(have) == numbers_of(want))
        order = parse_ranking(example.completion, CANDIDATES, True).labels
        answer = parse_ranking(completion, CANDIDATES, True)
        right["answer valid and complete"].append(answer.valid and len(answer.labels) == CANDIDATES)
        concluded = got[len(wanted) - 1][:1]
        right["answer begins as concluded"].append(answer.labels[:1] == (concluded,))
        rest = [label for label in order if label not in answer.labels[:1]]
        kept = [label for label in answer.labels[1:] if label in rest]
        right["rest in the order of the evidence"].append(kept == rest)
    return {part: float(np.mean(values)) for part, values in right.items()}


def steps_of(completion: str) -> list[str]:
    """The steps of a completion's thought."""
    thought, _ = split_thought(completion, True)
    return thought_steps(thought or "")


def numbers_of(step: str) -> list[str]:
    """The numbers of a step, without those in titles."""
    return NUMBER.findall(QUOTED.sub("", step))


if __name__ == "__main__":
    main()
