"""One user's case as text, for a terminal, and as JSON values for programs.

All of it is untrusted: from what a terminal is sent, control characters go.
"""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from r2rec.base.console import harmless
from r2rec.prompts.cases import LABELS
from r2rec.prompts.render import show
from r2rec.report.fitting import aligned
from r2rec.results.cases import MethodAnswer, UserCase

WIDTH = 80
PARTS = ("case", "placings", "prompt", "answers")


def case_text(case: UserCase, parts: Sequence[str] = PARTS) -> str:
    """The case, a section for each of `parts`."""
    sections = {
        "case": _case,
        "placings": _placings,
        "prompt": _prompt,
        "answers": _answers,
    }
    texts = ["\n".join(sections[part](case)) for part in PARTS if part in parts]
    return harmless("\n\n".join(filter(None, texts)))


def plain(value: Any) -> Any:
    """Named tuples as JSON objects, all the way down."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def _case(case: UserCase) -> Iterator[str]:
    yield f"user {case.raw_id} (number {case.user} in tables and on the page)"
    if case.profile:
        yield f"profile: {case.profile}"
    if case.history:
        yield "liked, latest last:"
        for item in case.history:
            yield from _wrapped("  - ", show(item))
    if case.chains:
        yield "chains:"
    for number, chain in enumerate(case.chains, 1):
        end = "" if chain.rating_u2 is None else f" <-{chain.rating_u2:g}- user"
        yield from _wrapped(
            f"  {number}. ",
            f"user -{chain.rating_u1:g}-> {show(chain.item1)} <-{chain.rating_v1:g}- neighbour "
            f"-{chain.rating_v2:g}-> {show(chain.item2)}{end}",
        )
    yield "candidates:"
    for index, item in enumerate(case.candidates):
        truth = "  <== held out" if index == case.positive else ""
        yield from _wrapped(f"  {LABELS[index]}: ", show(item) + truth)
        if case.evidence and case.evidence[index].item1 is not None:
            evidence = case.evidence[index]
            yield from _wrapped(
                f"     evidence {evidence.place}: ",
                f"user -{evidence.rating_u1:g}-> {show(evidence.item1)}; of {evidence.raters} who "
                f"rated it, {evidence.soon} went on to this, {evidence.liked} liked it",
            )


def _wrapped(before: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=before, subsequent_indent=" " * len(before)
    ) or [before]


def _placings(case: UserCase) -> Iterator[str]:
    rows = [["method", "variant", f"place of {case.truth}", "ranking, best first"]]
    for answer in case.answers:
        place = answer.summary.removeprefix("ranked ")
        rows.append([answer.method, answer.variant, place, answer.ranking])
    yield aligned(rows, texts=4)


def _prompt(case: UserCase) -> Iterator[str]:
    if case.prompt is not None:
        yield _rule("prompt")
        if case.changed:
            yield from textwrap.wrap(
                f"(as it would be now: {', '.join(case.changed)} changed since the run)", WIDTH
            )
        yield case.prompt


def _answers(case: UserCase) -> Iterator[str]:
    for answer in case.answers:
        if answer.completion is not None:
            yield _rule(f"{_name(answer)}: {answer.summary}; right is {case.truth}")
            yield answer.completion.strip()


def _name(answer: MethodAnswer) -> str:
    return f"{answer.method} {answer.variant}".strip()


def _rule(title: str) -> str:
    return f"--- {title} ".ljust(WIDTH, "-")
