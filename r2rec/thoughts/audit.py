"""The audit: which traces keep the paper's four rules (3.2.2, A.1), whoever wrote them.

`reading` turns a thought into steps without data texts, `statements` holds what is said in the template teacher's
form against the case, `hops` follows the ratings of a chain, `claims` has what free text says besides, and `rules` the
rest. Of free text, the words that people use for a thing are read: common ones, for no list of phrasings is complete.

- *malformed*: no numbered steps, a step that says nothing, a thought tag inside the thought.
- *progressive*: steps count 1, 2, 3, ...; none points ahead, or comes before a statement that it rests on.
- *masked*: hops are read in order: the user on item 1, the neighbour on it, item 2. In a RatingCase item 2 needs a
  later step than the neighbour on item 1; where many chains are read, text order inside a step does. Chains come
  by number, candidates after them, a rating not before its hop. A trait of both items gives nothing away.
- *leak*: the answer told, not reached: "correct answer", "as told", a rating of item 2 by the user, their opinion
  before what it would rest on, a predicted or unexplained digit equal to the answer, "Ranking:" inside a thought, the
  positive named, in any case or by its place, before the others are weighed.
- *inconsistent*: the answer is not the truth, the last step concludes otherwise, or a rating, count or chain that is
  cited is not the case's own; nor is a name in quotation marks or beside a rating, a common genre, or a decade.
"""

from collections.abc import Sequence

from r2rec.prompts.answer import parse_ranking, parse_rating
from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.thoughts import claims, rules
from r2rec.thoughts.hops import in_order
from r2rec.thoughts.reading import read_thought

RULES = ("malformed", "progressive", "masked", "leak", "inconsistent")


def audit(case: RankingCase | RatingCase, thought: str, answer: str, truth: str) -> list[str]:
    """Why a trace is turned down, each reason led by its rule's name; [] accepts it.

    Args:
        truth: What the user did: the positive's label, or the rating of item 2 as a digit.
    """
    trace = read_thought(case, thought)
    if broken := list(rules.malformed(trace, thought)):
        return broken
    found = [
        rules.steps(trace),
        rules.statements(trace),
        claims.names(trace, case),
        claims.attributes(trace, case),
    ]
    if isinstance(case, RatingCase):
        found += [
            in_order(trace, 0, len(trace.text), case.chain, 1, truth),
            rules.verdict(trace, truth),
        ]
        found += [rules.foretold(trace, case)]
        right = parse_rating(answer, reasoned=False) == int(truth)
    else:
        order = parse_ranking(answer, len(case.candidates), reasoned=False).labels
        found += [
            rules.chains(trace, case),
            rules.candidates(trace, case, truth),
            rules.choice_rule(trace, case, order),
        ]
        found += [claims.check_ratings(trace, case)]
        right = order[:1] == (truth,)
    wrong = [] if right else [f"inconsistent: the answer is not {truth}, or cannot be read"]
    return list(dict.fromkeys(reason for rule in (*found, wrong) for reason in rule))


def rates(reasons: Sequence[Sequence[str]]) -> dict[str, float]:
    """Share of traces accepted, and share that break each rule at least once; zeros where there are no traces."""
    count = max(len(reasons), 1)
    broken = [{reason.partition(":")[0] for reason in trace} for trace in reasons]
    return {"accepted": sum(not b for b in broken) / count} | {
        r: sum(r in b for b in broken) / count for r in RULES
    }
