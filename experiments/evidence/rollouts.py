"""What GRPO has to learn from: a policy's answers to its training prompts, several of each.

    python experiments/evidence/rollouts.py RUN [--policy sft|rl|none] [--prompts 64] [--group 16] \
        [--temperature 0.7]

RUN is the folder of a finished run. Prints what one answer is worth, what the best of a group would
be, what its majority would say, and how many groups leave nothing to learn.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
from finished import parser, run_in

from r2rec.config.slices import RlSlice, cut
from r2rec.llm import load
from r2rec.llm.engine import Question, Setup
from r2rec.llm.hf import hf_engine
from r2rec.prompts.answer import parse_ranking
from r2rec.prompts.cases import LABELS
from r2rec.train.rewards import ndcg_reward, ranks, truth_reward
from r2rec.train.rl import Prompts, rl_prompts


def main() -> None:
    asking = parser(__doc__)
    asking.add_argument("--policy", choices=("sft", "rl", "none"), default="sft")
    asking.add_argument("--prompts", type=int, default=64)
    asking.add_argument("--group", type=int, default=16)
    asking.add_argument("--temperature", type=float, default=0.7)
    args = asking.parse_args()
    run = run_in(args.run)
    folders = run.folders
    config = run.config
    config = replace(config, rl=replace(config.rl, samples=args.prompts, enabled=True))
    generation = replace(
        config.generation,
        temperature=args.temperature,
        top_p=config.rl.top_p,
        max_new_tokens=config.rl.max_new_tokens,
    )
    setup = Setup(
        generation=generation,
        model=config.model,
        hardware=config.hardware,
        reasoning=config.prompt.reasoning,
        made=folders.get("backbone"),
        adapter=folders.get(args.policy),
    )
    tokenizer = load.tokenizer(config.model, folders.get("backbone"))
    asked = rl_prompts(cut(RlSlice, config), folders, tokenizer)
    questions = []
    for row in asked.rows:
        questions += [Question(row["prompt"], labels=row["n_candidates"])] * args.group
    answers = hf_engine(setup).write(questions, config.seed)
    texts = [answer.text if answer else "" for answer in answers]
    report(texts, asked, args.group)


def report(texts: list[str], asked: Prompts, group: int) -> None:
    """Print what the answers [prompts x group], prompt by prompt, are worth."""
    positive = [row["positive"] for row in asked.rows for _ in range(group)]
    n_candidates = [row["n_candidates"] for row in asked.rows for _ in range(group)]
    cases = [asked.cases[row["case"]] for row in asked.rows for _ in range(group)]
    columns = {"positive": positive, "n_candidates": n_candidates}
    shape = (len(asked.rows), group)
    found = np.array([rank or 0 for rank in ranks(texts, **columns)]).reshape(shape)
    gain = np.array(ndcg_reward(texts, **columns)).reshape(shape)
    truth = np.array(truth_reward(texts, cases=cases)).reshape(shape)
    hits = found == 1
    majority = []
    for row, number in zip(asked.rows, range(len(asked.rows)), strict=True):
        firsts: Counter[str] = Counter()
        for text in texts[number * group : (number + 1) * group]:
            firsts.update(parse_ranking(text, row["n_candidates"], True).labels[:1])
        winner = firsts.most_common(1)
        majority.append(bool(winner) and winner[0][0] == row["positive"])
    evidence_alone = []
    for row in asked.rows:
        case = asked.cases[row["case"]]
        evidence_alone.append(LABELS[case.strongest()[0]] == row["positive"])
    figures = {
        "valid answers": (found > 0).mean(),
        "of what thoughts claim, true": truth.mean(),
        "HR@1 of one answer": hits.mean(),
        "HR@1 of valid answers": hits[found > 0].mean(),
        "HR@1 of the majority": np.mean(majority),
        "HR@1 of the best of a group": hits.any(axis=1).mean(),
        "HR@1 of the strongest evidence": np.mean(evidence_alone),
        "NDCG of one answer": gain.mean(),
        "NDCG of the best of a group": gain.max(axis=1).mean(),
        "groups with one NDCG throughout": (gain.std(axis=1) == 0).mean(),
        "standard deviation of NDCG within groups": gain.std(axis=1).mean(),
        "of it, among valid answers": within_valid(gain, found > 0),
    }
    print(f"{shape[0]} prompts, {group} answers each\n")
    for name, value in figures.items():
        print(f"{name:42} {value:.3f}")


def within_valid(gain: np.ndarray, valid: np.ndarray) -> float:
    """The mean deviation within groups, of valid answers alone."""
    deviations = []
    for row, is_valid in zip(gain, valid, strict=True):
        if is_valid.any():
            deviations.append(row[is_valid].std())
    return float(np.mean(deviations))


if __name__ == "__main__":
    main()
