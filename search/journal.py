"""The file that a study in a folder is: one process writes it, and what a killed one left of it is mended."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from space.errors import UserError
from space.files import written_whole

JOURNAL = "journal.log"
LOCK = "lock"


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
        content = file.read()
        if not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


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


def cut_before(journal: Path, line: int) -> Path:
    """Leave the lines before this one; the whole file is kept beside it. To be called under the study's lock only.

    Returns:
        where the whole file is.
    """
    content = journal.read_bytes()
    kept = next(path for count in range(1000) if not (path := journal.with_name(f"{JOURNAL}.torn-{count}")).exists())
    with written_whole(kept) as partial:
        partial.write_bytes(content)
    with written_whole(journal) as partial:
        partial.write_bytes(b"".join(content.splitlines(keepends=True)[: line - 1]))
    return kept
