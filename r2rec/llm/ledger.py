"""The dollars that a run has spent, by endpoint: one ceiling holds for all of its stages."""

from r2rec.config import Endpoint


class Ledger:
    """US dollars of one run at one endpoint. Each answer counts once, stored answers included."""

    def __init__(self) -> None:
        self.answers: dict[str, float] = {}  # address of an answer -> its cost
        self.reused = 0.0  # cost of the answers behind artefacts that were reused

    @property
    def spent(self) -> float:
        """The sum of all costs."""
        return self.reused + sum(self.answers.values())

    @property
    def dearest(self) -> float:
        """The cost of the most expensive answer; 0 before the first."""
        return max(self.answers.values(), default=0.0)


_ledgers: dict[tuple[str | None, str], Ledger] = {}


def begin() -> None:
    """Start a run: all ledgers are empty again."""
    _ledgers.clear()


def of(endpoint: Endpoint) -> Ledger:
    """The ledger of an endpoint: of its server and its model."""
    return _ledgers.setdefault((endpoint.base_url, endpoint.model), Ledger())
