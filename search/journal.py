"""The file that a study in a folder is: one process writes it, and what a killed one left of it is mended."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation

from space.errors import UserError
from space.files import written_whole

JOURNAL = "journal.log"
LOCK = "lock"


class Journal(JournalFileBackend):
    """Optuna's, that leaves nothing of what it could not write whole: the next line would be written behind it.

    A trial's decisions stay in memory until another operation comes, and are written in front of that: one wait for the
    disk instead of one each. If the process is killed before, the trial has no job, and is decided on again, the same.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._decisions: list[dict[str, Any]] = []  # that come behind the last line
        self.line = 0
        """Number of the last one that was read, from 1."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The operations behind so many: those of all lines, and those that are not written yet."""
        # While decisions are held back there is no new line: nobody else writes, and our own lines were read at once.
        if log_number_from < self.line or not self._decisions:
            self.line = min(self.line, log_number_from)
            for operation in super().read_logs(self.line):
                self.line += 1
                if self.line > log_number_from:  # otherwise it was read before it was written
                    yield operation
        yield from self._decisions[max(0, log_number_from - self.line) :]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write some operations with those that were held back, or none of them; decisions alone are held back.

        Raises:
            OSError: the disk is full, or has another trouble.
        """
        if all(log["op_code"] == JournalOperation.SET_TRIAL_PARAM for log in logs):
            self._decisions += logs
            return
        size = self._path.stat().st_size
        try:
            super().append_logs([*self._decisions, *logs])
        except OSError:
            with contextlib.suppress(OSError):  # what it could not do here, `mend_end` does
                os.truncate(self._path, size)
            raise
        self._decisions.clear()


@contextlib.contextmanager
def locked(folder: Path, study: str) -> Iterator[None]:
    """Hold the lock of a study's folder; across machines where their file system supports flock, as NFS 4 does.

    Raises:
        UserError: another process holds it.
    """
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"study {study} is being run by process {lock.read().strip()}; wait for it, or stop it with Ctrl-C"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def mend_end(journal: Path) -> None:
    """Undo what a killed process leaves: a stale lock of Optuna's, which would cost 30 s, and half a line.

    To be called under the study's lock only.
    """
    for stale in stale_locks(journal):
        stale.unlink()
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        if (end := _whole_until(file)) is not None:
            file.truncate(end)


def ends_in_the_middle(journal: Path) -> bool:
    """Whether its last line was cut short."""
    with journal.open("rb") as file:
        return _whole_until(file) is not None


def _whole_until(file: BinaryIO) -> int | None:
    """Where the last whole line ends, if there is something behind it."""
    end = file.seek(0, os.SEEK_END)
    start, tail = end, b""
    while start and b"\n" not in tail:
        start = max(0, start - 65_536)
        file.seek(start)
        tail = file.read(end - start)
    whole = start + tail.rfind(b"\n") + 1
    return None if whole == end else whole


def stale_locks(journal: Path) -> list[Path]:
    """Optuna's own locks of a journal, left by a killed process where nobody holds the study's."""
    return sorted(journal.parent.glob(f"{journal.name}.lock*"))


def first_torn(journal: Path) -> int | None:
    """The number, from 1, of the first line that is no operation, half a line at the end aside; None where all are."""
    with journal.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return None
            try:
                operation = json.loads(line)
            except ValueError:
                return number
            if not isinstance(operation, dict) or "op_code" not in operation:
                return number
    return None


def first_damaged(journal: Path) -> int | None:
    """The number, from 1, of the first line that is torn, or that says what cannot be after those before it."""
    if (line := first_torn(journal)) is not None:
        return line
    lines = Journal(journal)
    try:
        JournalStorage(lines)
    except Exception:  # of many kinds, of Optuna's
        return lines.line
    return None


def cut_before(journal: Path, line: int) -> Path:
    """Leave the lines before this one; the whole file is kept beside it. To be called under the study's lock only.

    Returns:
        where the whole file is.
    """
    kept = next(path for count in range(1000) if not (path := journal.with_name(f"{JOURNAL}.torn-{count}")).exists())
    with written_whole(journal) as partial:
        with journal.open("rb") as whole:
            partial.write_bytes(b"".join(islice(whole, line - 1)))
        kept.hardlink_to(journal)
    return kept
