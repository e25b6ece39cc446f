"""What a tiny backbone reads right, part by part, in made-up prompts of 20 candidates.

    python experiments/pretrain_tiny/evaluate.py [--chains evidence|closed] [--prompts 60] \
        [--weights FOLDER] [--seed 77]

Prints a Markdown table: the share of each part that is right, greedy and sampled.
"""

import argparse
from importlib.resources import files

import closed
import evidence
import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from r2rec.config import Generation
from r2rec.llm import hf

TEMPERATURES = (0.0, 0.6)
KINDS = {"closed": closed, "evidence": evidence}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chains", choices=KINDS, default="evidence")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--weights", help="a folder; without it, the weights of model=tiny")
    parser.add_argument("--seed", type=int, default=77)
    args = parser.parse_args()
    weights = args.weights or str(files("r2rec.llm") / f"weights/tiny_{args.chains}")
    kind = KINDS[args.chains]
    tokenizer = AutoTokenizer.from_pretrained(weights, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(weights).eval()
    examples = list(kind.whole_tasks(args.prompts, args.seed))
    prompts = []
    for example in examples:
        prompts.append(tokenizer.encode(f"<|user|>{example.prompt}<|assistant|>"))
    lengths = [len(tokenizer.encode(example.completion)) for example in examples]
    print(f"tokens: prompt {np.mean([*map(len, prompts)]):.0f}, answer {np.mean(lengths):.0f}\n")
    seeds = range(args.seed, args.seed + len(prompts))
    columns = []
    for temperature in TEMPERATURES:
        generation = Generation(
            name="hf",
            _target_="r2rec.llm.hf.hf_engine",
            batch_size=32,
            max_new_tokens=700,
            temperature=temperature,
            top_p=0.9,
        )
        written = hf.generate(model, tokenizer, prompts, generation, seeds)
        texts = [completion.text for completion in written]
        columns.append(kind.shares_right(examples, texts))
    headers = " | ".join(f"temperature {temperature}" for temperature in TEMPERATURES)
    print(f"| part | {headers} |")
    print("| --- | --: | --: |")
    for part in columns[0]:
        shares = " | ".join(f"{column[part]:.3f}" for column in columns)
        print(f"| {part} | {shares} |")


if __name__ == "__main__":
    main()
