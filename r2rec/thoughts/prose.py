"""The `template` teacher in whole sentences, for prompts in prose (`prompt=llm`).

It reads and concludes as `template` does; only the words are others, and counts are left out.
"""

from r2rec.base.words import enumeration
from r2rec.prompts.cases import Chain, RankingCase
from r2rec.prompts.render import title
from r2rec.thoughts import taste

OPINION = {1: "and liked it", 0: "and neither liked nor disliked it", -1: "and disliked it"}
NAMED = 4  # traits of the user's taste that a step names, at most


def history_step(case: RankingCase) -> str:
    """What the user liked lately."""
    return f"The user recently liked {enumeration([title(item) for item in case.history])}."


def chain_step(n: int, chain: Chain, masked: bool) -> str:
    """Chain n hop by hop: the user, the neighbour, the second item, the user.

    Args:
        masked: False: the second item comes before what leads to it.
    """
    second = title(chain.item2)
    user = f"the user {_gave_first(chain)}"
    neighbour = f"Neighbour {n} {_gave_it(chain)}"
    on = f"gave {second} a {chain.rating_v2:g}"
    end = ""
    if chain.rating_u2 is not None:
        opinion = OPINION[taste.sign(chain.rating_u2)]
        end = f" The user gave {second} a {chain.rating_u2:g} {opinion}."
    if masked:
        return f"In chain {n} {user}. {neighbour} Neighbour {n} then {on}.{end}"
    return f"At the end of chain {n} neighbour {n} {on}.{end} Before that {user}. {neighbour}"


def rating_steps(chain: Chain) -> list[str]:
    """The three known ratings of a chain whose last one is asked for, hop by hop."""
    shared = enumeration(taste.shared_traits(chain)) or "nothing"
    return [
        f"The user {_gave_first(chain)}.",
        f"Neighbour 1 {_gave_it(chain)}",
        f"Neighbour 1 gave {title(chain.item2)} a {chain.rating_v2:g}. It shares {shared} with "
        f"{title(chain.item1)}.",
    ]


def _gave_first(chain: Chain) -> str:
    rating = chain.rating_u1
    return f"gave {title(chain.item1)} a {rating:g} {OPINION[taste.sign(rating)]}"


def _gave_it(chain: Chain) -> str:
    agrees = taste.tastes_agree(chain)
    lesson = "agrees, so their taste is a guide" if agrees else "differs, so it is a weak guide"
    return f"gave it a {chain.rating_v1:g} and {lesson}."


def taste_step(case: RankingCase) -> str:
    """What the history and the chains add up to."""
    sums: dict[str, int] = {}
    for counted in taste.running(taste.verdicts(case)):
        sums.update(counted)
    favoured = sorted((trait for trait in sums if sums[trait]), key=lambda trait: -sums[trait])
    if not favoured:
        return "Nothing read so far says what this user likes."
    return f"Taken together, this speaks most for {enumeration(favoured[:NAMED])}."


def last_steps(support: dict[str, taste.Counted], best: list[str], first: str | None) -> list[str]:
    """The last steps: what the best candidates share with the user's taste, and which is first.

    Args:
        support: As `taste.support` gives it.
        best: Labels of the best candidates, in order.
        first: The one that comes first; None: none has support.
    """
    if first is None:
        return ["No candidate shares anything with what the user liked."]
    others = [label for label in support if label not in best]
    shared = []
    for label in best + others[: max(0, 2 - len(best))]:  # one alone would not be weighed
        traits = [trait for trait, count in support[label] if count and trait != taste.OTHER]
        common = enumeration(traits) or "little"
        shared.append(f"candidate {label} shares {common} with what the user liked")
    return [
        f"Of the candidates, {enumeration(shared)}.",
        f"So candidate {first} fits this user best and comes first.",
    ]
