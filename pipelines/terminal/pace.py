"""How often something that takes longer and longer is done again."""

import time
from types import TracebackType


class Pace:
    """Says when it is time again for something, so that it takes but a small share of all time, however long it takes.

        if pace.due:
            with pace:
                ...

    Args:
        share: of the time, at most.
        seconds: at least so long between the end of one time and the next.
        at_once: whether it is time now; else in so many seconds.
    """

    def __init__(self, share: float, seconds: float = 0.0, at_once: bool = True) -> None:
        self._share = share
        self._seconds = seconds
        self._began = 0.0
        self._next = 0.0 if at_once else time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """Whether it is time again."""
        return time.monotonic() >= self._next

    def __enter__(self) -> "Pace":
        self._began = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ended = time.monotonic()
        self._next = ended + max(self._seconds, (ended - self._began) * (1 / self._share - 1))
