"""TALLRec (Bao et al., RecSys 2023): would the user like this item, yes or no? Candidates stand by P(yes)."""

from omegaconf import DictConfig

from r2rec.baselines.question import ClosedQuestion, View
from r2rec.prompts.render import clean, show
from r2rec.tasks.assemble import Texts


def tallrec_questions(
    view: View,
    known: Texts,
    prompt: DictConfig,
    words: DictConfig,
    *,
    positive: str = "Yes",
    negative: str = "No",
) -> list[ClosedQuestion]:
    """One question for each candidate: what the user liked, what they did not, and this one (section 3.1, table 1).

    Args:
        positive, negative: The words that the model answers with. LoRA leaves word vectors as they are, so a small
            model is better asked for some that it has often written.
    """
    told = []
    profile = known.profile(view.user)
    if prompt.profile and profile:
        told.append(f"User: {clean(profile)}")
    for kind, items in (("Liked", view.liked), ("Disliked", view.disliked)):
        told += [
            f"- {kind} {n}: {show(known.items[i], prompt.title_length)}"
            for n, i in enumerate(items, 1)
        ]
    asked = f'Will the user like this {words.singular}? Answer "{positive}" or "{negative}".'
    return [
        ClosedQuestion(
            "\n".join([*told, f"- A: {show(known.items[item], prompt.title_length)}", asked]),
            "Answer:",
            (f" {positive}", f" {negative}"),
            None
            if view.positive is None
            else f" {positive if place == view.positive else negative}",
        )
        for place, item in enumerate(view.candidates)
    ]
