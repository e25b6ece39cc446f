"""The one reader of answers: reward and metric both ask `parse_ranking`, so they cannot disagree.

- *Thoughts.* Only the tail after the last "</think>" is read. A thought that is asked for, or opened, and not
  closed leaves no answer.
- *Markers.* "Ranking:", "Answer:", "Final ranking:", "Final answer:", in any case and markdown, one per line,
  its first. The last marker that a list follows decides, right or wrong: no earlier list is dug out for being
  valid. Markers that open their line come before those inside one, and one after a quote, bracket, colon or
  item number is none: a title that reads like an answer cannot overrule an answer in the asked form.
- *Lists.* "A > B" with one of > , ; | throughout; or one label per line, numbered, bulleted or bare, where
  what follows the label (a title) is never read; or labels that fill their line. A separated list ends at
  the first text that is not its separator, so at a title in brackets. What follows a separator must be a
  label, except at the very end of the text.
- *No list after any marker.* The last line counts if it is nothing but two or more labels.
- *Labels.* The letters as shown: lower case, look-alikes and letters with invisible parts are unknown labels.

Patterns are possessive or single runs, and a failed marker reads one line at most: linear time on any text.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from r2rec.prompts.cases import LABELS

_OPEN, _CLOSE = "<think>", "</think>"
_BEFORE = r"""\[({"'`*_“‘"""  # decoration that may open a label, as a character class
_AFTER = "*_`\"'”’)]}.:!?…"  # decoration and punctuation that may close one
_AROUND = _AFTER + "“‘([{ \t\r\f\v\n"
_GAP = r"[^\S\n]"  # white space within a line


class ParsedAnswer(NamedTuple):
    """What a completion ranks: labels best first, perhaps not all; none where the answer is invalid."""

    labels: tuple[str, ...]
    valid: bool
    problem: (
        str | None
    )  # "none found", "unknown label X", "duplicate label X", "unfinished thought"


def _marker(words: str) -> re.Pattern[str]:
    """The first marker of a line, with what stands before it; "Final answer: Ranking:" is one marker."""
    word = rf'("?)(?:final{_GAP}++)?(?:{words})\2[*_`]*+{_GAP}*+[:：][*_`]*+{_GAP}*+'
    return re.compile(rf"^(?P<before>[^\n]*?)(?<![^\W_])(?:{word})++", re.IGNORECASE | re.MULTILINE)


_RANKING, _RATING = _marker("ranking|answer"), _marker("rating|answer")
_OWN_LINE = re.compile(r"\s*+(?:<answer>)?[\s*_#`{]*+")
_ASIDE = re.compile(r"""["“”„«»‘`(\[{<:]|(?:^|\s)'|^\W*+\w{1,2}[.)]""")
_STARS = re.compile(
    r"[*_`]*+(?P<stars>\d++)(?:\.0)?(?:/5)?(?P<more>[\w/]|[.,]\d| ?(?:[-–~]|or|to) ?\d)?"
)
_BLANK = re.compile(rf"(?:{_GAP}*+(?:```[a-z]*+{_GAP}*+)?\n)*+")
_ITEM = re.compile(rf"[\s{_BEFORE}]*+(?P<chunk>[^\s>,;|<(\[{{]*+){_GAP}*+(?P<separator>[>,;|])?")
_LINE = re.compile(rf"({_GAP}*+)(\**+\d{{1,3}}[.):]\**+(?={_GAP})|[-+*•](?={_GAP}))?([^\n]*+)\n?")
_HEAD = re.compile(rf"\s*+[{_BEFORE}]*+(?P<chunk>[^\s<(\[{{]*+)\s*+(?P<next>\S?)")
_STEP = re.compile(
    r"(?im)^[ \t>#*_+•-]*+(?:step[ \t]++\d{1,3}[*_]*+[ \t]*+[:.)–—-]|\d{1,3}[.)](?![^\s*_]))"
)


def unfinished(text: str, reasoned: bool = True) -> bool:
    """Whether the text ends inside a thought; its opening tag may stand in the prompt, so is not required."""
    return _OPEN in text.rpartition(_CLOSE)[2] or (reasoned and _CLOSE not in text)


def split_thought(text: str, reasoned: bool) -> tuple[str | None, str]:
    """(thought, tail): tail follows the last "</think>"; it is "" while the thought is unfinished."""
    before, closed, tail = text.rpartition(_CLOSE)
    if unfinished(text, reasoned):
        before, tail = text, ""
    elif not closed:
        return None, text
    before = re.sub(rf"\A(\s*+{_OPEN})?\n?", "", before, count=1)
    return before.removesuffix("\n"), tail.removeprefix("\n")


def parse_ranking(text: str, n_candidates: int, reasoned: bool = True) -> ParsedAnswer:
    """Read a ranking of the first `n_candidates` LABELS by the rules above. Never raises on any text."""
    if unfinished(text, reasoned):
        return ParsedAnswer((), False, "unfinished thought")
    tail = split_thought(text, reasoned)[1]
    words = next(filter(None, (_list_at(tail, at) for at in _marked(_RANKING, tail))), [])
    last = next((line for line in reversed(tail.split("\n")) if line.strip(_AROUND)), "")
    return _judge(words or _filling(last, least=2), LABELS[:n_candidates])


def parse_rating(text: str, reasoned: bool = True) -> int | None:
    """Read "Rating: 4" (1..5) by the same marker rules; None for all else, "4.5" and "3 or 4" included."""
    tail = split_thought(text, reasoned)[1]
    numbers = (_STARS.match(tail, at) for at in _marked(_RATING, tail))
    last = next(filter(None, numbers), None)
    return (
        int(last["stars"])
        if last and not last["more"] and last["stars"] in tuple("12345")
        else None
    )


def render_ranking(labels: Sequence[str]) -> str:
    """Labels best first -> "Ranking: B > A > C"."""
    return "Ranking: " + " > ".join(labels)


def render_rating(rating: float | str) -> str:
    """A whole rating, 1..5, as a number or digit -> "Rating: 4"."""
    if (digit := str(rating).removesuffix(".0")) not in tuple("12345"):
        raise ValueError(
            f"rating {rating!r} is not one of 1, 2, 3, 4, 5: round or drop it before rendering"
        )
    return f"Rating: {digit}"


def render_completion(thought: str | None, answer: str) -> str:
    """What a model learns to write: the thought between its tags, then the answer; or the answer alone."""
    return answer if thought is None else f"{_OPEN}\n{thought}\n{_CLOSE}\n{answer}"


def thought_steps(thought: str) -> list[str]:
    """Numbered statements: from "Step 3:", "3." or "3)" at the start of a line to the next such line.

    A number with nothing said under it is no step, or the step reward could be had for bare numbers.
    """
    statements = [text.strip("*_ \t\r\n") for text in _STEP.split(thought)[1:]]
    return [text for text in statements if any(map(str.isalnum, text))]


def _marked(marker: re.Pattern[str], text: str) -> Iterator[int]:
    """Where the text after each marker starts; the one that decides comes first."""
    found = list(marker.finditer(text))[::-1]
    yield from (match.end() for match in found if _OWN_LINE.fullmatch(match["before"]))
    yield from (match.end() for match in found if not _ASIDE.search(match["before"]))


def _list_at(text: str, at: int) -> list[str]:
    """The words of the list that starts at `at`; [] where prose does."""
    if blank := _BLANK.match(text, at):
        at = blank.end()
    end = text.find("\n", at) % (len(text) + 1)  # no line end: -1 becomes the text's
    return _separated(text, at) or _lined(text, at) or _filling(text[at:end])


def _separated(text: str, at: int) -> list[str]:
    """The words of "C > A > B", up to the first that is no letter, which `_judge` then reports."""
    words: list[str] = []
    for item in _ITEM.finditer(text, at):
        chunk, start = item["chunk"], item.start("chunk")
        word = chunk.rstrip(_AFTER)
        if not words:
            if not ((separator := item["separator"]) and _is_letter(word)):
                return []
        elif start == len(text):
            break  # generation was cut after a separator
        elif (
            separator in (",", ";")
            and word in ("A", "I")
            and text[item.end() : item.end() + 1].isalpha()
        ):
            return words if len(words) > 1 else []  # ", I think": English, not label I
        words.append(word or chunk or text[start])
        if item["separator"] != separator or not _is_letter(word):
            break
    return words


def _lined(text: str, at: int) -> list[str]:
    """One label per line. Deeper lines and other bullets are notes; other text ends the list."""
    words: list[str] = []
    depth, first = 0, ""
    for line in _LINE.finditer(text, at):
        indent, bullet, body = line.groups("")
        kind = bullet.strip("*0123456789") or bullet  # "3." and "**4.**" are one kind
        if not words:
            depth, first = len(indent), kind
        elif not body.strip() or len(indent) > depth or kind not in ("", first):
            continue
        elif kind != first:
            break
        word = _leading(body) if kind else body.strip(_AROUND)
        if not _is_letter(word):
            return [*words, word] if words and kind else words
        words.append(word)
    return words


def _leading(body: str) -> str:
    """The label that opens a list line, if it stands apart: "C" of "C: Heat", but all of "A Bug's Life"."""
    if head := _HEAD.match(body):
        word = head["chunk"].rstrip(_AFTER)
        if word != head["chunk"] or head["next"] in "(-–—:|[<=":
            return word
    return body.strip()


def _filling(line: str, least: int = 1) -> list[str]:
    """The letters of a line that has nothing else, separated by one separator or by spaces."""
    separator = next((mark for mark in line if mark in ">,;|"), None)
    words = [piece.strip(_AROUND) for piece in line.split(separator)]
    if separator and not words[-1]:
        words.pop()
    return words if len(words) >= least and all(map(_is_letter, words)) else []


def _is_letter(word: str) -> bool:
    return len(word) == 1 and word.isalpha()


def _judge(words: list[str], known: str) -> ParsedAnswer:
    for place, word in enumerate(words):
        if word in words[:place] or word not in tuple(known):
            problem = "duplicate" if word in words[:place] else "unknown"
            return ParsedAnswer((), False, f"{problem} label {word[:20]}")
    return (
        ParsedAnswer(tuple(words), True, None) if words else ParsedAnswer((), False, "none found")
    )
