"""Where a user's files are, and writing them whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from space.errors import UserError


def absolute(path: Path | str) -> Path:
    """What a user typed, as it is meant wherever the work is done; ~ is the home folder.

    Raises:
        UserError: no file can have that name, or there is no such home folder.
    """
    if "\0" in str(path):
        raise UserError(f"{path}: no file has such a name")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{path}: nobody of that name has a home folder here") from None


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give another path to write to; what was written there is at `path` afterwards, safe from a loss of power.

    Whatever is raised inside leaves `path` as it was. Its folder is made if it is missing.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")  # its own: another process may write, too
    try:
        yield partial
        to_disk(partial)
        partial.replace(path)
        with contextlib.suppress(OSError):  # some network file systems cannot do that to a folder
            to_disk(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with written_whole(path) as partial:
        partial.write_text(text)


def to_disk(path: Path) -> None:
    """Make a file, or what is in a folder, safe from a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
