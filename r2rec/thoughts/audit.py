"""The audit: which traces keep the paper's four rules (3.2.2, A.1), whoever wrote them.

Data texts may read like anything ("Step 3:", "Ranking: B"), so no rule sees them: each title or attribute becomes
one private character that tells where in the case it first stands (`_plain`). Statements in the template teacher's
form are held against the case word for word (`_frames`); of free text, the words people use for it are read.

- *malformed*: no numbered steps, a step that says nothing, a thought tag inside the thought.
- *progressive*: steps count 1, 2, 3, ...; none points ahead, or comes before a statement that it rests on.
- *masked*: hops are read in order: the user on item 1, the neighbour on it, item 2. In a RatingCase item 2 needs a
  later step than the neighbour on item 1; where many chains are read, text order inside a step does. Chains come
  by number, candidates after them, a rating not before its hop. A trait of both items gives nothing away.
- *leak*: the answer told, not reached: "correct answer", a rating of item 2 by the user, a predicted or unexplained
  digit equal to the answer, "Ranking:" inside a thought, the positive named before the others are weighed.
- *inconsistent*: the answer is not the truth, the last step concludes otherwise, or a rating, count, attribute or
  chain that is cited is not the case's own.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from r2rec.prompts.answer import parse_ranking, parse_rating
from r2rec.prompts.cases import LABELS, Chain, Item, RankingCase, RatingCase
from r2rec.prompts.render import clean
from r2rec.thoughts import evidence
from r2rec.thoughts.template import AGREES, VERDICT

RULES = ("malformed", "progressive", "masked", "leak", "inconsistent")
COMMON = frozenset(re.findall(r"\w+", """
    the this that its her his our you who what and but for with not are was one two three four five first second
    third last next final step chain hop user users target neighbour neighbor rating ratings rated rate rank ranking
    answer candidate candidates item items liked like enjoyed loved disliked neutral lukewarm agrees differs then gave
    tastes best supported strongest taken together expect correct true positive shares nothing guide
"""))  # fmt: skip
"""Words a thought may use for itself: data texts made of nothing else are taken out in quotation marks alone."""

_FIRST = 0xF0000  # private characters from here on: twice the place, one more for a title
_DATA = re.compile("[\U000f0000-\U0010fffd]")
_STEP = re.compile(
    r"^[ \t>#*_+•-]*+(?:step[ \t]++(\d{1,3})[*_]*+[ \t]*+[:.)–—-]|(\d{1,3})[.)](?![^\s*_]))", re.I | re.M
)
_AHEAD = re.compile(
    r"\b(?:as|which|what) (?:we|I)(?: will|[’']ll| shall) (?:later )?(?:see|find|show|learn)|\b(?:later|next|following|"
    r"coming|subsequent) steps?\b|\b(?:see|shown|explained|discussed) (?:below|later)\b|\bas (?:will|shall) be\b", re.I
)  # fmt: skip
_STEPS = re.compile(r"\bsteps?\s++(\d{1,3}(?:\s*+(?:,|and|&|to|-|–)\s*+(?:step )?\d{1,3})*+)", re.I)
_CHAINS = re.compile(r"\b(?:chain|neighbour)s?\s++#?(\d{1,3}(?:\s*+(?:,|and|&|to|-|–)\s*+\d{1,3})*+)", re.I)
_TIDY = (  # free wording -> the words that the rules know
    *((re.compile(rf"\b{w} (chain|neighbou?r)\b", re.I), rf"\1 {n}")
      for n, w in enumerate(("first", "second", "third", "fourth", "fifth"), 1)),
    (re.compile(r"\bchain", re.I), "chain"),
    (re.compile(r"\bneighbou?r|\b(?:other|another|second|similar|like-minded) (?:user|viewer|reader)", re.I), "neighbour"),
    (re.compile(r"\b(?:target )?(?:users?|viewer|reader|customer|buyer)\b", re.I), "user"),
    (re.compile(r"(?: ?/ ?| out of )(?:5|five)\b|\b(?:1|one) ?(?:-|–|to) ?(?:5|five)\b|\b(?:5|five)-point", re.I), ""),
    *((re.compile(rf"(?:(?<=\ba )|(?<=\bof )|(?<=\bit )){w}(?=[.,;)]|$)|\b{w}(?=[ -]stars?\b)", re.I), str(n))
      for n, w in enumerate(("one", "two", "three", "four", "five"), 1)),
)  # fmt: skip
_NOT_RATING = re.compile(
    r"\b(?:steps?|hops?|chains?|(?<!same )(?<!the )items?|neighbours?|user|candidates?|top|no\.|part|volume|season) ?#?\d+"
    r"|#\d+|\b(?:above|below|over|under|than|midpoint(?: of)?|threshold(?: of)?) 3\b|\b[1-5](?: ?=| means| stands for| (?:full "
    r"|more |shared |common |other )?(?:points?|steps?|genres?|traits?|attributes?|items?|movies?|films?|books?|products?|"
    r"hops?|chains?|users?|neighbours?|people|years?|times?|decades?|reasons?|ratings?|candidates?)\b)", re.I
)  # fmt: skip
_RATING = re.compile(r"(?<![\w.#-])[1-5](?:\.\d+)?(?![\w%]|[.,]\d|-\d)")
_CLAUSE = re.compile(r"[.;,!?](?=\s|$)|\n|\b(?:and|but|while|whereas|so|though|although)\b", re.I)
_PREDICTS = re.compile(r"\b(?:expect|predict|would|will|likely|probably|estimate|should|might|may|conclu)", re.I)
_SECOND = r"\bsecond (?:item|movie|film|book|product|title)|\bitem ?2\b|\bwith the first\b"
_LABEL = re.compile(  # A and I are words as well: they count where a label would stand
    r"\b(?:candidate|label|option)s?\s++\(?([A-Z])\b|(?<![\w'’.&/-])(?:([B-HJ-Z])(?![\w'’&/]|\.\w|-\w)|([AI])(?=\s*+"
    r"(?:[>,:;)=.!?(–—]|-(?!\w)|-?\d|$|(?:is|has|and|or|over|fits|matches|ranks|comes|stands|leads|meets|shares)\b)))"
)
_TOLD = re.compile(
    r"\b(?:correct|true|given|actual|known|right|real) (?:final )?answer\b|\b(?:correct|true|actual) (?:rating|score|label|"
    r"choice)\b|\bfinal answer\b|\b(?:the|my) answer (?:is|was|must|should)\b|\bground[ -]truth\b|(?:^|[.;*:]\s*)(?:(?:final|"
    r"predicted|expected) )?(?:rating|ranking)\W{0,4}[:=]|\branking:|\bthe positive(?=[.,:;)]| (?:is|item|candidate|label|"
    r"one|sample)\b)|\bheld[ -]out\b|\bnext (?:choice|pick|purchase) (?:is|was|will)\b|\bactually (?:chose|picked)\b",
    re.I | re.M,
)  # fmt: skip
_VERDICT = re.compile(
    r"\b(?:(?P<like>lik(?:ed|es|ing)|enjoy\w*|lov(?:e|ed|es)|favou?rabl[ey]|positive(?:ly)?|appreciat\w*|pleased|"
    r"above[ -]average|satisfied|high(?:ly)? (?:rating|score|rated)|(?:rated?|score|think) (?:\w+ )?highly|"
    r"(?:(?<=to )|(?<=would )|(?<=will )|(?<=not ))like)|(?P<dislike>dislik\w*|hate[ds]?|negative(?:ly)?|unfavou?rabl[ey]|"
    r"disappoint\w*|displeased|dissatisf\w*|poor(?:ly)?|low (?:rating|score)|unimpressed|averse|below[ -]average)|"
    r"(?P<neutral>neutral\w*|lukewarm|mixed|average|indifferen\w*|middling|mediocre|ambivalent|moderate(?:ly)?|so-so|okay))\b",
    re.I,
)  # fmt: skip
_NOT = re.compile(r"(?:\b(?:not|never|unlikely|hardly|neither|no)|n[’']t) (?:[\w-]+ ){0,3}$", re.I)
_MEANS = {"like": 1, "neutral": 0, "dislike": -1}


class Frame(NamedTuple):
    """A statement of the template teacher: how its like is recognised, what is right, what rules read instead."""

    stage: int  # statements of a later stage rest on those of earlier ones
    form: re.Pattern[str]
    fact: re.Pattern[str]
    plain: str | None  # None: it holds no data text and is read as it stands


class Trace(NamedTuple):
    case: RankingCase | RatingCase
    numbers: list[int]  # of the steps
    steps: list[str]  # as written; what comes before step 1 stands first, perhaps empty
    frames: list[tuple[Frame, bool] | None]  # of each of `steps`: the form it has, and whether its facts are right
    text: str  # `steps`, data texts taken out, one after the other
    starts: list[int]  # where each begins in `text`

    def at(self, place: int) -> int:
        """The step (0: before the first) at a place in `text`."""
        return bisect_right(self.starts, place) - 1

    def end(self, place: int) -> int:
        """Where the step at a place in `text` ends."""
        step = bisect_right(self.starts, place)
        return self.starts[step] if step < len(self.starts) else len(self.text)


def audit(case: RankingCase | RatingCase, thought: str, answer: str, truth: str) -> list[str]:
    """Why a trace is turned down, each reason led by its rule's name; [] accepts it.

    Args:
        truth: What the user did: the positive's label, or the rating of item 2 as a digit.
    """
    trace = _read(case, thought)
    if broken := list(_malformed(thought, trace)):
        return broken
    found = [_progressive(trace), _told(trace), _grounded(trace)]
    if isinstance(case, RatingCase):
        whole = _ratings(trace, 0, len(trace.text), case.chain, 2, truth)
        found += [_second_item(trace), whole, _verdict(trace, truth)]
        right = parse_rating(answer, reasoned=False) == int(truth)
    else:
        found += [_chains_in_turn(trace, case), _chain_hops(trace, case)]
        found += [_candidates(trace, case, truth), _choice(trace, case, answer)]
        right = parse_ranking(answer, len(case.candidates), reasoned=False).labels[:1] == (truth,)
    wrong = [] if right else [f"inconsistent: the answer is not {truth}, or cannot be read"]
    return list(dict.fromkeys(reason for rule in (*found, wrong) for reason in rule))


def rates(reasons: Sequence[Sequence[str]]) -> dict[str, float]:
    """Share of traces accepted, and share that break each rule at least once; zeros where there are no traces."""
    count = max(len(reasons), 1)
    broken = [{reason.partition(":")[0] for reason in trace} for trace in reasons]
    return {"accepted": sum(not b for b in broken) / count} | {r: sum(r in b for b in broken) / count for r in RULES}


# Reading a trace: its steps, and the case's texts in them.


def _read(case: RankingCase | RatingCase, thought: str) -> Trace:
    """The steps of a thought. Where some lines begin "Step 1:", a line "1." is a list item and no step."""
    thought = _DATA.sub("", thought)
    heads = list(_STEP.finditer(thought))
    heads = [h for h in heads if h[1]] or heads
    ends = [h.start() for h in heads] + [len(thought)]
    steps = [thought[a:b].strip("*_ \t\r\n") for a, b in zip([0] + [h.end() for h in heads], ends, strict=True)]
    known, texts = _frames(case), _texts(case)
    frames = [_frame(step, known) for step in steps]
    plains = [f[0].plain or step if f and f[1] else _plain(step, texts) for step, f in zip(steps, frames, strict=True)]
    starts = list(accumulate((len(p) + 1 for p in plains[:-1]), initial=0))
    return Trace(case, [int(h[1] or h[2]) for h in heads], steps, frames, "\n".join(plains), starts)


def _places(case: RankingCase | RatingCase) -> Iterator[tuple[int, Item]]:
    """Items by where they are read: history 0, chain n 2n - 1 and 2n, then the candidates."""
    if isinstance(case, RatingCase):
        case = RankingCase(None, (), (case.chain,), ())
    yield from ((0, item) for item in case.history)
    yield from enumerate((item for c in case.chains for item in (c.item1, c.item2)), 1)
    yield from enumerate(case.candidates, 2 * len(case.chains) + 1)


def _mark(place: int, is_title: int = 0) -> str:
    return chr(_FIRST + 2 * place + is_title)


def _texts(case: RankingCase | RatingCase) -> dict[str, str]:
    """Data text -> the character of the place where it is first read."""
    marks: dict[str, str] = {}
    for place, item in _places(case):
        traits, title = evidence.traits(item), clean(item.title).removesuffix("...")
        names = dict.fromkeys((title, re.sub(r" \([^()]*\)$", "", title)), 1)
        lower = [t.lower() for t in traits] if item.attributes else []
        for text, is_title in (names | dict.fromkeys((", ".join(traits[:3]), *traits, *lower), 0)).items():
            common = all(len(w) < 3 or w.isdigit() or w in COMMON for w in re.findall(r"\w+", text.casefold()))
            marks.setdefault(f'"{text}"' if common else text, _mark(place, is_title))
    return marks


def _plain(step: str, texts: dict[str, str]) -> str:
    """A step without data texts, in the words that the rules know."""
    step = re.sub(rf"(?<!\w){_one_of(map(re.escape, texts))}(?!\w)", lambda m: texts[m[0]], step)
    for pattern, word in _TIDY:
        step = pattern.sub(word, step)
    return step


# Statements in the template teacher's form: whatever is said in it must be the case's own.


def _one_of(patterns: Iterable[str]) -> str:
    return "(?:" + ("|".join(sorted(patterns, key=len, reverse=True)) or "(?!)") + ")"


def _list(patterns: Iterable[str], join: str = ", ") -> str:
    one = _one_of(patterns)
    return f"{one}(?:{join}{one})*"


_LIKED, _AGREED = (_one_of(w for pair in words.values() for w in pair) for words in (VERDICT, AGREES))
_COUNT = r"[^,;]+ -?\d+"
_COUNTS = rf"(?:-|{_COUNT}(?:, {_COUNT})*)"


def _frame(step: str, known: list[Frame]) -> tuple[Frame, bool] | None:
    if right := next((f for f in known if f.fact.fullmatch(step)), None):
        return right, True
    like = next((f for f in known if f.form.fullmatch(step)), None)
    return (like, False) if like else None


def _frames(case: RankingCase | RatingCase) -> list[Frame]:
    rows = _rating_frames(case.chain) if isinstance(case, RatingCase) else _ranking_frames(case)
    return [Frame(stage, re.compile(form), re.compile(fact), plain) for stage, form, fact, plain in rows]


_Rows = Iterator[tuple[int, str, str, str | None]]


def _rating_frames(c: Chain) -> _Rows:
    same = [re.escape(t) for t in evidence.traits(c.item2) if t in evidence.traits(c.item1)] or ["nothing"]
    guide = "a guide" if _alike(c) else "a weak guide"
    form = rf"(?:(?!\b(?:is|was|are|were|an?|the|this)\b).)* {_LIKED} by the user \([^()]*\)\."
    fact = rf"{_item(c.item1)} {_said(c.rating_u1)} by the user \({c.rating_u1:g}\)\."
    yield 0, form, fact, f"{_mark(1)} by the user ({c.rating_u1:g})."
    form = rf"Neighbour 1 gave it \S+ and {_AGREED}, so their taste is .*\."
    fact = rf"Neighbour 1 gave it {c.rating_v1:g} and {_agreed(c)}, so their taste is {guide}\."
    yield 1, form, fact, f"neighbour gave it {c.rating_v1:g}."
    form = r"Neighbour 1 gave .* a \S+; it shares .* with the first\."
    fact = rf"Neighbour 1 gave {_item(c.item2)} a {c.rating_v2:g}; it shares {_list(same)} with the first\."
    yield 2, form, fact, f"neighbour gave {_mark(2)} a {c.rating_v2:g}."
    form = rf"Taken together, I expect this one to be {_LIKED}\."
    yield 3, form, form, None


def _ranking_frames(case: RankingCase) -> _Rows:
    history = evidence.tally((item, 1) for item in case.history).items()
    yield 0, rf"The user lately liked {_COUNTS}\.", rf"The user lately liked {_counts(history)}\.", "user."
    for n, chain in enumerate(case.chains, 1):
        yield _chain_frame(n, chain)
    every, taste = evidence.tastes(case, most=10**6), evidence.tastes(case)
    yield 2, rf"Tastes: {_COUNTS}\.", rf"Tastes: {_counts(every)}\.", "Tastes."
    met, support = evidence.support(case, every), evidence.support(case, taste)
    facts = [rf"{k} (?:{_counts(met[k])}{'' if support[k] else '|-'})" for k in support]
    form = rf"Candidates: [A-Z] {_COUNTS}(?:; [A-Z] {_COUNTS})*\."
    yield 3, form, rf"Candidates: {_list(facts, '; ')}\.", f"Candidates: {', '.join(support)}."
    score = {k: sum(w for _, w in pairs) for k, pairs in support.items()}
    best = _one_of(f"{k} {s}" for k, s in score.items() if s == max(score.values()))
    rest = _one_of(f"{k} {s}" for k, s in score.items())
    head = "(?:Best supported|Strongest): "
    yield 4, rf"{head}[A-Z] -?\d+(?:, [A-Z] -?\d+)*\.", rf"{head}{best}(?:, {rest})*\.", None


def _chain_frame(n: int, c: Chain) -> tuple[int, str, str, str | None]:
    form = rf"Chain {n}: .* {_LIKED} \([^()]*\), neighbour {_AGREED} \([^()]*\); then .*\."
    user = rf"{_item(c.item1)} {_said(c.rating_u1)} \({c.rating_u1:g}\)"
    neighbour = rf"neighbour {_agreed(c)} \({c.rating_v1:g}\)"
    again = "" if c.rating_u2 is None else rf", user {_said(c.rating_u2)} \({c.rating_u2:g}\)"
    fact = rf"Chain {n}: {user}, {neighbour}; then {_item(c.item2)}, neighbour {c.rating_v2:g}{again}\."
    return 1, form, fact, f"chain {n}: user {_mark(2 * n - 1)}, neighbour; then {_mark(2 * n)}."


def _item(item: Item) -> str:
    return _one_of([f'"?{re.escape(clean(item.title))}"?', _list(map(re.escape, evidence.traits(item))), "an item"])


def _said(rating: float) -> str:
    return _one_of(VERDICT[evidence.sign(rating)])


def _agreed(chain: Chain) -> str:
    return _one_of(AGREES[_alike(chain)])


def _alike(chain: Chain) -> bool:
    return evidence.sign(chain.rating_u1) == evidence.sign(chain.rating_v1)


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    entries = [re.escape(f"{trait} {count}") for trait, count in pairs]
    return _list(entries) if entries else "-"


# The rules.


def _malformed(thought: str, trace: Trace) -> Iterator[str]:
    if not trace.numbers:
        yield "malformed: no numbered steps"
    if re.search(r"</?think>", thought):
        yield "malformed: a thought tag inside the thought"
    for number, step in zip(trace.numbers, trace.steps[1:], strict=True):
        if not any(map(str.isalnum, step)):
            yield f"malformed: step {number} says nothing"


def _progressive(trace: Trace) -> Iterator[str]:
    if trace.numbers != list(range(1, len(trace.numbers) + 1)):
        yield f"progressive: steps are numbered {', '.join(map(str, trace.numbers[:30]))}"
    for found in _STEPS.finditer(trace.text):
        if max(_numbers(found[1])) > trace.at(found.start()):
            yield f"progressive: step {trace.at(found.start())} points ahead to {found[0]}"
    if ahead := _AHEAD.search(trace.text):
        yield f'progressive: step {trace.at(ahead.start())} points ahead: "{ahead[0]}"'
    stages = [(n, frame[0].stage) for n, frame in enumerate(trace.frames) if frame]
    for (m, before), (n, after) in pairwise(stages):
        if after < before:
            yield f"progressive: step {m} rests on step {n}"


def _told(trace: Trace) -> Iterator[str]:
    if found := _TOLD.search(trace.text):
        yield f'leak: step {trace.at(found.start())} says "{found[0].strip()}"'


def _grounded(trace: Trace) -> Iterator[str]:
    for n, frame in enumerate(trace.frames):
        if frame and not frame[1]:
            yield f"inconsistent: step {n} does not say what the case says"


def _second_item(trace: Trace) -> Iterator[str]:
    near, second = _first(trace.text, "neighbour"), _first(trace.text, _of_item(2, _SECOND))
    if second < len(trace.text) and trace.at(second) <= trace.at(near):
        yield f"masked: step {trace.at(second)} has item 2, and no earlier one the neighbour's rating of item 1"


def _first(text: str, pattern: str, start: int = 0) -> int:
    """Where a pattern is first found, or the text's end."""
    found = re.compile(pattern, re.I).search(text, start)
    return found.start() if found else len(text)


def _of_item(place: int, *others: str) -> str:
    """What finds an item by its title or a trait."""
    return "|".join([f"[{_mark(place)}{_mark(place, 1)}]", *others])


def _ratings(trace: Trace, start: int, end: int, chain: Chain, place: int, hidden: str | None) -> Iterator[str]:
    """Ratings cited in a stretch of text about one chain: each from its hop on, by whom it is said to be.

    Args:
        place: That of the chain's item 2.
        hidden: The answer of a RatingCase. There, hop 3 may begin in the step after hop 2's.
    """
    text = trace.text[start:end]
    near, second = _first(text, "neighbour"), _first(text, _of_item(place, _SECOND))
    if _first(text, _of_item(place - 1, "user")) > near and not _cited(text[:near]):
        yield f"masked: step {trace.at(start + near)} has the neighbour's rating before the user's"
    if hidden is None and second < near:
        yield f"masked: step {trace.at(start + second)} has item 2 before the neighbour's rating of item 1"
    third = near if hidden is None else min([second, *(s for s in trace.starts if s > near)])
    fourth = _first(text, "user", second) if hidden is None else end
    for at, clause in _clauses(text):
        stop, whose = at + len(clause), [who for who in ("user", "neighbour") if who in clause]
        again = fourth < stop or (hidden is None and second < stop and not whose)
        reached = {
            "user": _shown(chain.rating_u1, chain.rating_u2 if again else None),
            "neighbour": _shown(chain.rating_v1 if near < stop else None, chain.rating_v2 if third < stop else None),
        }
        fair = reached[whose[0]] if len(whose) == 1 else reached["user"] | reached["neighbour"]
        for value in _cited(clause):
            if hidden and (rule := _told_rating(value, clause, whose, hidden)):
                yield f"{rule}: step {trace.at(start + at)} gives item 2 a {value}"
            elif value not in fair:
                later = _shown(*chain[1:4], chain.rating_u2 if hidden is None else None) - set().union(
                    *reached.values()
                )
                rule = "masked" if value in later else "leak" if value == hidden else "inconsistent"
                yield f"{rule}: step {trace.at(start + at)} cites a {value}"


def _told_rating(value: str, clause: str, whose: list[str], hidden: str) -> str | None:
    """The rule broken by a digit that is said to be, or foreseen as, the user's rating of item 2."""
    stated = whose == ["user"] and re.search(_of_item(2), clause)
    if value == hidden and (stated or ("neighbour" not in whose and _PREDICTS.search(clause))):
        return "leak"
    return "inconsistent" if stated else None


def _shown(*ratings: float | None) -> set[str]:
    return {f"{r:g}" for r in ratings if r is not None}


def _cited(clause: str) -> list[str]:
    return [f"{float(value):g}" for value in _RATING.findall(_NOT_RATING.sub(" ", clause))]


def _clauses(text: str) -> Iterator[tuple[int, str]]:
    """Clauses and where they begin."""
    bounds = [(0, 0), *(m.span() for m in _CLAUSE.finditer(text)), (len(text), len(text))]
    return ((end, text[end:start]) for (_, end), (start, _) in pairwise(bounds))


def _verdict(trace: Trace, truth: str) -> Iterator[str]:
    """The last step's verdict: the first one after "expect" and the like, else the last one."""
    last = trace.text[trace.starts[-1] :]
    cue = max((m.start() for m in _PREDICTS.finditer(last)), default=0)
    found = [(m.start(), s) for m in _VERDICT.finditer(last) if (s := _meaning(last, m)) is not None]
    said = next((s for at, s in found if at >= cue > 0), found[-1][1] if found else None)
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


def _numbers(text: str) -> list[int]:
    """The numbers of "1, 3 and 4", or of "1-5"."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    through = re.fullmatch(r"\d+\s*(?:to|-|–)\s*\d+", text)
    return list(range(numbers[0], numbers[1] + 1)) if through else numbers


def _opened(trace: Trace) -> dict[int, int]:
    """Chain number -> where it, or its neighbour, is first spoken of."""
    first: dict[int, int] = {}
    for found in _CHAINS.finditer(trace.text):
        for n in _numbers(found[1]):
            first.setdefault(n, found.start())
    return first


def _chains_in_turn(trace: Trace, case: RankingCase) -> Iterator[str]:
    first, count = _opened(trace), len(case.chains)
    for n, at in first.items():
        if not 1 <= n <= count:
            yield f"inconsistent: step {trace.at(at)} cites chain {n} of {count}"
        elif n > 1 and first.get(n - 1, len(trace.text)) > at:
            yield f"masked: step {trace.at(at)} has chain {n} before chain {n - 1}"
    for found in _DATA.finditer(trace.text):
        chain, is_title = (ord(found[0]) - _FIRST) // 2 + 1 >> 1, ord(found[0]) % 2
        if is_title and 1 <= chain <= count and first.get(chain, len(trace.text)) >= trace.end(found.start()):
            yield f"masked: step {trace.at(found.start())} has a title of chain {chain} before its turn"


def _chain_hops(trace: Trace, case: RankingCase) -> Iterator[str]:
    """Each chain where it is first read: from its mention to the next chain's, or the end of the step."""
    first = _opened(trace)
    begin = {n: at if trace.text.startswith("chain", at) else _sentence(trace, at) for n, at in first.items()}
    for n, at in begin.items():
        if 1 <= n <= len(case.chains) and list(first.values()).count(first[n]) == 1:
            end = min([trace.end(first[n]), *(b for b in begin.values() if b > at)])
            yield from _ratings(trace, at, end, case.chains[n - 1], 2 * n, None)


def _sentence(trace: Trace, at: int) -> int:
    """Where the sentence around a place begins."""
    start = trace.starts[bisect_right(trace.starts, at) - 1]
    return max(start, trace.text.rfind(". ", start, at) + 1)


def _candidates(trace: Trace, case: RankingCase, truth: str) -> Iterator[str]:
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


def _named(text: str, case: RankingCase) -> list[tuple[int, str]]:
    """Candidates that a text names, by label or title, in its order."""
    known, first = LABELS[: len(case.candidates)], 2 * len(case.chains) + 1
    named = [(m.start(), m[1] or m[2] or m[3]) for m in _LABEL.finditer(text)]
    named += [
        (m.start(), LABELS[k])
        for m in _DATA.finditer(text)
        if ord(m[0]) % 2 and (k := (ord(m[0]) - _FIRST) // 2 - first) >= 0
    ]
    return sorted((at, label) for at, label in named if label in known)


def _choice(trace: Trace, case: RankingCase, answer: str) -> Iterator[str]:
    named = _named(trace.text[trace.starts[-1] :], case)
    first = parse_ranking(answer, len(case.candidates), reasoned=False).labels[:1]
    if (named[0][1],) != first if named else True:
        yield f"inconsistent: the last step names {named[0][1] if named else 'no candidate'} first, unlike the answer"
