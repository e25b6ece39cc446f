"""Names for worlds that don't exist: every prompt gets its own, so that reading is learned and not the words.

With names shared by the prompts of a world, a small model learns those words by heart and copies no others.
"""

from importlib.resources import files
from random import Random

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase

WORDS = files("r2rec.llm").joinpath("words.txt").read_text().split()
ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sp st str t th tr v w y z".split()
VOWELS = "a ai e ea ee i ie o oa oo ou u".split()
CODAS = ["", *"l m n nd ng nt r rd rn s st t ck x".split()]


def word(draw: Random) -> str:
    """A real word or a made-up one, capitalised."""
    if draw.random() < 0.75:
        return draw.choice(WORDS).capitalize()
    parts = [draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(draw.randint(1, 2))]
    return ("".join(parts) + draw.choice(CODAS)).capitalize()


def renamed(case: RankingCase | RatingCase, draw: Random) -> RankingCase | RatingCase:
    """The same case under fresh names: titles of a shape of their own, traits "g<n>" as genres, "d<n>" as eras."""
    traits: dict[str, str] = {}
    shelf: dict[Item, Item] = {}
    compound, year, article, longest = (
        draw.random() < 0.4,
        draw.random() < 0.4,
        draw.random() < 0.3,
        draw.choice((1, 2, 2, 4)),
    )
    era, first = draw.choice(("", "decade", "decade", word(draw))), draw.randint(190, 197)

    def trait(old: str) -> str:
        if old not in traits:
            traits[old] = (
                (f"{first + int(old[1:])}0s" if era == "decade" else era + old[1:])
                if old[0] == "d"
                else genre()
            )
        return traits[old]

    def genre() -> str:
        while (name := word(draw)) in traits.values():
            pass
        return (
            f"{name}{draw.choice(('-', ' ', ' & '))}{word(draw)}"
            if compound and draw.random() < 0.4
            else name
        )

    def title() -> str:
        words = " ".join(word(draw) for _ in range(draw.randint(1, longest)))
        text = f"The {words}" if article and draw.random() < 0.5 else words
        return f"{text} ({draw.randint(1920, 2020)})" if year else text

    def item(old: Item) -> Item:
        if old not in shelf:
            shelf[old] = Item(
                title(), tuple(trait(a) for a in old.attributes if era or a[0] != "d")
            )
        return shelf[old]

    def chain(old: Chain) -> Chain:
        return old._replace(item1=item(old.item1), item2=item(old.item2))

    profile = ", ".join(word(draw).lower() for _ in range(3)) if draw.random() < 0.7 else None
    if isinstance(case, RatingCase):
        return RatingCase(profile, chain(case.chain))
    return RankingCase(
        profile,
        tuple(map(item, case.history)),
        tuple(map(chain, case.chains)),
        tuple(map(item, case.candidates)),
    )
