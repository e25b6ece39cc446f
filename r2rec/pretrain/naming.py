"""Names for worlds that don't exist: fresh ones for every prompt.

With names shared by the prompts of a world, a small model learns those words by heart and cannot
copy others. Fresh names leave it nothing to learn but reading.
"""

from importlib.resources import files
from random import Random

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase

WORDS = files("r2rec.llm").joinpath("words.txt").read_text().split()
ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sp st str t th tr"
    " v w y z"
).split()
VOWELS = "a ai e ea ee i ie o oa oo ou u".split()
CODAS = ["", *"l m n nd ng nt r rd rn s st t ck x".split()]

REAL_WORDS = 0.75  # share of words that are real
COMPOUND_GENRES = 0.4  # share of prompts with genres of two words, and of genres in these
YEARS = 0.4  # share of prompts whose titles end in a year
ARTICLES = 0.3  # share of prompts in which half of the titles begin with "The"
PROFILES = 0.7  # share of prompts with a profile
TITLE_WORDS = (1, 2, 2, 4)  # longest title of a prompt, in words
MIXED = 0.6  # share of prompts with evidence whose titles are of all shapes (`mixed_title`)
MIXED_WORDS = 8  # of such a title, at most
SMALL_WORDS = (
    "a an and as at by de for from in is it la le my no not of on or s that the to un vs with you"
    " rated ratings liked others soon better worse"  # words that prompts and thoughts have as well
).split()
MARKS = (",", ":", "'s", "!", "?", " -", " &", ".", ";", "...", "/")
LETTERS = "abcdefghijklmnopqrstuvwxyzàáâäåæçèéêëíñóôöøúüß"
DECADE = "decade"  # a style of eras, beside "" (none are shown) and a word before their number


def random_word(draw: Random) -> str:
    """A real word or an invented one, capitalised."""
    if draw.random() < REAL_WORDS:
        return draw.choice(WORDS).capitalize()
    syllables = []
    for _ in range(draw.randint(1, 2)):
        onset = draw.choice(ONSETS)
        syllables.append(onset + draw.choice(VOWELS))
    return ("".join(syllables) + draw.choice(CODAS)).capitalize()


def mixed_title(draw: Random) -> str:
    """A title of any shape: small words, marks, numbers, brackets, letters in any order.

    Real titles have all of these, and a backbone copies only tokens that it has met in titles.
    """
    words = []
    for _ in range(draw.randint(1, MIXED_WORDS)):
        word = _mixed_word(draw)
        if draw.random() < 0.15:
            word += draw.choice(MARKS)
        words.append(word)
    if len(words) > 2 and draw.random() < 0.15:
        start = draw.randrange(1, len(words))
        words[start] = f"({words[start]}"
        words[-1] += ")"
    return " ".join(words)


def _mixed_word(draw: Random) -> str:
    kind = draw.random()
    if kind < 0.25:
        return draw.choice(SMALL_WORDS)
    if kind < 0.32:
        return str(draw.randint(0, 10 ** draw.randint(1, 4)))
    if kind < 0.42:
        letters = "".join(draw.choices(LETTERS, k=draw.randint(1, 7)))
        return letters.upper() if draw.random() < 0.3 else letters
    word = random_word(draw)
    if kind < 0.6:
        word = _spliced(word, draw)
    return word.lower() if draw.random() < 0.2 else word


def _spliced(word: str, draw: Random) -> str:
    """The beginning of a word and the end of another, so that the tokens of any part are met."""
    other = draw.choice(WORDS)
    cut = draw.randint(1, len(word))
    return word[:cut] + other[draw.randint(0, len(other) - 1) :]


def renamed(case: RankingCase | RatingCase, draw: Random) -> RankingCase | RatingCase:
    """The same case under fresh names, with a made-up profile.

    Args:
        case: Its items have the attributes "g<n>" for genre n and "d<n>" for decade n.
    """
    names = FreshNames(draw)
    profile = None
    if draw.random() < PROFILES:
        words = [random_word(draw) for _ in range(3)]
        profile = ", ".join(words).lower()
    if isinstance(case, RatingCase):
        return RatingCase(profile, names.chain(case.chain))
    return RankingCase(
        profile,
        history=tuple(names.item(item) for item in case.history),
        chains=tuple(names.chain(chain) for chain in case.chains),
        candidates=tuple(names.item(item) for item in case.candidates),
    )


class FreshNames:
    """The names of one prompt: the same item or attribute gets the same name wherever it stands.

    Titles and attributes of one prompt are alike in form, as they are in a real data set.

    Args:
        mixed: In some prompts titles are of all shapes.
    """

    def __init__(self, draw: Random, mixed: bool = False) -> None:
        self._draw = draw
        self._mixed = mixed and draw.random() < MIXED
        self._attributes: dict[str, str] = {}
        self._items: dict[Item, Item] = {}
        self._compound_genres = draw.random() < COMPOUND_GENRES
        self._years = draw.random() < YEARS
        self._articles = draw.random() < ARTICLES
        self._title_words = draw.choice(TITLE_WORDS)
        era_word = random_word(draw)
        self._era_style = draw.choice(("", DECADE, DECADE, era_word))
        self._first_decade = draw.randint(190, 197)  # 195: the 1950s

    def item(self, old: Item) -> Item:
        """The item with a fresh title and fresh attributes."""
        if old not in self._items:
            title = self._title()
            attributes = []
            for attribute in old.attributes:
                if self._era_style or not _is_era(attribute):
                    attributes.append(self._attribute(attribute))
            self._items[old] = Item(title, tuple(attributes))
        return self._items[old]

    def chain(self, old: Chain) -> Chain:
        """The chain between the renamed items, with the same ratings."""
        first = self.item(old.item1)
        second = self.item(old.item2)
        return old._replace(item1=first, item2=second)

    def _attribute(self, old: str) -> str:
        if old not in self._attributes:
            if _is_era(old):
                name = self._era(int(old[1:]))
            else:
                name = self._genre()
            self._attributes[old] = name
        return self._attributes[old]

    def _era(self, number: int) -> str:
        """For example "1950s", or "Glacier3" where eras have a word of their own."""
        if self._era_style == DECADE:
            return f"{self._first_decade + number}0s"
        return f"{self._era_style}{number}"

    def _genre(self) -> str:
        """For example "Glacier" or "Glacier & Orchard"."""
        name = random_word(self._draw)
        while name in self._attributes.values():
            name = random_word(self._draw)
        if self._compound_genres and self._draw.random() < COMPOUND_GENRES:
            separator = self._draw.choice(("-", " ", " & "))
            return name + separator + random_word(self._draw)
        return name

    def _title(self) -> str:
        """For example "The Silent Orchard (1974)"."""
        draw = self._draw
        if self._mixed:
            title = mixed_title(draw)
        else:
            length = draw.randint(1, self._title_words)
            title = " ".join(random_word(draw) for _ in range(length))
        if self._articles and draw.random() < 0.5:
            title = f"The {title}"
        if self._years:
            title = f"{title} ({draw.randint(1920, 2020)})"
        return title


def _is_era(attribute: str) -> bool:
    """Whether an attribute is an era "d<n>", not a genre "g<n>"."""
    return attribute.startswith("d")
