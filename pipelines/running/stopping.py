"""When a run should stop: Ctrl-C, SIGTERM, or the time limit."""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class Stopping:
    """Turns the first SIGINT or SIGTERM into a polite request; a second one acts at once.

    Whoever sends SIGTERM, as batch systems do, kills a while later: then the second one comes by itself before that.

    Args:
        time_limit: seconds from now after which to stop; None for no limit.
        grace: seconds from SIGTERM until it acts at once; None for any time.
    """

    def __init__(self, time_limit: float | None = None, grace: float | None = None) -> None:
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._grace = grace
        self._timer: threading.Timer | None = None
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
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.reason = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
        for again, handler in self._previous.items():
            signal.signal(again, handler)
        if number == signal.SIGTERM and self._grace is not None:
            self._timer = threading.Timer(self._grace, os.kill, (os.getpid(), signal.SIGTERM))
            self._timer.daemon = True
            self._timer.start()
