"""What a language model that teaches is asked, and how its reply is read (3.2.2, A.1).

The words of the prompt are our own.
"""

import re

from r2rec.config import Prompt, Words
from r2rec.llm.chat import Messages, user_turn
from r2rec.prompts.answer import parse_ranking, render_ranking, split_thought, thought_steps
from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.prompts.render import render_prompt, render_template
from r2rec.thoughts.audit import broken_rules

SHOWN_REASONS = 3  # reasons of one rejection that the writer hears, at most

# A line that begins the answer: "Ranking: B > A", "**Final ranking:** B, A", "Rating: 4"
_ANSWER_LINE = re.compile(
    r"^[\s*_#>]*(?:final\s+)?(?:ranking|rating|answer)\b[^\n]*[:：]",
    re.IGNORECASE | re.MULTILINE,
)


def teacher_messages(
    case: RankingCase | RatingCase,
    answer: str,
    prompt: Prompt,
    words: Words,
    masked: bool = True,
    progressive: bool = True,
    guided: bool = True,
) -> Messages:
    """The question that the student will get, and how to reason about it.

    Args:
        answer: What the user did: the positive's label, or the rating as a digit.
        masked: While a hop is discussed, what comes after it may not be used.
        progressive: A step rests on the steps before it and on nothing else.
        guided: The writer is told the answer, which must not show.
    """
    is_ranking = isinstance(case, RankingCase)
    text = render_template(
        "teacher",
        question=render_prompt(case, prompt, words, ask=False),
        answer=answer if guided else None,
        masked=masked,
        progressive=progressive,
        prose=prompt.prose,
        ranking=is_ranking,
        chains=isinstance(case, RankingCase) and bool(case.chains),
    )
    return user_turn(text)


def again(reply: str, reasons: list[str], guided: bool) -> Messages:
    """How a conversation goes on after a reply that the audit rejected.

    Reasons may name the answer. A writer who was not told it hears only which rules were broken.
    """
    if not guided:
        reasons = broken_rules(reasons)
    shown = "; ".join(reasons[:SHOWN_REASONS])
    text = (
        f"This breaks the rules ({shown}). "
        "Write all steps and the answer line anew, without a remark."
    )
    return [{"role": "assistant", "content": reply}, {"role": "user", "content": text}]


def read_reply(text: str, case: RankingCase | RatingCase) -> tuple[str, str]:
    """(thought, answer) of a reply: its numbered steps, and the last answer line with what follows.

    What a reasoning model thinks between its own tags is not the trace, unless there are no steps
    elsewhere.
    """
    inner_thought, tail = split_thought(text, reasoned=False)
    if inner_thought and not thought_steps(tail):
        thought = inner_thought
        answer = tail
    else:
        answer_start = len(tail)
        for match in _ANSWER_LINE.finditer(tail):
            answer_start = match.start()
        thought = tail[:answer_start]
        answer = tail[answer_start:]
    if isinstance(case, RankingCase):
        labels = parse_ranking(answer, len(case.candidates), reasoned=False).labels
        if labels:
            answer = render_ranking(labels)
    return thought.strip(), answer.strip()
