"""What a language model that teaches is asked, and how its reply is read (3.2.2, A.1; the words are our own)."""

import re

from omegaconf import DictConfig

from r2rec.llm.chat import Messages, user_turn
from r2rec.prompts.answer import parse_ranking, render_ranking, split_thought, thought_steps
from r2rec.prompts.cases import RankingCase, RatingCase
from r2rec.prompts.render import plain, render_prompt

_ANSWER = re.compile(
    r"^[\s*_#>]*(?:final\s+)?(?:ranking|rating|answer)\b[^\n]*[:：]", re.IGNORECASE | re.MULTILINE
)


def teacher_messages(
    case: RankingCase | RatingCase,
    answer: str,
    prompt: DictConfig,
    words: DictConfig,
    masked: bool = True,
    progressive: bool = True,
    guided: bool = True,
) -> Messages:
    """The question that the student will get, and how to reason about it.

    Args:
        answer: What the user did: the positive's label, or the rating as a digit.
        masked: While a hop is discussed, what comes after it may not be used.
        progressive: A step rests on the steps before it alone.
        guided: The writer is told the answer, which must not show.
    """
    chains = isinstance(case, RankingCase) and bool(case.chains)
    return user_turn(plain(
        "teacher", question=render_prompt(case, prompt, words, ask=False), answer=answer if guided else None, masked=masked,
        progressive=progressive, ranking=isinstance(case, RankingCase), chains=chains,
    ))  # fmt: skip


def again(reply: str, reasons: list[str], guided: bool) -> Messages:
    """What a conversation goes on with after a reply that the audit turned down.

    Reasons may name the answer: a writer who was not told it hears which rules were broken, and no more.
    """
    told = (
        reasons if guided else list(dict.fromkeys(reason.partition(":")[0] for reason in reasons))
    )
    text = f"This breaks the rules ({'; '.join(told[:3])}). Write all steps and the answer line anew, without a remark."
    return [{"role": "assistant", "content": reply}, {"role": "user", "content": text}]


def read_reply(text: str, case: RankingCase | RatingCase) -> tuple[str, str]:
    """(thought, answer) of a reply: its numbered steps, and the line after them.

    What a reasoning model thinks for itself is not the trace, unless the steps are nowhere else.
    """
    own, tail = split_thought(text, reasoned=False)
    if own and not thought_steps(tail):
        thought, answer = own, tail
    else:
        *_, at = [len(tail), *(m.start() for m in _ANSWER.finditer(tail))]
        thought, answer = tail[:at], tail[at:]
    if isinstance(case, RankingCase):
        labels = parse_ranking(answer, len(case.candidates), reasoned=False).labels
        answer = render_ranking(labels) if labels else answer
    return thought.strip(), answer.strip()
