"""The file that a study in a folder is: one process writes it, and what a killed one left of it is mended."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from space.errors import Stopped, UserError
from space.files import written_whole

JOURNAL = "journal.log"
LOCK = "lock"


class Journal(JournalFileBackend):
    """Optuna's, that leaves nothing of what it could not write whole: the next line would be written behind it.

    That a trial is begun, and its decisions, stay in memory until something else is to be written, and become one line:
    one wait for the disk instead of one each, and fewer lines to read again. If the process is killed before, there was
    no such trial, and the next one is the same. One `JournalStorage` alone uses it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self.line = 0
        """Number of the last one that was read or written, from 1."""
        self._begun = 0  # trials, by the lines up to there
        self._held: list[dict[str, Any]] = []  # operations that are not written
        self._unread: list[dict[str, Any]] = []  # operations of ours that the storage is still to be told of
        self._closed = False

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The next operations that the storage does not know: those of new lines, or our own, written or not."""
        if self._held or self._unread:  # nobody else writes meanwhile
            unread, self._unread = self._unread, []
            yield from unread
            return
        for operation in super().read_logs(self.line):
            self._begun += _begins(operation)
            self.line += 1
            yield operation

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write some operations with those that were held back, or none of them; what can be held back alone is.

        Raises:
            OSError: the disk is full, or has another trouble.
            Stopped: the session that wrote is over, or somebody else has written.
        """
        if self._closed:
            raise Stopped(f"{self._path} is written by another session now")
        self._held += logs
        if not all(map(_can_wait, logs)):
            try:
                self._write(_joined(self._held, self._begun))
            except BaseException:
                del self._held[-len(logs) :]
                raise
            self._begun += sum(map(_begins, self._held))
            self._held.clear()
        self._unread += json.loads(json.dumps(logs))  # as who reads the file sees them

    def close(self) -> None:
        """Write no more, nor what is held back."""
        self._closed = True

    def _write(self, lines: list[dict[str, Any]]) -> None:
        """All of these lines, or none of them."""
        size = self._path.stat().st_size
        if size != self._log_number_offset[self.line]:
            raise Stopped(f"{self._path} was written by another process")
        try:
            super().append_logs(lines)
        except BaseException:  # an interruption, too: what it wrote would be written again
            with contextlib.suppress(OSError):  # what it could not do here, `mend_end` does
                os.truncate(self._path, size)
            raise
        self.line += len(lines)
        self._log_number_offset[self.line] = self._path.stat().st_size


def _begins(operation: Mapping[str, Any]) -> bool:
    """Whether there is another trial by it."""
    return bool(operation["op_code"] == JournalOperation.CREATE_TRIAL)


def _can_wait(operation: Mapping[str, Any]) -> bool:
    """Whether it says nothing that is not found again: that a trial is begun, or a decision.

    What a trial begins with is in the outcome of the one that it replaces.
    """
    new = _begins(operation) and operation.get("state", TrialState.RUNNING) == TrialState.RUNNING
    return new or bool(operation["op_code"] == JournalOperation.SET_TRIAL_PARAM)


def _joined(operations: Sequence[dict[str, Any]], begun: int) -> list[dict[str, Any]]:
    """These operations, what is said of a trial that they begin in the operation that begins it.

    Args:
        operations: to be written.
        begun: trials before them; Optuna's number of a trial is how many there were before it.
    """
    lines: list[dict[str, Any]] = []
    new: dict[int, dict[str, Any]] = {}
    for operation in operations:
        kind, of = operation["op_code"], new.get(operation.get("trial_id", -1))
        if of is not None and kind == JournalOperation.SET_TRIAL_PARAM:
            name = operation["param_name"]
            of["params"] = of.get("params", {}) | {name: operation["param_value_internal"]}
            of["distributions"] = of.get("distributions", {}) | {name: operation["distribution"]}
        elif of is not None and kind == JournalOperation.SET_TRIAL_USER_ATTR:
            of["user_attrs"] = of.get("user_attrs", {}) | operation["user_attr"]
        else:
            lines.append(dict(operation))
            if _begins(operation):
                new[begun + len(new)] = lines[-1]
    return lines


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
