"""ChatRec (Gao et al., 2023): profile and history in a chat, and a model picks from candidates."""

from r2rec.config import Prompt, Words
from r2rec.llm.chat import Messages
from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.prompts.render import clean, show


def chatrec_messages(case: RankingCase, prompt: Prompt, words: Words) -> Messages:
    """What the system knows of the user, then the user's own question, as the method words them."""
    system = [f"You help a user to find {words.plural} they will like."]
    if prompt.profile and case.profile:
        system.append(f"About the user: {clean(case.profile)}.")
    if case.history:
        system.append(f"The user {words.verb} and liked, latest last:")
        for item in case.history:
            system.append(f"- {show(item, prompt.title_length)}")
    question = [
        f"Which of these {words.plural} should I choose next?"
        " Sort all of them, the ones I will like most first."
    ]
    for label, item in zip(LABELS, case.candidates, strict=False):
        question.append(f"- {label}: {show(item, prompt.title_length)}")
    question.append('Answer in one line: "Ranking: " and all labels, best first, joined by " > ".')
    return [
        {"role": "system", "content": "\n".join(system)},
        {"role": "user", "content": "\n".join(question)},
    ]
