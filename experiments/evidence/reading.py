"""How truly the language models of a run read the evidence: all thoughts, title by title.

    python experiments/evidence/reading.py RUN

RUN is the folder of a finished run. Prints for each model how many of its answers are valid, what
share of their claims is true, and how many titles are not as the prompt has them.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.evaluate.rankings import read_rankings
from r2rec.prompts.answer import split_thought
from r2rec.prompts.render import render_prompt
from r2rec.results.recorded import config_of, finished_jobs
from r2rec.thoughts.truth import claims_of

QUOTED = re.compile(r'"[^"]*"')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    config = config_of(args.run)
    done = finished_jobs(config, args.run)
    folders = {job.job.name: job.artefact.path for job in done}
    ranked = [job for job in done if job.job.stage.name == "rank"]
    choices = ranked[0].job.choices
    candidates = evaluated(folders["split"], config.seed, config.evaluation.users)
    cases = evaluation_cases(choices, folders, candidates)
    prompts = [render_prompt(case, choices.prompt, choices.words) for case in cases]
    print("| method | valid | claims true | all claims true | titles misspelt | answers with one |")
    print("| --- | --: | --: | --: | --: | --: |")
    for job in ranked:
        answers = read_rankings(job.artefact.path, candidates)
        shares = []
        wrong = []
        for case, prompt, text in zip(cases, prompts, answers["completion"], strict=True):
            thought = split_thought(text or "", reasoned=True)[0] or ""
            shares.append(claims_of(case, thought).share_true())
            shown = set(QUOTED.findall(prompt))
            wrong.append([title not in shown for title in QUOTED.findall(thought)])
        titles = np.concatenate(wrong)
        figures = [
            answers["valid"].mean(),
            np.mean(shares),
            np.mean(np.array(shares) == 1),
            titles.mean(),
            np.mean([any(of_answer) for of_answer in wrong]),
        ]
        row = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {job.job.arm.method} | {row} |")


if __name__ == "__main__":
    main()
