"""What the image files of a folder hold: read once a machine, and remembered by their status, as git does it.

A file is read again when its size or one of its times differs. Its time of change cannot be set, so that
other pixels are noticed even where size and time of modification are put back.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from space.files import write_whole
from trainers.pictures import OnRead, depth_of, in_threads, is_cut, opened, unreadable

FORMAT = 1
"""To be raised when a `Content` says something else of a file."""
REMEMBERED = ".contents.json"
"""How the names of the files end that remember."""
SETTLED_NS = 1_000_000_000
"""Nanoseconds since the last change of a file that is remembered: a clock may not tell two sooner ones apart."""

Status = tuple[int, int, int]
"""Size in bytes, times of modification and of change in nanoseconds."""


@dataclass(frozen=True)
class Content:
    """What an image file holds.

    Attributes:
        digest: sha256 of its bytes.
        shorter_side: of the picture, in pixels.
        depth: bits that hold its levels, see `depth_of`.
        cut: whether its colours have 16 bits, see `is_cut`.
    """

    digest: str
    shorter_side: int
    depth: int
    cut: bool


def contents_of(
    paths: Sequence[Path], root: Path, cache: Path | None = None, on_read: OnRead | None = None
) -> list[Content]:
    """What each file holds.

    Args:
        paths: of all files of a data set.
        root: folder that they are in.
        cache: folder to remember it in; None for none. One that cannot be written to is done without.
        on_read: told of the progress while files are read.

    Raises:
        UserError: a file that is no image, named.
    """
    place = hashlib.sha256(f"{FORMAT} {root.absolute()}".encode(errors="surrogateescape")).hexdigest()
    memory = None if cache is None else cache / f"{place}{REMEMBERED}"
    known = {} if memory is None else _remembered(memory)
    now = time.time_ns()
    keys = [(path.relative_to(root).as_posix(), _status(path)) for path in paths]
    unknown = {key: path for key, path in zip(keys, paths, strict=True) if key not in known}
    known |= dict(zip(unknown, in_threads(_read, [*unknown.values()], on_read), strict=True))
    if memory is not None and unknown:
        _remember(memory, {key: known[key] for key in keys if now - max(key[1][1:]) > SETTLED_NS})
    return [known[key] for key in keys]


def _status(path: Path) -> Status:
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read(path: Path) -> Content:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    with opened(path) as image:
        return Content(digest, min(image.size), depth_of(path, image), is_cut(image))


def _remembered(memory: Path) -> dict[tuple[str, Status], Content]:
    try:
        rows = json.loads(memory.read_bytes())
        return {(name, (size, modified, changed)): Content(*of) for name, size, modified, changed, *of in rows}
    except (OSError, ValueError, TypeError):
        return {}


def _remember(memory: Path, contents: Mapping[tuple[str, Status], Content]) -> None:
    """Whole whoever else writes it, too; what is not remembered is read again."""
    rows = [(name, *status, *astuple(content)) for (name, status), content in contents.items()]
    with contextlib.suppress(OSError):
        write_whole(memory, json.dumps(rows))
