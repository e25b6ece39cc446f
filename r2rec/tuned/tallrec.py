"""TALLRec (Bao et al., RecSys 2023): would the user like this item? Candidates rank by P(yes)."""

from r2rec.config import Prompt, Words
from r2rec.prompts.cases import Item
from r2rec.prompts.render import clean, show
from r2rec.tasks.assemble import Texts
from r2rec.tuned.question import ClosedQuestion, View


def tallrec_questions(
    view: View,
    texts: Texts,
    prompt: Prompt,
    words: Words,
    *,
    positive: str = "Yes",
    negative: str = "No",
) -> list[ClosedQuestion]:
    """One question for each candidate: likes, dislikes and the candidate (section 3.1, table 1).

    Args:
        positive, negative: The words that the model answers with. LoRA does not train word vectors,
            so a small model answers better in words that it has often written.
    """
    context = _context(view, texts, prompt)
    ask = f'Will the user like this {words.singular}? Answer "{positive}" or "{negative}".'
    yes = f" {positive}"
    no = f" {negative}"
    questions = []
    for index, candidate in enumerate(view.candidates):
        text = show(texts.items[candidate], prompt.title_length)
        answer = None
        if view.positive is not None:
            answer = yes if index == view.positive else no
        question = ClosedQuestion(
            prompt="\n".join([*context, f"- A: {text}", ask]),
            lead="Answer:",
            options=(yes, no),
            answer=answer,
        )
        questions.append(question)
    return questions


def _context(view: View, texts: Texts, prompt: Prompt) -> list[str]:
    """Lines about the user: profile, likes, dislikes."""
    lines = []
    profile = texts.profile(view.user)
    if prompt.profile and profile:
        lines.append(f"User: {clean(profile)}")
    liked = [texts.items[item] for item in view.liked]
    disliked = [texts.items[item] for item in view.disliked]
    lines += _listed("Liked", liked, prompt.title_length)
    lines += _listed("Disliked", disliked, prompt.title_length)
    return lines


def _listed(kind: str, items: list[Item], title_length: int) -> list[str]:
    """For example `- Liked 1: [Drama] "Heat"`."""
    lines = []
    for number, item in enumerate(items, 1):
        lines.append(f"- {kind} {number}: {show(item, title_length)}")
    return lines
