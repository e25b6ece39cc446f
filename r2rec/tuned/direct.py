"""R2Rec's own ranking prompt, answered without a thought: the label of what the user will like.

As in LlamaRec (Yue et al., 2023), one forward pass gives the probabilities of all labels, and these
rank the candidates. The difference to R2Rec on the same prompts is what its thought is worth.
"""

from dataclasses import replace

from r2rec.config import Prompt, Words
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import render_prompt
from r2rec.tuned.question import ClosedQuestion


def direct_question(case: RankingCase, prompt: Prompt, words: Words) -> ClosedQuestion:
    """The run's ranking prompt, asking for no thought, and a label for each candidate."""
    labels = LABELS[: len(case.candidates)]
    return ClosedQuestion(
        prompt=render_prompt(case, replace(prompt, reasoning=False), words),
        lead="Ranking:",
        options=tuple(f" {label}" for label in labels),
        answer=None,
    )
