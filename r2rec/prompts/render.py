"""Cases to prompt text. Texts from the data are quoted and made harmless on the way (`clean`)."""

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from omegaconf import DictConfig

from r2rec.prompts.cases import LABELS, Item, RankingCase, RatingCase

MARKS = {"<": "‹", ">": "›", "[": "(", "]": ")", '"': "'", "|": "/", "`": "'"}
"""What could open a special token, a thought tag, an attribute list or a quotation, and what it becomes."""

FORMS = "≮≯﹇﹈﹤﹥＂＜＞［］｀｜\u1fef"
"""Other forms of these marks: tokenizers that normalise their input make the marks of them again."""

LOOKALIKES = str.maketrans(
    MARKS | {form: MARKS[unicodedata.normalize("NFKD", form)[0]] for form in FORMS}
)


@lru_cache(maxsize=1 << 16)  # a data set shows the same titles over and over
def clean(text: str, length: int = 80) -> str:
    """One line of data text that cannot imitate the prompt's own structure.

    No control, format or private characters (line breaks, zero-width, right-to-left marks), no character that
    could open a chat-template token, a tag, a quotation or a list; at most `length` characters.
    """
    text = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text[: 8 * length])
    text = re.sub(r"\s+", " ", text).strip().translate(LOOKALIKES)
    return text if len(text) <= length else text[: length - 3].rstrip() + "..."


@lru_cache(maxsize=1 << 16)
def show(item: Item, length: int = 80) -> str:
    """An item in a prompt, `[attribute, attribute] "Title"`: attributes stand next to the item's label or rating."""
    title = f'"{clean(item.title, length)}"'
    attributes = ", ".join(
        filter(None, (clean(a, 40).replace(",", "").strip() for a in item.attributes))
    )
    return f"[{attributes}] {title}" if attributes else title


def render_prompt(
    case: RankingCase | RatingCase, prompt: DictConfig, words: DictConfig, ask: bool = True
) -> str:
    """The user message of a case.

    Args:
        prompt: Group `prompt`: what is shown, and whether a thought is asked for.
        words: `dataset.words`: how the domain is spoken of.
        ask: Say how to answer, at the end.
    """
    name = "ranking" if isinstance(case, RankingCase) else "chain_rating"
    shown = _shown(case, prompt)
    return plain(
        name, case=shown, labels=LABELS, ask=ask, reasoning=prompt.reasoning, compact=prompt.compact,
        items=words.plural, verb=words.verb,
    )  # fmt: skip


def plain(name: str, **values: Any) -> str:
    """The text of a template; what `values` have from data went through `clean`."""
    return _template(name).render(**values).rstrip()


def _shown(case: RankingCase | RatingCase, prompt: DictConfig) -> dict:
    """The case as the template wants it: items as text, ratings without a needless decimal."""
    length = prompt.title_length

    def chain(c):  # type: ignore[no-untyped-def]
        ratings = {
            k: f"{v:g}" for k, v in c._asdict().items() if k.startswith("rating") and v is not None
        }
        return (
            {"rating_u2": None}
            | ratings
            | {"item1": show(c.item1, length), "item2": show(c.item2, length)}
        )

    profile = clean(case.profile) if case.profile else None
    if isinstance(case, RatingCase):
        return {"profile": profile, "chain": chain(case.chain)}
    return {
        "profile": profile,
        "history": [show(i, length) for i in case.history],
        "chains": [chain(c) for c in case.chains],
        "candidates": [show(i, length) for i in case.candidates],
    }


@cache
def _template(name: str) -> Template:
    env = Environment(
        loader=PackageLoader("r2rec.prompts"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False,  # plain text for a model, not HTML; `clean` is the guard
    )  # fmt: skip
    return env.get_template(f"{name}.j2")
