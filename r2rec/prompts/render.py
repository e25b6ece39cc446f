"""Cases to prompt text. Texts from the data are quoted and made harmless on the way (`clean`)."""

import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from jinja2 import Environment, PackageLoader

from r2rec.config import Prompt, Words
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.prompts.own_templates import OPTIONS, render_own

TITLE_LENGTH = 80
"""Characters of a title that are shown unless a prompt says otherwise; longer ones are cut."""

ATTRIBUTE_LENGTH = 40
"""Characters of an attribute that are shown; longer ones are cut."""

CACHED_TEXTS = 1 << 16
"""A data set shows the same titles over and over: so many results are kept in memory."""

MARKS = {"<": "‹", ">": "›", "[": "(", "]": ")", '"': "'", "|": "/", "`": "'"}
"""Characters that could open a special token, a thought tag, an attribute list or a quotation, each
with the harmless one that takes its place."""

SUFFIX = ".j2"

FORMS = "≮≯﹇﹈﹤﹥＂＜＞［］｀｜\u1fef"
"""Other forms of these characters: a tokenizer that normalises its input turns them back."""


def _replacements() -> dict[int, str]:
    """A table for `str.translate`: MARKS and FORMS to harmless characters."""
    replacements = dict(MARKS)
    for form in FORMS:
        normal = unicodedata.normalize("NFKD", form)[0]
        replacements[form] = MARKS[normal]
    return str.maketrans(replacements)


LOOKALIKES = _replacements()


@lru_cache(maxsize=CACHED_TEXTS)
def clean(text: str, length: int = TITLE_LENGTH) -> str:
    """One line of data text that cannot imitate the structure of a prompt.

    Removes control, format and private characters (line breaks, zero-width characters,
    right-to-left marks), and every character that could open a chat-template token, a tag, a
    quotation or a list. Cuts the text to at most `length` characters.
    """
    printable = ""
    for character in text[: 8 * length]:  # a text may be a megabyte long
        is_control = unicodedata.category(character).startswith("C")
        printable += " " if is_control else character
    line = re.sub(r"\s+", " ", printable).strip().translate(LOOKALIKES)
    if len(line) <= length:
        return line
    return line[: length - 3].rstrip() + "..."


def clean_attributes(item: Item) -> list[str]:
    """The attributes of an item as prompts show them: without commas, and none empty."""
    attributes = []
    for attribute in item.attributes:
        text = clean(attribute, ATTRIBUTE_LENGTH).replace(",", "").strip()
        if text:
            attributes.append(text)
    return attributes


@lru_cache(maxsize=CACHED_TEXTS)
def show(item: Item, length: int = TITLE_LENGTH) -> str:
    """An item in a prompt: `[attribute, attribute] "Title"`, or its title alone.

    Attributes come first, so that they stand next to the item's label or rating.
    """
    attributes = ", ".join(clean_attributes(item))
    if attributes:
        return f"[{attributes}] {title(item, length)}"
    return title(item, length)


def render_prompt(
    case: RankingCase | RatingCase, prompt: Prompt, words: Words, ask: bool = True
) -> str:
    """The user message of a case (sections 3.2.1 and 4.1.2; the wording is our own).

    Args:
        prompt: What is shown, whether a thought is asked for, and the user's template if any.
        words: How prompts speak of the domain.
        ask: End with how to answer.
    """
    if isinstance(case, RankingCase):
        template = "evidence" if case.evidence else "ranking"
        shown = _shown_ranking(case, prompt.title_length)
        shown |= _shown_evidence(case, prompt.detailed, prompt.title_length)
    else:
        template = "chain_rating"
        shown = _shown_rating(case, prompt.title_length)
    if prompt.prose:
        template = f"prose_{template}"
    if prompt.template and isinstance(case, RankingCase):
        template = prompt.template
    return render_template(
        template,
        case=shown,
        labels=LABELS,
        ask=ask,
        reasoning=prompt.reasoning,
        compact=prompt.compact,
        items=words.plural,
        item=words.singular,
        verb=words.verb,
        traits=words.traits,
    )


def render_template(name: str, **values: object) -> str:
    """The text of a template. Data texts in `values` must have gone through `clean`.

    Args:
        name: A template of this package, or the file of a user's own.

    Raises:
        R2RecError: A user's own cannot be rendered.
    """
    file = Path(name)
    if file.name != name or file.suffix:
        return render_own(name, values).rstrip()
    return _environment().get_template(f"{name}{SUFFIX}").render(**values).rstrip()


def _shown_ranking(case: RankingCase, length: int) -> dict[str, object]:
    """A RankingCase as its template wants it."""
    return {
        "profile": _shown_profile(case.profile),
        "history": [show(item, length) for item in case.history],
        "chains": [_shown_chain(chain, length) for chain in case.chains],
        "candidates": [show(item, length) for item in case.candidates],
        "facts": case.facts,
    }


def told_in_full(case: RankingCase, detailed: int) -> list[int]:
    """Indices of the candidates whose evidence chain is told, the strongest first."""
    return [index for index in case.strongest()[:detailed] if case.evidence[index].item1]


def _shown_evidence(case: RankingCase, detailed: int, length: int) -> dict[str, object]:
    """The evidence chains that are told in full, and the labels of all other candidates."""
    titled = []
    for item in case.candidates:
        attributes = ", ".join(clean_attributes(item))
        titled.append({"title": title(item, length), "attributes": attributes})
    told = told_in_full(case, detailed)
    chains = []
    for index in told:
        evidence = case.evidence[index]
        chain: dict[str, object] = {**evidence._asdict(), "label": LABELS[index]}
        chain["title"] = title(evidence.item1, length) if evidence.item1 else ""
        chain["rating_u1"] = f"{evidence.rating_u1:g}"
        chains.append(chain)
    order = case.strongest()
    n_unlinked = sum(evidence.item1 is None for evidence in case.evidence)
    labels = [LABELS[index] for index in order]
    return {"titled": titled, "told": chains, "order": labels, "unlinked": n_unlinked}


def title(item: Item, length: int = TITLE_LENGTH) -> str:
    """The title of an item, quoted."""
    return f'"{clean(item.title, length)}"'


def _shown_rating(case: RatingCase, length: int) -> dict[str, object]:
    """A RatingCase as its template wants it."""
    return {
        "profile": _shown_profile(case.profile),
        "chain": _shown_chain(case.chain, length),
    }


def _shown_profile(profile: str | None) -> str | None:
    if not profile:
        return None
    return clean(profile)


def _shown_chain(chain: Chain, length: int) -> dict[str, str | None]:
    """A chain with items as text, and ratings without a needless decimal: 4, but 4.5."""
    shown: dict[str, str | None] = {
        "item1": show(chain.item1, length),
        "rating_u1": f"{chain.rating_u1:g}",
        "rating_v1": f"{chain.rating_v1:g}",
        "rating_v2": f"{chain.rating_v2:g}",
        "item2": show(chain.item2, length),
        "rating_u2": None,
        "neighbour": None,
    }
    if chain.neighbour:
        # where prompts tell it, it stands in brackets of their own
        shown["neighbour"] = re.sub("[()]", "", clean(chain.neighbour)).strip()
    if chain.rating_u2 is not None:
        shown["rating_u2"] = f"{chain.rating_u2:g}"
    return shown


@cache
def _environment() -> Environment:
    return Environment(loader=PackageLoader("r2rec.prompts"), **OPTIONS)
