"""The audit: which traces keep the paper's four rules (3.2.2, A.1) and are well formed.

`reading` splits a thought into steps and replaces titles by marks, `statements` compares what is
said in the template teacher's form, `hops` follows the ratings of a chain, `claims` checks what
else free text says, and `rules` has the rest. Free text is matched against a word list (`lexicon`)
of common phrasings, which cannot be complete.

- *malformed*: no numbered steps, a step that says nothing, a thought tag inside the thought.
- *progressive*: steps count 1, 2, 3, ...; none points ahead, or comes before a statement that it
  rests on.
- *masked*: hops are read in order: the user on item 1, the neighbour on it, item 2. In a RatingCase
  item 2 needs a later step than the neighbour on item 1; where many chains are read, the order of
  the text inside a step is enough. Chains come by number, candidates after them; no rating is
  stated before its hop. Naming a trait that both items share is not a leak.
- *leak*: the answer is told instead of reached: "correct answer", "as told", a rating of item 2 by
  the user, their opinion before what it would rest on, a predicted or unexplained digit equal to
  the answer, "Ranking:" inside a thought, the positive named, in any case or by its place, before
  the others are weighed.
- *inconsistent*: the answer is not the truth, the last step concludes otherwise, or a rating, count
  or chain that is cited is not the case's own; nor is a name in quotation marks or beside a rating,
  a common genre, or a decade.
"""

from collections.abc import Sequence

from r2rec.prompts.answer import parse_ranking, parse_rating
from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.thoughts import claims, hops, rules, weighed
from r2rec.thoughts.reading import Trace, read_thought

RULES = ("malformed", "progressive", "masked", "leak", "inconsistent")


def audit(case: RankingCase | RatingCase, thought: str, answer: str, truth: str) -> list[str]:
    """Why a trace is rejected, each reason starting with its rule's name; [] accepts it.

    Args:
        truth: What the user did: the positive's label, or the rating of item 2 as a digit.
    """
    trace = read_thought(case, thought)
    malformed = list(rules.malformed(trace, thought))
    if malformed:
        return malformed
    reasons = [
        *rules.check_steps(trace),
        *rules.check_statements(trace),
        *claims.check_names(trace, case),
        *claims.check_attributes(trace, case),
    ]
    if isinstance(case, RatingCase):
        reasons += _rating_reasons(trace, case, answer, truth)
    else:
        reasons += _ranking_reasons(trace, case, answer, truth)
    return list(dict.fromkeys(reasons))


def _rating_reasons(trace: Trace, case: RatingCase, answer: str, truth: str) -> list[str]:
    """What is wrong with a trace about one chain."""
    reasons = [
        *hops.check_hops(trace, 0, len(trace.text), case, 1, hidden=truth),
        *rules.check_verdict(trace, truth),
        *rules.foretold(trace, case),
    ]
    if parse_rating(answer, reasoned=False) != int(truth):
        reasons.append(_wrong_answer(truth))
    return reasons


def _ranking_reasons(trace: Trace, case: RankingCase, answer: str, truth: str) -> list[str]:
    """What is wrong with a trace that ranks candidates."""
    order = parse_ranking(answer, len(case.candidates), reasoned=False).labels
    if case.evidence:
        reasons = [
            *weighed.check_weighing(trace, case, order),
            *weighed.check_lead(trace, case, truth),
            *rules.check_choice(trace, case, order),
        ]
        if order[:1] != (truth,):
            reasons.append(_wrong_answer(truth))
        return reasons
    reasons = [
        *rules.check_chains(trace, case),
        *rules.check_candidates(trace, case, truth),
        *rules.check_choice(trace, case, order),
        *claims.check_ratings(trace, case),
    ]
    if order[:1] != (truth,):
        reasons.append(_wrong_answer(truth))
    return reasons


def _wrong_answer(truth: str) -> str:
    return f"inconsistent: the answer is not {truth}, or cannot be read"


def broken_rules(reasons: Sequence[str]) -> list[str]:
    """The rules that these reasons name, each once, in their order."""
    return list(dict.fromkeys(reason.partition(":")[0] for reason in reasons))


def rates(reasons: Sequence[Sequence[str]]) -> dict[str, float]:
    """Shares of traces: accepted, and breaking each rule at least once. Zeros without traces.

    Args:
        reasons: Of each trace, as `audit` gives them.
    """
    broken = [broken_rules(of_trace) for of_trace in reasons]
    count = max(len(broken), 1)
    shares = {"accepted": broken.count([]) / count}
    for rule in RULES:
        shares[rule] = sum(rule in of_trace for of_trace in broken) / count
    return shares
