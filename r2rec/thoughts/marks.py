"""Private characters that stand for data texts, so that no rule takes a title for words.

An item's *position* says where it is first read: below 0 for the history, 0 for the items that
evidence chains begin at, 2n - 1 and 2n for the items of chain n, then the candidates. Each position
has one character for traits and one for titles.
"""

import re

from r2rec.prompts.cases import Item, RankingCase, RatingCase

ORIGIN = 0xF8000  # the mark of position 0, in the middle of a plane for private use
MARK = re.compile("[\U000f0000-\U0010fffd]")


def mark(position: int) -> str:
    """The character for the traits of the item at a position."""
    return chr(ORIGIN + 2 * position)


def title_mark(position: int) -> str:
    """The character for the title of the item at a position."""
    return chr(ORIGIN + 2 * position + 1)


def item_pattern(*positions: int) -> str:
    """A regular expression for the item at these positions: its traits or its title."""
    return f"[{''.join(mark(at) + title_mark(at) for at in positions)}]"


def marked_titles(text: str) -> list[tuple[int, int]]:
    """(offset, position) of each title in a text."""
    titles = []
    for match in MARK.finditer(text):
        position, is_title = divmod(ord(match[0]) - ORIGIN, 2)
        if is_title:
            titles.append((match.start(), position))
    return titles


def items_by_position(case: RankingCase | RatingCase) -> list[tuple[int, Item]]:
    """(position, item) of all items of a case, in the order in which a prompt shows them."""
    if isinstance(case, RatingCase):
        return [(1, case.chain.item1), (2, case.chain.item2)]
    items = list(enumerate(case.history, -len(case.history)))
    items += [(0, told.item1) for told in case.evidence if told.item1]
    later: list[Item] = []
    for chain in case.chains:
        later += [chain.item1, chain.item2]
    later += case.candidates
    items += enumerate(later, 1)
    return items


def first_positions(case: RankingCase | RatingCase) -> dict[str, int]:
    """Title -> the position where the item is first read, whose marks stand for it everywhere."""
    positions: dict[str, int] = {}
    for position, item in items_by_position(case):
        positions.setdefault(item.title, position)
    return positions
