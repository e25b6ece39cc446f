"""Names of metrics: hr@K, ndcg@K and mrr."""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from r2rec.base.errors import R2RecError
from r2rec.config.data import METRICS as METRICS

NAME = re.compile(r"(hr|ndcg)@([1-9][0-9]{0,3})|mrr")
SPELLINGS = {"hr": "hr", "hit": "hr", "hitratio": "hr", "hitrate": "hr", "recall": "hr"}
SPELLINGS |= {"ndcg": "ndcg", "mrr": "mrr"}
KINDS = "there are hr@K, ndcg@K and mrr"


class Metric(NamedTuple):
    """What the name of a metric means."""

    family: str  # "hr", "ndcg" or "mrr"
    k: int | None  # how far down a ranking it looks; None: to its end


def metric_of(name: str) -> Metric:
    """What a name means.

    Raises:
        R2RecError: There is no such metric.
    """
    meant = NAME.fullmatch(name)
    if meant is None:
        raise R2RecError(f"there is no metric {name}{_guess(name)}; {KINDS}")
    family, k = meant.groups()
    return Metric(family, int(k)) if family else Metric("mrr", None)


def metric_mistakes(names: Sequence[str], n_candidates: int | None = None) -> Iterator[str]:
    """What is wrong with a choice of metrics, a line for each mistake.

    Args:
        n_candidates: How many items are ranked, and the most that K can be; None: any number.
    """
    if not names:
        yield f"no metric is named; {KINDS}"
    for number, name in enumerate(names):
        try:
            metric = metric_of(name)
        except R2RecError as error:
            yield str(error)
            continue
        if name in names[:number]:
            yield f"{name} is named twice"
        elif n_candidates and metric.k and metric.k > n_candidates:
            yield f"{name} looks further than the {n_candidates} candidates; K can be that at most"


def check_metrics(names: Sequence[str]) -> None:
    """Raise R2RecError where one of these is no metric."""
    for mistake in metric_mistakes(names):
        raise R2RecError(mistake)


def metric_title(name: str) -> str:
    """How tables and figures write a metric: "HR@1"."""
    return name.upper()


def with_paper(names: Iterable[str]) -> list[str]:
    """The metrics of the paper, then the others of `names`."""
    return list(dict.fromkeys([*METRICS, *names]))


def _guess(name: str) -> str:
    """What a misspelt name may stand for, in the middle of a message."""
    plain = re.sub(r"[^a-z0-9]", "", name.casefold())
    family = plain.rstrip("0123456789")
    close = get_close_matches(family, SPELLINGS, n=1)
    if not close:
        return ""
    meant = SPELLINGS[close[0]]
    k = plain.removeprefix(family).lstrip("0")
    return f" (did you mean {meant if meant == 'mrr' else f'{meant}@{k or 1}'}?)"
