"""LLaRA (Liao et al., SIGIR 2024): beside each title, a vector that a sequence model learned."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from r2rec.config import Prompt, Words
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import clean, show
from r2rec.tasks.assemble import Texts
from r2rec.tuned.question import MARK, ClosedQuestion, View


def llara_question(view: View, texts: Texts, prompt: Prompt, words: Words) -> list[ClosedQuestion]:
    """One question: which candidate comes next? The answer is its label.

    The paper has the title written out. A label is one token, can't be confused with a text from
    the data, and one pass gives the order of all candidates.
    """

    def line(head: str, item: int) -> str:
        text = show(texts.items[item], prompt.title_length)
        return f"- {head}: {text}{MARK}"

    lines = [f"You recommend {words.plural}."]
    profile = texts.profile(view.user)
    if prompt.profile and profile:
        lines.append(f"User: {clean(profile)}")
    if view.liked:
        lines.append(f"Recently {words.verb} and liked, latest last:")
        for number, item in enumerate(view.liked, 1):
            lines.append(line(f"Liked {number}", item))
    labels = LABELS[: len(view.candidates)]
    lines.append("Candidates:")
    for label, item in zip(labels, view.candidates, strict=True):
        lines.append(line(label, item))
    lines.append('Which one comes next? Answer in one line: "Ranking: " and its label.')
    options = tuple(f" {label}" for label in labels)
    answer = None
    if view.positive is not None:
        answer = options[view.positive]
    question = ClosedQuestion(
        prompt="\n".join(lines),
        lead="Ranking:",
        options=options,
        answer=answer,
        marked=(*view.liked, *view.candidates),
    )
    return [question]


class Hybrid(nn.Module):
    """Input embeddings of words and items (equation 4).

    Ids from 0 on are words; id -1 - item is the item's vector, projected to the words' width.

    Args:
        words: The model's own input embeddings.
        items: [items, d] vectors of the sequence model; they are not trained.
    """

    items: Tensor

    def __init__(self, words: Any, items: Tensor) -> None:
        super().__init__()
        self.words = words
        width = words.weight.shape[1]
        self.register_buffer("items", items, persistent=False)
        self.projector = nn.Sequential(
            nn.Linear(items.shape[1], width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., width] of ids [...]."""
        vectors: Tensor = self.words(ids.clamp(min=0))
        is_item = ids < 0
        items = self.items[-1 - ids[is_item]]
        projected = self.projector(items).to(vectors.dtype)
        return vectors.masked_scatter(is_item[..., None], projected)

    @property
    def weight(self) -> Tensor:
        """The words' vectors: tied heads and checks of the vocabulary's size look for them here."""
        weight: Tensor = self.words.weight
        return weight


def hybrid_steps(steps: int, draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which training steps show vectors: few at first, all in the end (section 3.4).

    The probability rises linearly to 1 at the last step.

    Args:
        draws: [steps] uniform random numbers.
    """
    share = np.arange(1, steps + 1) / steps
    return draws < share
