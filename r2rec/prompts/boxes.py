"""Answers in a box: `<answer>B > A</answer>` and `$\\boxed{\\text{B} \\succ \\text{A}}$`."""

import re
from collections.abc import Callable

_BOX = re.compile(
    r"<answer>(?P<tagged>[^<]*+)</answer>"
    r"|\\boxed\{(?P<boxed>[^{}\n]*+(?:\{[^{}\n]*+\}[^{}\n]*+)*+)\}"
)
_FIRST = re.compile(r"\\(?:succ|gt)\b")  # LaTeX for ">"
_MARKER = re.compile(r"\A(?:final\s)?(?:ranking|answer)\s*:", re.IGNORECASE)
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\b|\\[,;: ]|[{}$]")
# What stands before a box that is a title's own, not an answer: a quote, or a label of a list
_QUOTED = re.compile(r"""["“”„«»‘`]|(?:^|\s)'|^\W*+\w{1,2}[.):]""")

NEAR = 200  # characters before a box that are looked at


def unboxed(text: str, is_list: Callable[[str], object]) -> str:
    """The text with each list in a box on a line of its own that begins with "Ranking:".

    Args:
        is_list: Whether what is in a box begins with a list.
    """

    def line(box: re.Match[str]) -> str:
        before = text[max(0, box.start() - NEAR) : box.start()].rpartition("\n")[2]
        content = _FIRST.sub(">", box["tagged"] or box["boxed"] or "")
        content = _MARKER.sub("", _LATEX.sub("", content).strip()).strip()
        if _QUOTED.search(before) or not is_list(content):
            return box.group()
        return f"\nRanking: {content}\n"

    return _BOX.sub(line, text)
