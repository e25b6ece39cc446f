"""How far the work at hand has come: a bar in a terminal, else a plain line a minute."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

BEAT = 60.0  # seconds between two lines
MINUTE = 60
HOUR = 3600

_at_work: list["Bar"] = []  # the bars that are open, the innermost last
_numbers: dict[str, float] = {}  # what else is to be shown of the work at hand


class Bar:
    """A bar over `total` steps of which `done` are done already."""

    def __init__(self, name: str, total: int, done: int = 0) -> None:
        self.total = total
        self.done = self.first = done
        self.began = time.monotonic()
        self.bar = tqdm(total=total, initial=done, desc=name, leave=False, disable=None)
        _numbers.clear()
        _at_work.append(self)

    def update(self, steps: int = 1) -> None:
        """So many steps more are done."""
        self.done += steps
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in _numbers.items()}, False)
        self.bar.update(steps)

    def text(self) -> str:
        """The same in words: "40 of 125, loss 1.203, about 3 min left"."""
        words = [f"{self.done:,} of {self.total:,}"]
        words += [f"{name} {value:.3f}" for name, value in _numbers.items()]
        steps = self.done - self.first
        if steps and self.done < self.total:
            seconds = (time.monotonic() - self.began) / steps * (self.total - self.done)
            words.append(f"about {duration(seconds)} left")
        return ", ".join(words)

    def close(self) -> None:
        """The work is done, or given up."""
        self.bar.close()
        if self in _at_work:
            _at_work.remove(self)
        _numbers.clear()


def note(**numbers: float) -> None:
    """Show these numbers beside the bar: loss, reward, the share of valid answers."""
    _numbers.update(numbers)


@contextmanager
def announced(title: str, say: Callable[[str], None]) -> Iterator[None]:
    """Around the work of a stage: without a terminal, say every minute how far it has come.

    Args:
        title: What the lines begin with.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    begin = time.monotonic()

    def beat() -> None:
        while not over.wait(BEAT):
            spent = duration(time.monotonic() - begin)
            how_far = f": {_at_work[-1].text()}" if _at_work else ""
            say(f"  {title}, {spent} so far{how_far}")

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for bar in _at_work[:]:
            bar.close()  # an error left it open


def duration(seconds: float) -> str:
    """Seconds in words: "12 s", "3 min", "2 h 5 min"."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    hours, rest = divmod(round(seconds / MINUTE), MINUTE)
    return f"{hours} h {rest} min"
