"""ChatRec (Gao et al., 2023): a user's profile and history put into a chat, and a model that picks from candidates."""

from omegaconf import DictConfig

from r2rec.llm.chat import Messages
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import clean, show


def chatrec_messages(case: RankingCase, prompt: DictConfig, words: DictConfig) -> Messages:
    """What the system knows of the user, then the user's own question, as the method puts them."""
    length = prompt.title_length
    known = [f"You help a user to find {words.plural} they will like."]
    if prompt.profile and case.profile:
        known.append(f"About the user: {clean(case.profile)}.")
    if case.history:
        known.append(f"The user {words.verb} and liked, latest last:")
        known += [f"- {show(item, length)}" for item in case.history]
    shelf = [
        f"- {label}: {show(item, length)}"
        for label, item in zip(LABELS, case.candidates, strict=False)
    ]
    question = [
        f"Which of these {words.plural} should I choose next? Sort all of them, the ones I will like most first.",
        *shelf,
        'Answer in one line: "Ranking: " and all labels, best first, joined by " > ".',
    ]
    return [
        {"role": "system", "content": "\n".join(known)},
        {"role": "user", "content": "\n".join(question)},
    ]
