"""The rules on steps, chains, candidates and the conclusion: each yields the reasons that it finds."""

import re
from collections.abc import Iterator
from itertools import pairwise

from r2rec.prompts.cases import LABELS, RankingCase, RatingCase
from r2rec.thoughts import evidence
from r2rec.thoughts.hops import PREDICTS, cited, clauses, first_of, in_order
from r2rec.thoughts.reading import Trace, titles
from r2rec.thoughts.statements import mark
from r2rec.thoughts.template import VERDICT

_PHRASES = {
    "progressive": re.compile(  # of what is still to come
        r"\b(?:as|which|what) (?:we|I)(?: will|[’']ll| shall) (?:later )?(?:see|find|show|learn)|\b(?:later|next|"
        r"following|coming|subsequent) steps?\b|\b(?:see|shown|explained|discussed) (?:below|later)\b|"
        r"\bas (?:will|shall) be\b", re.I),
    "leak": re.compile(  # of someone who was told the answer
        r"\b(?:correct|true|given|actual|known|right|real|final) answer\b|\b(?:correct|true|actual) (?:rating|score|"
        r"label|choice)\b|\b(?:the|my) answer (?:is|was|must|should)\b|\bground[ -]truth\b|\bheld[ -]out\b|\branking:|"
        r"(?:^|[.;*:]\s*)(?:(?:final|predicted|expected) )?(?:rating|ranking)\W{0,4}[:=]|\bactually (?:chose|picked)\b|"
        r"\bthe positive(?=[.,:;)]| (?:is|item|candidate|label|one|sample)\b)|"
        r"\bnext (?:choice|pick|purchase) (?:is|was|will)\b|"
        r"\b(?:as|I was|I am|we (?:are|were)) told\b(?! (?:in|by|above)\b)|"
        r"\b(?:knowing|aware|(?:I|we) know)(?: that| of)?(?: the| its| their)?(?: \w+)? (?:outcome|answer|truth)\b",
        re.I | re.M),
}  # fmt: skip
_FORETOLD = re.compile(  # of what the user did after all, before it is concluded
    r"\bin the end,? (?:they|he|she|(?:the )?user)\b|"
    r"\buser (?:then |later )?(?:went on to|end(?:s|ed) up|eventually|ultimately)\b", re.I
)  # fmt: skip
_AHEAD = re.compile(r"\b(?:it|this one|that one|the next)\b", re.I)  # what is not named yet
_PERSON = re.compile(r"\b(?:user|they|them|he|she)\b", re.I)
_OPEN = re.compile(r"\b(?:neighbour|whether|if)\b", re.I)  # another's opinion, or a question
_FIRST = r"\b(?:item 1|first (?:item|movie|film|book|product|title|one))\b"
_MENTION = re.compile(
    r"\b(step|chain|neighbour)(?:\s++#?(\d{1,3})|s\s++(\d{1,3}(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,3})*+))",
    re.I,
)
_LABEL = re.compile(  # A and I are words as well: they count where a label would stand; so do letters in lower case
    r"\b(?:candidate|label|option)s?\s++[(\"“'‘*]*+([A-Zb-hj-z])\b(?!['’])|(?<![\w\n])\(([a-z])\)|"
    r"(?<![\w'’.&/-])(?:([B-HJ-Z])(?![\w'’&/]|\.\w|-\w)|([AI])(?=\s*+"
    r"(?:[>,:;)=.!?(–—]|-(?!\w)|-?\d|$|(?:is|has|and|or|over|fits|matches|ranks|comes|stands|leads|meets|shares)\b)))"
)
_POINT = re.compile(r"(?<!\w)\(([a-z])\)")
_VERDICT = re.compile(  # like, neutral, dislike
    r"\b(?:(lik(?:ed|es|ing)|(?:(?<=to )|(?<=l[dl] )|(?<=n['’o]t )|(?<=ly ))like|enjoy\w*|love[ds]?|favou?rabl[ey]|"
    r"(?:top|full|perfect|maximum|highest) (?:marks|score|rating)|thrilled|delighted|ador\w+|"
    r"pleased|positive(?:ly)?|appreciat\w*|satisfied|above[ -]average|high(?:ly)? (?:rating|score|rated)|"
    r"(?:rated?|score|think) (?:\w+ )?highly)|(neutral\w*|lukewarm|mixed|average|indifferen\w*|middling|mediocre|"
    r"ambivalent|moderate(?:ly)?|so-so|okay)|(dislik\w*|hate[ds]?|negative(?:ly)?|unfavou?rabl[ey]|disappoint\w*|"
    r"(?:lowest|minimum|bottom) (?:marks|score|rating)|displeased|dissatisf\w*|"
    r"poor(?:ly)?|low (?:rating|score)|unimpressed|averse|below[ -]average))\b", re.I
)  # fmt: skip
_NOT = re.compile(r"(?:\b(?:not|never|unlikely|hardly|neither|no)|n[’']t) (?:[\w-]+ ){0,3}$", re.I)


def malformed(trace: Trace, thought: str) -> Iterator[str]:
    """No numbered steps, an empty one, or a thought tag."""
    if not trace.numbers:
        yield "malformed: no numbered steps"
    if re.search(r"</?think>", thought):
        yield "malformed: a thought tag inside the thought"
    for number, step in zip(trace.numbers, trace.steps[1:], strict=True):
        if not any(map(str.isalnum, step)):
            yield f"malformed: step {number} says nothing"


def steps(trace: Trace) -> Iterator[str]:
    """Steps count up, and point at earlier ones alone; no word gives away what is still to come."""
    if trace.numbers != list(range(1, len(trace.numbers) + 1)):
        yield f"progressive: steps are numbered {', '.join(map(str, trace.numbers[:30]))}"
    for word, at, n in mentions(trace.text):
        if word == "step" and n > trace.at(at):
            yield f"progressive: step {trace.at(at)} points ahead to step {n}"
    for rule, pattern in _PHRASES.items():
        if found := pattern.search(trace.text):
            words = found[0].strip(".;*: \n")
            yield f'{rule}: step {trace.at(found.start())} says "{words}"'


def statements(trace: Trace) -> Iterator[str]:
    """Statements in the template's form are the case's own, and come after those that they rest on."""
    made = [(n, statement) for n, statement in enumerate(trace.statements) if statement]
    for n, statement in made:
        if statement.plain is None:
            yield f'inconsistent: step {n}, "{trace.steps[n][:60]}", is not what the case says'
    for (m, before), (n, after) in pairwise(made):
        if after.stage < before.stage:
            yield f"progressive: step {m} rests on step {n}"


def chains(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Chains come by number, with no title of one before its turn; each is read hop by hop where it first comes up."""
    first, count, never = first_mentions(trace), len(case.chains), len(trace.text)
    for n, at in first.items():
        if not 1 <= n <= count:
            yield f"inconsistent: step {trace.at(at)} cites chain {n} of {count}"
        elif n > 1 and first.get(n - 1, never) > at:
            yield f"masked: step {trace.at(at)} has chain {n} before chain {n - 1}"
    for at, place in titles(trace.text):
        n = (place + 1) // 2
        if 1 <= n <= count and first.get(n, never) >= trace.end(at):
            yield f"masked: step {trace.at(at)} has a title of chain {n} before its turn"
    for n, at, end in stretches(trace, case):
        yield from in_order(trace, at, end, case.chains[n - 1], n)


def stretches(trace: Trace, case: RankingCase) -> Iterator[tuple[int, int, int]]:
    """Where each chain is read: its number, begin and end; none for chains that are only mentioned together."""
    first = first_mentions(trace)
    sentence = {
        at: max(trace.text.rfind(stop, 0, at) for stop in (". ", "\n")) + 1 for at in first.values()
    }
    begin = {
        n: at if trace.text.startswith("chain", at) else sentence[at] for n, at in first.items()
    }
    for n, at in begin.items():
        if 1 <= n <= len(case.chains) and list(first.values()).count(first[n]) == 1:
            yield n, at, min([trace.end(first[n]), *(b for b in begin.values() if b > at)])


def candidates(trace: Trace, case: RankingCase, truth: str) -> Iterator[str]:
    """Candidates come after the chains; before the last step, the positive is not named first and alone."""
    read = first_mentions(trace).get(len(case.chains), len(trace.text)) if case.chains else 0
    found = named_candidates(trace.text, case)
    early = [label for at, label in found if at < read]
    if early:
        yield f"masked: step {trace.at(found[0][0])} names candidate {early[0]} before the chains are read"
    if truth in early:
        yield f"leak: the positive, {truth}, is named before the chains are read"
    step = trace.at(found[0][0]) if found else 0
    alone = {label for at, label in found if trace.at(at) == step} == {truth}
    if alone and step < len(trace.numbers) and truth != LABELS[0] and len(case.candidates) > 1:
        yield f"leak: step {step} singles out the positive, {truth}, before other candidates are weighed"


def choice_rule(trace: Trace, case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """The last step names first what the answer does."""
    labels = [label for _, label in named_candidates(trace.text[trace.starts[-1] :], case)]
    if not order or labels[:1] != [order[0]]:
        yield f"inconsistent: the last step names {labels[0] if labels else 'no candidate'} first, unlike the answer"


def verdict(trace: Trace, truth: str) -> Iterator[str]:
    """The last step's verdict is the answer's: the first one after "expect" and the like, else the last one."""
    last = trace.text[trace.starts[-1] :]
    cue = max((m.start() for m in PREDICTS.finditer(last)), default=len(last))
    found = list(_verdicts(last))
    said = next((sign for at, sign in found if at >= cue), found[-1][1] if found else None)
    if said is None:
        yield "inconsistent: the last step comes to no verdict"
    elif said != evidence.sign(int(truth)):
        yield f"inconsistent: the last step expects {VERDICT[said][0]}, and the answer is {truth}"


def foretold(trace: Trace, case: RatingCase) -> Iterator[str]:
    """What the user made of item 2 is not told before it is concluded, nor any taste of theirs before item 1 is read.

    While item 2 is still to be read, an opinion to come is on item 1 or its traits by name: "it" would be item 2.
    """
    text, last = trace.text, len(trace.numbers)
    for found in _FORETOLD.finditer(text):
        if (step := trace.at(found.start())) < last:
            yield f'leak: step {step} says "{found[0]}"'
    item1, item2 = (
        f"[{mark(n)}{mark(n, is_title=1)}]|{words}" for n, words in ((1, _FIRST), (2, "item 2"))
    )
    second, begun = first_of(text, item2), False
    for at, clause in clauses(text):
        step, on_item1 = trace.at(at + len(clause)), re.search(item1, clause) or cited(clause)
        if at + len(clause) > second or step == last:
            return
        begun = begun or bool(on_item1)
        ahead = PREDICTS.search(clause) and _AHEAD.search(clause) and not on_item1
        opinion = _PERSON.search(clause) and not _OPEN.search(clause) and any(_verdicts(clause))
        if opinion and (ahead or not begun):
            yield f"leak: step {step} has the user's opinion before what it would rest on"


def _verdicts(text: str) -> Iterator[tuple[int, int]]:
    """Where a verdict stands, and its sign. "Not liked" is a dislike; other denials say what is not: no verdict."""
    for word in _VERDICT.finditer(text):
        sign = 2 - (word.lastindex or 2)
        denied = _NOT.search(text[max(0, word.start() - 60) : word.start()])
        if sign == 1 or not denied:
            yield word.start(), -1 if denied else sign


def mentions(text: str) -> Iterator[tuple[str, int, int]]:
    """What is mentioned by number: "chain 2", "steps 1, 3 and 4" or "steps 1-5"."""
    for found in _MENTION.finditer(text):
        numbers = [int(n) for n in re.findall(r"\d+", found[2] or found[3])]
        through = re.search(r"\d\s*(?:to|-|–)\s*\d", found[0])
        for n in range(numbers[0], numbers[-1] + 1) if through else numbers:
            yield found[1].lower(), found.start(), n


def first_mentions(trace: Trace) -> dict[int, int]:
    """Chain number -> where it, or its neighbour, is first spoken of."""
    return {n: at for word, at, n in reversed(list(mentions(trace.text))) if word != "step"}


def named_candidates(text: str, case: RankingCase) -> list[tuple[int, str]]:
    """Candidates that a text names, by label or title, in its order."""
    known, first = LABELS[: len(case.candidates)], 2 * len(case.chains) + 1
    found = [(m.start(), m[m.lastindex or 0].upper()) for m in _LABEL.finditer(_unlisted(text))]
    found += [(at, LABELS[place - first]) for at, place in titles(text) if place >= first]
    return sorted((at, label) for at, label in found if label in known)


def _unlisted(text: str) -> str:
    """Without the brackets of lines that count their own points: "(a) ..., (b) ..."."""
    lines = text.split("\n")
    for n, line in enumerate(lines):
        letters = "".join(_POINT.findall(line))
        if len(letters) > 1 and LABELS.lower().startswith(letters):
            lines[n] = _POINT.sub("   ", line)
    return "\n".join(lines)
