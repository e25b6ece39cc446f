"""The one reader of answers: reward and metric both call `parse_ranking`, so they always agree.

- *Turns.* What follows the end of the model's turn, a second, invented turn, is not read.
- *Thoughts.* Only the text after the last "</think>" is read. A thought that is asked for, or
  opened, and never closed leaves no answer. Other marks of thoughts: `dialects`.
- *Markers.* "Ranking:", "Answer:", "Final ranking:" and "Final answer:", in any case and with
  markdown; of several in one line, the first. The last marker that a list follows decides, right
  or wrong: an earlier list is never preferred for being valid. Markers that open their line come
  before those inside one. A marker after a quote, bracket, colon or item number does not count, so
  a title that reads like an answer cannot overrule an answer in the asked form.
- *Lists.* "A > B" with one of > , ; | throughout; or one label per line, numbered, bulleted or
  bare, where what follows the label (a title) is never read; or labels that fill their line. A
  separated list ends at the first text that is not its separator, such as a title in brackets.
  What follows a separator must be a label, except at the very end of the text.
  In "C: Heat > A: Fargo" titles are not read either. Labels that tie ("A = B") are no ranking.
- *Boxes.* `<answer>` and `\\boxed{}` around a whole list, and not quoted, are as good as a marker
  on its own line.
- *No list after any marker.* The last line counts if it is nothing but two or more labels.
- *Labels.* The letters as shown. Lower case, look-alikes and letters with invisible characters are
  unknown labels.

Reading takes linear time on any text: patterns are possessive or single runs, and a marker that
fails has read one line at most.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from r2rec.prompts.boxes import unboxed
from r2rec.prompts.cases import LABELS
from r2rec.prompts.dialects import CLOSE, OPEN, own_turn, spoken_parts

RATINGS = ("1", "2", "3", "4", "5")

_BEFORE = r"""\[({"'`*_“‘"""  # decoration that may open a label, as a character class
_AFTER = "*_`\"'”’)]}.:!?…"  # decoration and punctuation that may close a label
_AROUND = _AFTER + "“‘([{ \t\r\f\v\n"
_GAP = r"[^\S\n]"  # white space within a line


class ParsedAnswer(NamedTuple):
    """What a completion ranks."""

    labels: tuple[str, ...]  # best first, perhaps not all of them; empty if the answer is invalid
    valid: bool
    # "none found", "unknown label X", "duplicate label X" or "unfinished thought"
    problem: str | None


def _marker(words: str) -> re.Pattern[str]:
    """Matches a line up to the end of its first marker, with `before` standing before the marker.

    Example: "**Final answer:** ". "Final answer: Ranking:" is one marker.
    """
    quote = r'("?)'  # JSON: {"ranking": ["B", "A"]}
    colon = rf"[*_`]*+{_GAP}*+[:：][*_`]*+{_GAP}*+"
    word = rf"{quote}(?:final{_GAP}++)?(?:{words})\2{colon}"
    line = rf"^(?P<before>[^\n]*?)(?<![^\W_])(?:{word})++"
    return re.compile(line, re.IGNORECASE | re.MULTILINE)


_RANKING = _marker("ranking|answer")
_RATING = _marker("rating|answer")

# What may stand before a marker that opens its line: "", "### ", "- **", "<answer>", '{"'
_OWN_LINE = re.compile(r"\s*+(?:<answer>)?[\s*_#`{]*+")

# What before a marker makes it part of a title or an aside: 'as "', "A: ", "say 'yes", "1. ", "T. "
_ASIDE = re.compile(r"""["“”„«»‘`(\[{<:]|(?:^|\s)'|^\W*+\w{1,2}[.)]""")

# What ties a label with the next one: "A = B", "A / B"
_TIE = re.compile(rf"{_GAP}*+[=≈≃≡~≥≤&/+]++{_GAP}*+(?=[{_BEFORE}]*+\w(?!\w))")

# A label with its title, in a separated list: "C: Heat ", "**A**: Fargo"
_TITLED = re.compile(
    rf"[\s{_BEFORE}]*+(?P<word>\w)[{re.escape(_AFTER)}]*?:[{re.escape(_AFTER)}]*+\s"
)

# A rating, and in `more` what makes it another number: "4", "**4.0", "4/5"; more: "4.5", "3 or 4"
_STARS = re.compile(
    r"[*_`]*+(?P<stars>\d++)(?:\.0)?(?:/5)?"
    r"(?P<more>[\w/]|[.,]\d| ?(?:[-–~]|or|to) ?\d)?"
)

# Lines between a marker and its list that say nothing: "\n", "\n```json\n"
_BLANK = re.compile(rf"(?:{_GAP}*+(?:```[a-z]*+{_GAP}*+)?\n)*+")

# One member of a separated list: "A > ", "**B**, ", '"C"]'
_ITEM = re.compile(
    rf"[\s{_BEFORE}]*+(?P<chunk>[^\s>,;|<(\[{{]*+){_GAP}*+"
    r"(?P<separator>[>,;|])?"
)

# A line of a list, as indent, bullet and body: "1. C: Heat", "- A", "  **2)** B", "C"
_LINE = re.compile(
    rf"(?P<indent>{_GAP}*+)"
    rf"(?P<bullet>\**+\d{{1,3}}[.):]\**+(?={_GAP})|[-+*•](?={_GAP}))?"
    r"(?P<body>[^\n]*+)\n?"
)

# The first word of a body, and the character after it: "**C**: Heat", "A Bug's Life", "E.T. the"
_HEAD = re.compile(rf"\s*+[{_BEFORE}]*+(?P<chunk>[^\s<(\[{{]*+)\s*+(?P<next>\S?)")

# How a numbered statement begins: "Step 3:", "**Step 3:**", "### step 3 -", "3.", "- 3) "
_STEP = re.compile(
    r"(?im)^[ \t>#*_+•-]*+"
    r"(?:step[ \t]++\d{1,3}[*_]*+[ \t]*+[:.)–—-]|\d{1,3}[.)](?![^\s*_]))"
)


def unfinished(text: str, reasoned: bool = True) -> bool:
    """Whether the text ends inside a thought.

    With `reasoned`, a thought is asked for: its opening tag may stand in the prompt, so it is not
    required here.
    """
    text = own_turn(text)
    tail = text.rpartition(CLOSE)[2]
    if OPEN in tail:
        return True
    return reasoned and CLOSE not in text


def split_thought(text: str, reasoned: bool) -> tuple[str | None, str]:
    """(thought, tail): the tail follows the last "</think>", and is "" in an unfinished thought."""
    text = own_turn(text)
    before, closing_tag, tail = text.rpartition(CLOSE)
    if unfinished(text, reasoned):
        before = text
        tail = ""
    elif not closing_tag:
        return None, text
    thought = re.sub(rf"\A(\s*+{OPEN})?\n?", "", before, count=1)
    return thought.removesuffix("\n"), tail.removeprefix("\n")


def parse_ranking(text: str, n_candidates: int, reasoned: bool = True) -> ParsedAnswer:
    """Read a ranking of the first `n_candidates` LABELS by the rules above.

    Never raises on any text.

    Args:
        reasoned: A thought was asked for, so a text that never closes one has no answer.
    """
    if unfinished(text, reasoned):
        return ParsedAnswer((), False, "unfinished thought")
    tail = unboxed(split_thought(text, reasoned)[1], lambda inside: _list_from(inside, 0))
    known = tuple(LABELS[:n_candidates])
    for part in spoken_parts(tail):
        for start in _marked(_RANKING, part):
            words = _list_from(part, start)
            if words:
                return _judge(words, known)
        words = _filling(_last_line(part), least=2)
        if words:
            return _judge(words, known)
    return _judge([], known)


def parse_rating(text: str, reasoned: bool = True) -> int | None:
    """Read "Rating: 4" (1 to 5) by the same marker rules.

    None for anything else, "4.5" and "3 or 4" included.
    """
    for part in spoken_parts(split_thought(text, reasoned)[1]):
        for start in _marked(_RATING, part):
            number = _STARS.match(part, start)
            if number is None:
                continue
            if number["more"] or number["stars"] not in RATINGS:
                return None
            return int(number["stars"])
    return None


def render_ranking(labels: Sequence[str]) -> str:
    """Labels best first -> "Ranking: B > A > C"."""
    return "Ranking: " + " > ".join(labels)


def render_rating(rating: float | str) -> str:
    """A whole rating, as a number or a digit -> "Rating: 4".

    Raises:
        ValueError: The rating is not one of 1, 2, 3, 4, 5.
    """
    digit = str(rating).removesuffix(".0")
    if digit not in RATINGS:
        raise ValueError(
            f"rating {rating!r} is not one of 1, 2, 3, 4, 5: round or drop it before rendering"
        )
    return f"Rating: {digit}"


def render_completion(thought: str | None, answer: str) -> str:
    """What a model learns to write: the thought, if there is one, in its tags; then the answer."""
    if thought is None:
        return answer
    return f"{OPEN}\n{thought}\n{CLOSE}\n{answer}"


def thought_steps(thought: str) -> list[str]:
    """The numbered statements of a thought, in order, without their numbers.

    A statement runs from "Step 3:", "3." or "3)" at the start of a line to the next such line. A
    number with nothing said under it is no step: the step reward must not be had for bare numbers.
    """
    steps = []
    for part in _STEP.split(thought)[1:]:
        statement = part.strip("*_ \t\r\n")
        if any(map(str.isalnum, statement)):
            steps.append(statement)
    return steps


def _marked(marker: re.Pattern[str], text: str) -> Iterator[int]:
    """Where the text after each marker starts; the marker that decides comes first.

    Markers that open their line come first, then those inside a line; each from the last one on.
    """
    matches = list(marker.finditer(text))
    matches.reverse()
    for match in matches:
        if _OWN_LINE.fullmatch(match["before"]):
            yield match.end()
    for match in matches:
        if not _ASIDE.search(match["before"]):
            yield match.end()


def _last_line(text: str) -> str:
    """The last line that is more than decoration, or ""."""
    for line in reversed(text.split("\n")):
        if line.strip(_AROUND):
            return line
    return ""


def _list_from(text: str, start: int) -> list[str]:
    """The words of the list that starts at `start`; [] if there is prose instead."""
    blank = _BLANK.match(text, start)
    if blank:
        start = blank.end()
    words = _separated(text, start) or _titled(text, start) or _one_per_line(text, start)
    if words:
        return words
    line_end = text.find("\n", start)
    if line_end == -1:
        line_end = len(text)
    return _filling(text[start:line_end])


def _separated(text: str, start: int) -> list[str]:
    """The words of "C > A > B", up to the first that is no letter, which `_judge` reports."""
    words: list[str] = []
    separator: str | None = None
    for item in _ITEM.finditer(text, start):
        chunk = item["chunk"]
        chunk_start = item.start("chunk")
        word = chunk.rstrip(_AFTER)
        if not words:
            separator = item["separator"]
            tied = _tied(text, item) if _is_letter(word) else ""
            if tied:
                return [tied]
            if separator is None or not _is_letter(word):
                return []
        elif chunk_start == len(text):
            break  # generation was cut after a separator
        elif separator in (",", ";") and _opens_clause(text, word, item.end()):
            return words if len(words) > 1 else []
        words.append(word or chunk or text[chunk_start])
        if item["separator"] != separator or not _is_letter(word):
            words[-1] = _tied(text, item) or words[-1]
            break
    return words


def _tied(text: str, item: re.Match[str]) -> str:
    """All of "A = B", which is reported as an unknown label, where a word is tied; else ""."""
    tie = None if item["separator"] else _TIE.match(text, item.end())
    return text[item.start("chunk") : tie.end() + 1] if tie else ""


def _titled(text: str, start: int) -> list[str]:
    """The words of "C: Heat > A: Fargo" on one line; titles have no ">" (`render.clean`)."""
    pieces = text[start:].partition("\n")[0].split(">")
    words = []
    for piece in pieces:
        label = _TITLED.match(piece)
        words.append(label["word"] if label else piece.strip(_AROUND))
    if len(words) > 1 and _is_letter(words[0]) and _TITLED.match(pieces[0]):
        return words
    return []


def _opens_clause(text: str, word: str, end: int) -> bool:
    """Whether the word that ends at `end` is English and no label, as I in "C, I think"."""
    next_character = text[end : end + 1]
    return word in ("A", "I") and next_character.isalpha()


def _one_per_line(text: str, start: int) -> list[str]:
    """The words of a list with one label per line.

    Deeper lines and those with another bullet are notes; other text ends the list.
    """
    words: list[str] = []
    depth = 0
    first_kind = ""
    for line in _LINE.finditer(text, start):
        indent, bullet, body = line.group("indent", "bullet", "body")
        kind = _bullet_kind(bullet or "")
        if not words:
            depth = len(indent)
            first_kind = kind
        elif not body.strip() or len(indent) > depth or kind not in ("", first_kind):
            continue
        elif kind != first_kind:
            break
        word = _leading_label(body) if kind else body.strip(_AROUND)
        if not _is_letter(word):
            if words and kind:
                words.append(word)  # reported as an unknown label
            break
        words.append(word)
    return words


def _bullet_kind(bullet: str) -> str:
    """What bullets of one list share: "." for "3." and "**4.**", "-" for "-", "" for none."""
    return bullet.strip("*0123456789") or bullet


def _leading_label(body: str) -> str:
    """The label that opens a list line, if it stands apart: "C" of "C: Heat".

    If none does, the whole line: all of "A Bug's Life".
    """
    head = _HEAD.match(body)
    if head:
        chunk = head["chunk"]
        word = chunk.rstrip(_AFTER)
        if _TIE.match(body, head.end("chunk")):
            return body.strip()
        if word != chunk or head["next"] in "(-–—:|[<=":
            return word
    return body.strip()


def _filling(line: str, least: int = 1) -> list[str]:
    """The letters of a line that holds nothing else, separated by one separator or by spaces.

    [] if there is anything else, or if there are fewer than `least`.
    """
    separator = next((mark for mark in line if mark in ">,;|"), None)
    words = [piece.strip(_AROUND) for piece in line.split(separator)]
    if separator and not words[-1]:
        words.pop()
    if len(words) >= least and all(map(_is_letter, words)):
        return words
    return []


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isalpha()


def _judge(words: list[str], known: tuple[str, ...]) -> ParsedAnswer:
    """The answer that these words are: valid if each is a known label and none comes twice."""
    if not words:
        return ParsedAnswer((), False, "none found")
    seen: set[str] = set()
    for word in words:
        problem = None
        if word in seen:
            problem = f"duplicate label {word[:20]}"
        elif word not in known:
            problem = f"unknown label {word[:20]}"
        if problem:
            return ParsedAnswer((), False, problem)
        seen.add(word)
    return ParsedAnswer(tuple(words), True, None)
