"""TALLRec (Bao et al., RecSys 2023): would the user like this item, yes or no? Candidates stand by P(yes)."""

from omegaconf import DictConfig

from r2rec.baselines.question import Question, View
from r2rec.prompts.assemble import Texts
from r2rec.prompts.render import clean, show

OPTIONS = (" Yes", " No")


def ask(view: View, known: Texts, prompt: DictConfig, words: DictConfig) -> list[Question]:
    """One question for each candidate: what the user liked, what they did not, and this one (section 3.1, table 1)."""
    told = []
    profile = known.profile(view.user)
    if prompt.profile and profile:
        told.append(f"User: {clean(profile)}")
    for kind, items in (("liked", view.liked), ("did not like", view.disliked)):
        told += [f"The user {kind}:", *(f"- {show(known.items[i], prompt.title_length)}" for i in items)] * bool(items)
    return [
        Question(
            "\n".join([*told, f"Candidate: {show(known.items[item], prompt.title_length)}", question(words)]),
            "Answer:",
            OPTIONS,
            None if view.positive is None else OPTIONS[place != view.positive],
        )
        for place, item in enumerate(view.candidates)
    ]


def question(words: DictConfig) -> str:
    return f'Will the user like this {words.singular}? Answer "Yes" or "No".'
