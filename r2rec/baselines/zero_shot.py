"""A language model as it comes, asked once: profile, recent likes and candidates, without chains or training."""

from omegaconf import DictConfig, OmegaConf

from r2rec.llm.chat import Messages, user_turn
from r2rec.prompts.cases import RankingCase
from r2rec.prompts.render import render_prompt


def zero_shot_messages(
    case: RankingCase, prompt: DictConfig, words: DictConfig, chains: bool = False
) -> Messages:
    """The ranking prompt of this project, for the answer alone."""
    return user_turn(
        render_prompt(case, OmegaConf.merge(prompt, {"chains": chains, "reasoning": False}), words)
    )  # type: ignore[arg-type]
