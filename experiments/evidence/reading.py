"""How truly the language models of a run read the evidence: all thoughts, title by title.

    python experiments/evidence/reading.py RUN

RUN is the folder of a finished run. Prints for each model how many of its answers are valid, what
share of their claims is true, and how many titles are not as the prompt has them.
"""

import re

import numpy as np
from finished import parser, run_in

from r2rec.data.split import evaluated
from r2rec.evaluate.answers import evaluation_cases
from r2rec.evaluate.rankings import read_rankings
from r2rec.prompts.answer import split_thought
from r2rec.prompts.render import render_prompt
from r2rec.thoughts.truth import claims_of

QUOTED = re.compile(r'"[^"]*"')


def main() -> None:
    run = run_in(parser(__doc__).parse_args().run)
    ranked = [done for done in run.jobs.values() if done.job.stage.name == "rank"]
    choices = ranked[0].job.choices
    users = run.config.evaluation.users
    candidates = evaluated(run.folders["split"], run.config.seed, users)
    cases = evaluation_cases(choices, run.folders, candidates)
    prompts = [render_prompt(case, choices.prompt, choices.words) for case in cases]
    print("| method | valid | claims true | all claims true | titles misspelt | answers with one |")
    print("| --- | --: | --: | --: | --: | --: |")
    for done in ranked:
        answers = read_rankings(done.artefact.path, candidates)
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
        print(f"| {done.job.arm.method} | {row} |")


if __name__ == "__main__":
    main()
