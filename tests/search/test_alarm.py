"""What takes too long is ended, also where it hangs."""

import contextlib
import signal
import subprocess
import sys
import threading

import pytest

from search.alarm import TimedOut, alarm


def wait_for_ever() -> None:
    while True:
        with contextlib.suppress(Exception):
            threading.Event().wait()


def test_it_interrupts_what_waits_for_ever_and_handles_every_exception() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimedOut), alarm(0.01):
        wait_for_ever()
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize("seconds", [None, 1000.0])
def test_what_is_done_in_time_is_left_alone_and_no_alarm_rings_later(seconds: float | None) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with alarm(seconds, expendable=True):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_no_exception_reaches_ends_with_its_process_where_that_may_be() -> None:
    hang = """
import signal, threading
from search import alarm
alarm.GRACE_SECONDS = 0.01
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as in a library that never gets back to Python
with alarm.alarm(0.01, expendable=True):
    threading.Event().wait()
"""
    ended = subprocess.run([sys.executable, "-c", hang], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
