"""A language model as it comes, asked once: profile, recent likes and candidates."""

from dataclasses import replace

from r2rec.config import Prompt, Words
from r2rec.llm.chat import Messages, user_turn
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import render_prompt


def zero_shot_messages(
    case: RankingCase, prompt: Prompt, words: Words, chains: bool = False
) -> Messages:
    """This project's ranking prompt, asking for the answer without a thought.

    Args:
        chains: Show interaction chains too.
    """
    answer_alone = replace(prompt, chains=chains, reasoning=False)
    return user_turn(render_prompt(case, answer_alone, words))
