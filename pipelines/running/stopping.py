"""When a run should stop: Ctrl-C, SIGTERM, or the time limit."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any


class Stopping:
    """Turns the first SIGINT or SIGTERM into a polite request; a second one acts at once.

    Args:
        time_limit: seconds from now after which to stop; None for no limit.
    """

    def __init__(self, time_limit: float | None = None) -> None:
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._previous: dict[signal.Signals, Any] = {}
        self.reason: str | None = None

    def __call__(self) -> bool:
        """Whether to stop."""
        if self.reason is None and self._deadline is not None and time.monotonic() >= self._deadline:
            self.reason = "the time limit"
        return self.reason is not None

    def __enter__(self) -> "Stopping":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.reason = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        for again, handler in self._previous.items():
            signal.signal(again, handler)
