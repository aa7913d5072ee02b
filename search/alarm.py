"""Ending what takes too long, also where it hangs."""

import contextlib
import faulthandler
import signal
import threading
from collections.abc import Iterator
from types import FrameType

GRACE_SECONDS = 30.0
"""So long after an alarm, code that no exception reaches is ended with its process."""
AGAIN_SECONDS = 5.0
"""Until it rings again: Python drops an exception that comes inside of some code, such as a finaliser."""


class TimedOut(BaseException):
    """No `Exception`: what hangs is often inside something that handles those."""


@contextlib.contextmanager
def alarm(seconds: float | None, *, expendable: bool = False) -> Iterator[None]:
    """Interrupt what is done meanwhile after so many seconds; None for never. Rings in the main thread alone.

    Args:
        seconds: until then.
        expendable: whether the process may be ended `GRACE_SECONDS` later, if it hangs where Python never gets to.

    Raises:
        TimedOut: it took so long.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not over:
            raise TimedOut

    before = signal.signal(signal.SIGALRM, ring)
    try:
        if expendable:
            faulthandler.dump_traceback_later(max(seconds, 0.0) + GRACE_SECONDS, exit=True)
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), AGAIN_SECONDS)  # 0 would be never
        yield
    finally:
        over = True  # first of all: it may ring just now
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if expendable:
            faulthandler.cancel_dump_traceback_later()
