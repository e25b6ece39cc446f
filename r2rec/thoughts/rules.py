"""The rules on steps, chains, candidates and the conclusion: each yields the reasons that it finds."""

import re
from collections.abc import Iterator
from itertools import pairwise

from r2rec.prompts.cases import LABELS, RankingCase
from r2rec.thoughts import evidence
from r2rec.thoughts.hops import PREDICTS, in_order
from r2rec.thoughts.reading import DATA, Trace, place
from r2rec.thoughts.template import VERDICT

_AHEAD = re.compile(
    r"\b(?:as|which|what) (?:we|I)(?: will|[’']ll| shall) (?:later )?(?:see|find|show|learn)|\b(?:later|next|following|"
    r"coming|subsequent) steps?\b|\b(?:see|shown|explained|discussed) (?:below|later)\b|\bas (?:will|shall) be\b", re.I
)  # fmt: skip
_MENTION = re.compile(
    r"\b(step|chain|neighbour)(?:\s++#?(\d{1,3})|s\s++(\d{1,3}(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,3})*+))", re.I
)
_LABEL = re.compile(  # A and I are words as well: they count where a label would stand
    r"\b(?:candidate|label|option)s?\s++\(?([A-Z])\b|(?<![\w'’.&/-])(?:([B-HJ-Z])(?![\w'’&/]|\.\w|-\w)|([AI])(?=\s*+"
    r"(?:[>,:;)=.!?(–—]|-(?!\w)|-?\d|$|(?:is|has|and|or|over|fits|matches|ranks|comes|stands|leads|meets|shares)\b)))"
)
_TOLD = re.compile(
    r"\b(?:correct|true|given|actual|known|right|real) (?:final )?answer\b|\b(?:correct|true|actual) (?:rating|score|"
    r"label|choice)\b|\bfinal answer\b|\b(?:the|my) answer (?:is|was|must|should)\b|\bground[ -]truth\b|\branking:|"
    r"(?:^|[.;*:]\s*)(?:(?:final|predicted|expected) )?(?:rating|ranking)\W{0,4}[:=]|\bheld[ -]out\b|"
    r"\bthe positive(?=[.,:;)]| (?:is|item|candidate|label|one|sample)\b)|\bactually (?:chose|picked)\b|"
    r"\bnext (?:choice|pick|purchase) (?:is|was|will)\b", re.I | re.M
)  # fmt: skip
_WILL = "|".join(f"(?<={word} )" for word in ("to", "would", "will", "not", "n't", "probably", "might", "also"))
_VERDICT = re.compile(
    rf"\b(?:(?P<like>lik(?:ed|es|ing)|(?:{_WILL})like|enjoy\w*|lov(?:e|ed|es)|favou?rabl[ey]|positive(?:ly)?|appreciat\w*|"
    r"pleased|satisfied|above[ -]average|high(?:ly)? (?:rating|score|rated)|(?:rated?|score|think) (?:\w+ )?highly)|"
    r"(?P<dislike>dislik\w*|hate[ds]?|negative(?:ly)?|unfavou?rabl[ey]|disappoint\w*|displeased|dissatisf\w*|poor(?:ly)?|"
    r"low (?:rating|score)|unimpressed|averse|below[ -]average)|(?P<neutral>neutral\w*|lukewarm|mixed|average|"
    r"indifferen\w*|middling|mediocre|ambivalent|moderate(?:ly)?|so-so|okay))\b", re.I
)  # fmt: skip
_NOT = re.compile(r"(?:\b(?:not|never|unlikely|hardly|neither|no)|n[’']t) (?:[\w-]+ ){0,3}$", re.I)
_MEANS = {"like": 1, "neutral": 0, "dislike": -1}


def malformed(trace: Trace, thought: str) -> Iterator[str]:
    """No numbered steps, an empty one, or a thought tag."""
    if not trace.numbers:
        yield "malformed: no numbered steps"
    if re.search(r"</?think>", thought):
        yield "malformed: a thought tag inside the thought"
    for number, step in zip(trace.numbers, trace.steps[1:], strict=True):
        if not any(map(str.isalnum, step)):
            yield f"malformed: step {number} says nothing"


def progressive(trace: Trace) -> Iterator[str]:
    """Steps count up, and rest on earlier ones alone."""
    if trace.numbers != list(range(1, len(trace.numbers) + 1)):
        yield f"progressive: steps are numbered {', '.join(map(str, trace.numbers[:30]))}"
    for at, n in _mentions(trace, "step"):
        if n > trace.at(at):
            yield f"progressive: step {trace.at(at)} points ahead to step {n}"
    if ahead := _AHEAD.search(trace.text):
        yield f'progressive: step {trace.at(ahead.start())} points ahead: "{ahead[0]}"'
    stages = [(n, statement.stage) for n, statement in enumerate(trace.statements) if statement]
    for (m, before), (n, after) in pairwise(stages):
        if after < before:
            yield f"progressive: step {m} rests on step {n}"


def told(trace: Trace) -> Iterator[str]:
    """Words of someone who was told the answer."""
    if found := _TOLD.search(trace.text):
        words = found[0].strip(".;*: \n")
        yield f'leak: step {trace.at(found.start())} says "{words}"'


def grounded(trace: Trace) -> Iterator[str]:
    """Statements in the template's form are the case's own."""
    for n, statement in enumerate(trace.statements):
        if statement and statement.plain is None:
            yield f'inconsistent: step {n}, "{trace.steps[n][:60]}", is not what the case says'


def chains(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Chains come by number, with no title of one before its turn; each is read hop by hop where it first comes up."""
    first, count, never = _opened(trace), len(case.chains), len(trace.text)
    for n, at in first.items():
        if not 1 <= n <= count:
            yield f"inconsistent: step {trace.at(at)} cites chain {n} of {count}"
        elif n > 1 and first.get(n - 1, never) > at:
            yield f"masked: step {trace.at(at)} has chain {n} before chain {n - 1}"
    for found in DATA.finditer(trace.text):
        where, is_title = place(found[0])
        n, at = (where + 1) // 2, found.start()
        if is_title and 1 <= n <= count and first.get(n, never) >= trace.end(at):
            yield f"masked: step {trace.at(at)} has a title of chain {n} before its turn"
    begin = {n: at if trace.text.startswith("chain", at) else _sentence(trace, at) for n, at in first.items()}
    for n, at in begin.items():
        if 1 <= n <= count and list(first.values()).count(first[n]) == 1:
            end = min([trace.end(first[n]), *(b for b in begin.values() if b > at)])
            yield from in_order(trace, at, end, case.chains[n - 1], n)


def candidates(trace: Trace, case: RankingCase, truth: str) -> Iterator[str]:
    """Candidates come after the chains; before the last step, the positive is not named first and alone."""
    read = _opened(trace).get(len(case.chains), len(trace.text)) if case.chains else 0
    named = _named(trace.text, case)
    early = [(at, label) for at, label in named if at < read]
    if early:
        yield f"masked: step {trace.at(early[0][0])} names candidate {early[0][1]} before the chains are read"
    if truth in (label for _, label in early):
        yield f"leak: the positive, {truth}, is named before the chains are read"
    step = trace.at(named[0][0]) if named else 0
    alone = {label for at, label in named if trace.at(at) == step} == {truth}
    if alone and step < len(trace.numbers) and truth != LABELS[0] and len(case.candidates) > 1:
        yield f"leak: step {step} singles out the positive, {truth}, before other candidates are weighed"


def choice(trace: Trace, case: RankingCase, order: tuple[str, ...]) -> Iterator[str]:
    """The last step names first what the answer does."""
    named = [label for _, label in _named(trace.text[trace.starts[-1] :], case)]
    if not order or named[:1] != [order[0]]:
        yield f"inconsistent: the last step names {named[0] if named else 'no candidate'} first, unlike the answer"


def verdict(trace: Trace, truth: str) -> Iterator[str]:
    """The last step's verdict: the first one after "expect" and the like, else the last one."""
    last = trace.text[trace.starts[-1] :]
    cue = max((m.start() for m in PREDICTS.finditer(last)), default=0)
    found = [(m.start(), sign) for m in _VERDICT.finditer(last) if (sign := _meaning(last, m)) is not None]
    said = next((sign for at, sign in found if at >= cue > 0), found[-1][1] if found else None)
    if said is None:
        yield "inconsistent: the last step comes to no verdict"
    elif said != evidence.sign(int(truth)):
        yield f"inconsistent: the last step expects {VERDICT[said][0]}, and the answer is {truth}"


def _meaning(text: str, word: re.Match[str]) -> int | None:
    """The sign of a verdict word. "Not liked" is a dislike; other denials say what is not, and count for nothing."""
    sign = _MEANS[word.lastgroup or ""]
    if _NOT.search(text[max(0, word.start() - 60) : word.start()]):
        return -1 if sign == 1 else None
    return sign


def _mentions(trace: Trace, *words: str) -> Iterator[tuple[int, int]]:
    """Where things are mentioned by number: those of "chain 2", "steps 1, 3 and 4" or "steps 1-5"."""
    for found in _MENTION.finditer(trace.text):
        if found[1].lower() in words:
            numbers = [int(n) for n in re.findall(r"\d+", found[2] or found[3])]
            through = re.search(r"\d\s*(?:to|-|–)\s*\d", found[0])
            yield from ((found.start(), n) for n in (range(numbers[0], numbers[-1] + 1) if through else numbers))


def _opened(trace: Trace) -> dict[int, int]:
    """Chain number -> where it, or its neighbour, is first spoken of."""
    return {n: at for at, n in reversed(list(_mentions(trace, "chain", "neighbour")))}


def _sentence(trace: Trace, at: int) -> int:
    """Where the sentence around a place begins."""
    start = trace.starts[trace.at(at)]
    return max(start, trace.text.rfind(". ", start, at) + 1)


def _named(text: str, case: RankingCase) -> list[tuple[int, str]]:
    """Candidates that a text names, by label or title, in its order."""
    known = LABELS[: len(case.candidates)]
    named = [(m.start(), m[1] or m[2] or m[3]) for m in _LABEL.finditer(text)]
    for found in DATA.finditer(text):
        where, is_title = place(found[0])
        if is_title and where > 2 * len(case.chains):
            named.append((found.start(), LABELS[where - 2 * len(case.chains) - 1]))
    return sorted((at, label) for at, label in named if label in known)
