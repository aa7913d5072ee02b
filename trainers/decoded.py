"""Images decoded once a node, into an array on disk that all of its processes map.

The array of some files is named after a digest of what they hold. It is written under another name, under a lock
on the folder, and renamed when it is whole. So what has the right name is whole, and what is half
written while one holds the lock was left by a process that died.
"""

import contextlib
import fcntl
import hashlib
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainers.augment import random_resized_crop
from trainers.images import CPU, FileImages, Images
from trainers.pictures import OnRead, decode, in_threads

FORMAT = 2
"""To be raised when `decode` gives other pixels for a file."""
ARRAY, PARTIAL = ".decoded.npy", ".decoded.part"
"""How the names of whole and of unfinished arrays end; nothing else in the folder is ever removed."""


@dataclass(frozen=True)
class MappedImages:
    """Square images in an array on disk that all processes of a node share; read as they are needed.

    Attributes:
        pixels: (M, 3, S, S), uint8, mapped.
        rows: (N,), of the array, where these images are.
        labels: (N,).
        device: that batches go to.
    """

    pixels: NDArray[np.uint8]
    rows: Tensor
    labels: Tensor
    device: torch.device = CPU

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""
        for indices in order.split(batch_size):
            images = torch.from_numpy(self.pixels[self.rows[indices].numpy()]).to(self.device)
            labels = self.labels[indices].to(self.device)
            yield random_resized_crop(images, images.shape[2:]) if resized_crop else images, labels

    def to(self, device: torch.device, workers: int) -> "MappedImages":
        """The same images for another device; nothing is left to decode."""
        return replace(self, device=device)

    def joined(self, other: Images) -> "MappedImages":
        """These images and then the other ones, which are in the same array."""
        assert isinstance(other, MappedImages)
        assert other.pixels is self.pixels
        return replace(self, rows=torch.cat([self.rows, other.rows]), labels=torch.cat([self.labels, other.labels]))

    def part(self, indices: Tensor) -> "MappedImages":
        """Those of the images, in this order (n,)."""
        return replace(self, rows=self.rows[indices], labels=self.labels[indices])


def decoded_once(
    files: FileImages, contents: Sequence[str], cache: Path, cache_bytes: int, on_read: OnRead | None = None
) -> tuple[MappedImages | FileImages, str]:
    """These files from the folder of decoded images, decoded into it if they are not there; or as they are.

    Of several processes that want the same files one decodes, and the others wait for it.

    Args:
        files: read as squares.
        contents: a digest of the content of each.
        cache: the folder; made if it is missing.
        cache_bytes: that all arrays in it may take together; those that were not used for longest make room.
        on_read: told of the progress.

    Returns:
        The images, and a sentence that says which way they are read.

    Raises:
        UserError: a file that is no whole image, named.
    """
    shape = (len(files.paths), 3, files.side, files.side)
    size = math.prod(shape)
    path = cache / f"{_digest(files, contents)}{ARRAY}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        pixels = _mapped(path, shape)
        if pixels is None:
            with _locked(cache):
                pixels = _mapped(path, shape)  # another process may just have made it
                if pixels is None:
                    if shortage := _make_room(cache, size, cache_bytes):
                        return files, f"streamed: decoded they would take {_amount(size)}, more than {shortage}"
                    _write(path, files, shape, on_read)
                    pixels = _mapped(path, shape)
                    assert pixels is not None
    except OSError as error:
        return files, f"streamed: {cache} cannot keep them decoded ({error.strerror})"
    note = f"decoded once: {shape[0]:,} images of {files.side} x {files.side} ({_amount(size)}) in {cache}"
    return MappedImages(pixels, torch.arange(len(files.paths)), files.labels, files.device), note


def decoding(files: FileImages, on_read: OnRead | None = None) -> Iterator[Tensor]:
    """Each file as (3, S, S), in order, decoded by threads.

    Raises:
        UserError: a file that is no whole image, named.
    """

    def decoded(path: Path) -> Tensor:
        return decode(path, files.side, files.shorter_side, depth=files.depth)

    return in_threads(decoded, files.paths, on_read)


def _digest(files: FileImages, contents: Sequence[str]) -> str:
    how = f"{FORMAT} {files.side} {files.shorter_side} {files.depth}"
    return hashlib.sha256("\0".join([how, *contents]).encode()).hexdigest()


def _mapped(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The array, marked as used now; None if it is not there, or not what was written."""
    try:
        pixels: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (FileNotFoundError, EOFError, ValueError):
        return None
    if pixels.shape != shape or pixels.dtype != np.uint8:
        return None
    with contextlib.suppress(OSError):  # another user's array, or one that was removed just now: mapped all the same
        os.utime(path)
    return pixels


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Only one process at a time is inside; a lock dies with its process."""
    with (cache / "decoded.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_room(cache: Path, size: int, cache_bytes: int) -> str | None:
    """Remove what keeps so many bytes out, if that helps; otherwise say what they are more than.

    To be called under the lock only.
    """
    for partial in cache.glob(f"*{PARTIAL}"):
        partial.unlink()
    lengths = {path: path.stat().st_size for path in cache.glob(f"*{ARRAY}")}
    used, free = sum(lengths.values()), shutil.disk_usage(cache).free
    if size > cache_bytes:
        return f"the {_amount(cache_bytes)} that the cache may have"
    if size > used + free:
        return f"the {_amount(used + free)} that there is room for in {cache}"
    for path in sorted(lengths, key=lambda path: path.stat().st_mtime_ns):
        if used + size <= cache_bytes and size <= free:
            break
        path.unlink()  # whoever has it mapped keeps it
        used, free = used - lengths[path], free + lengths[path]
    return None


def _write(path: Path, files: FileImages, shape: tuple[int, ...], on_read: OnRead | None) -> None:
    partial = path.with_name(path.name.removesuffix(ARRAY) + PARTIAL)
    try:
        with partial.open("wb") as file:  # not mapped: a full disk is an error here, and would kill the process there
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for pixels in decoding(files, on_read):
                file.write(pixels.numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _amount(size: int) -> str:
    """Bytes as a user reads them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size / 1e3:,.1f} kB"
