"""What a run's answers cost so far, by endpoint: a ceiling holds for all stages and calls of the run together."""

from collections.abc import Mapping
from typing import Any


class Ledger:
    """US dollars of one run at one endpoint; each answer counts once, kept ones too."""

    def __init__(self) -> None:
        self.answers: dict[str, float] = {}  # by the address of each
        self.reused = 0.0  # of the answers that artefacts used again were made of

    @property
    def spent(self) -> float:
        """All of it."""
        return self.reused + sum(self.answers.values())

    @property
    def dearest(self) -> float:
        """The one answer that cost most; 0 before the first."""
        return max(self.answers.values(), default=0.0)


_of_run: dict[tuple[str | None, str], Ledger] = {}


def begin() -> None:
    """A run begins, and with it every ledger anew."""
    _of_run.clear()


def of(endpoint: Mapping[Any, Any]) -> Ledger:
    """The ledger of an `Endpoint` of the configuration: of its server and model."""
    return _of_run.setdefault((endpoint["base_url"], endpoint["model"]), Ledger())
