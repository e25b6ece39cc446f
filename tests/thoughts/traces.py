"""Cases and traces for the tests of the audit."""

from r2rec.prompts.cases import Chain, Item, RankingCase, RatingCase
from r2rec.thoughts.audit import audit

HEAT = Item("Heat (1995)", ("Action", "Crime", "1990s"))
JAWS = Item("Jaws (1975)", ("Horror", "Action", "1970s"))
ALIEN = Item("Alien (1979)", ("Horror", "Sci-Fi", "1970s"))
BRAZIL = Item("Brazil (1985)", ("Comedy", "Sci-Fi", "1980s"))
CLUE = Item("Clue (1985)", ("Comedy", "Crime", "1980s"))
BABE = Item("Babe (1995)", ("Family", "Comedy", "1990s"))
UP = Item("Up (2009)", ("Family", "Drama", "2000s"))
RATING = RatingCase("female, 25-34, writer", Chain(HEAT, 5, 4, 3, JAWS, None))
RANKING = RankingCase(
    "male, 18-24, farmer",
    (HEAT,),
    (Chain(CLUE, 4, 5, 2, ALIEN, 1), Chain(HEAT, 5, 3, 4, BRAZIL, 4)),
    (UP, JAWS, BABE),
)


def rules(case, thought, answer, truth):
    return {reason.partition(":")[0] for reason in audit(case, thought, answer, truth)}


def steps(*texts):
    return "\n".join(f"Step {n}: {text}" for n, text in enumerate(texts, 1))


# A RatingCase in the words of a language model. The neighbour rates lower than the user: 4.
TOLD = [
    'The user rated "Heat (1995)" 5 out of 5, so action and crime appeal to them.',
    "Neighbour 1 rated the same movie 4. Both are fond of it, so the neighbour is a fair guide.",
    'Neighbour 1 then rated "Jaws (1975)" 3, which is neutral; it is an action movie too, though '
    "a horror one.",
    "The user rates about 1 point above the neighbour, so I expect them to have liked it, if less "
    "than Heat.",
]
# A RankingCase in the words of a language model: C.
CHOSEN = [
    "The user lately liked Heat, a crime movie of the 1990s.",
    'Chain 1: the user rated "Clue (1985)" 4 and neighbour 1 gave it 5; neighbour 1 rated Alien a '
    "2, and the user 1.",
    "Chain 2: the user rated Heat 5, neighbour 2 rated it 3. Neighbour 2 gave Brazil 4 stars, and "
    "the user 4 as well.",
    "Taken together the user likes comedy and crime, and avoids horror.",
    "Candidate A shares nothing; B is horror, which is a bad sign; C is a comedy of the 1990s.",
    "So C comes first, then A, then B.",
]
