"""LLaRA (Liao et al., SIGIR 2024): titles, and beside each a vector that a sequence model learned for the item."""

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from r2rec.baselines.question import MARK, ClosedQuestion, View
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import clean, show
from r2rec.tasks.assemble import Texts


def llara_question(
    view: View, known: Texts, prompt: DictConfig, words: DictConfig
) -> list[ClosedQuestion]:
    """One question: which candidate comes next? The answer is the label that it stands under.

    The paper has the title written out; a label is one token, can't be confused with a text from the data, and gives
    the order of all candidates with the first.
    """

    def line(head: str, item: int) -> str:
        return f"- {head}{show(known.items[item], prompt.title_length)}{MARK}"

    profile = known.profile(view.user)
    lines = [f"You recommend {words.plural}."]
    if prompt.profile and profile:
        lines.append(f"User: {clean(profile)}")
    if view.liked:
        lines.append(f"Recently {words.verb} and liked, latest last:")
        lines += [line(f"Liked {n}: ", item) for n, item in enumerate(view.liked, 1)]
    labels = LABELS[: len(view.candidates)]
    lines.append("Candidates:")
    lines += [line(f"{label}: ", item) for label, item in zip(labels, view.candidates, strict=True)]
    lines.append('Which one comes next? Answer in one line: "Ranking: " and its label.')
    options = tuple(f" {label}" for label in labels)
    answer = None if view.positive is None else options[view.positive]
    return [
        ClosedQuestion(
            "\n".join(lines), "Ranking:", options, answer, (*view.liked, *view.candidates)
        )
    ]


class Hybrid(nn.Module):
    """In the place of a model's word vectors: these, and under id -1 - item the item's projected vector (equation 4).

    Args:
        words: The model's own input embeddings.
        items: [items, d] vectors of the sequence model; they stay as they are.
    """

    items: Tensor

    def __init__(self, words: Any, items: Tensor) -> None:
        super().__init__()
        self.words, wide = words, words.weight.shape[1]
        self.register_buffer("items", items, persistent=False)
        self.projector = nn.Sequential(
            nn.Linear(items.shape[1], wide), nn.GELU(), nn.Linear(wide, wide)
        )

    def forward(self, ids: Tensor) -> Tensor:
        vectors, item = self.words(ids.clamp(min=0)), ids < 0
        projected = self.projector(self.items[-1 - ids[item]]).to(vectors.dtype)
        return vectors.masked_scatter(item[..., None], projected)

    @property
    def weight(self) -> Tensor:
        """What tied heads and those who ask for the vocabulary's size look for."""
        return self.words.weight


def hybrid_steps(steps: int, draws: Any) -> Any:
    """Which steps show vectors: none at first, all in the end, with a probability that rises evenly (section 3.4).

    Args:
        draws: [steps] uniform random numbers.
    """
    return draws < torch.arange(1, steps + 1).numpy() / steps
