"""What a data set is known by: the same for the same images, labels and splits, wherever they lie."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from trainers.images import FileImages, Images
from trainers.pictures import unreadable

BATCH = 256


def data_digest(classes: Sequence[str], splits: Sequence[Images], contents: Mapping[Path, str] | None = None) -> str:
    """A sha256 of the classes, and of the images and labels of each split in their order.

    An image in memory counts by its pixels. A file counts by its name below the folder that has all of them,
    and by the digest of its content, else by its size: a million files are not read for this.

    Args:
        classes: class names.
        splits: of the data set; on the CPU.
        contents: a digest of the content of each file.

    Raises:
        UserError: a file that is not there, named.
    """
    digest = hashlib.sha256(json.dumps(classes).encode())
    files = [path for images in splits if isinstance(images, FileImages) for path in images.paths]
    root = os.path.commonpath(files) if files else ""
    for images in splits:
        digest.update(f"\0{len(images.labels)}\0".encode())
        digest.update(images.labels.to(torch.int64).numpy().tobytes())
        if isinstance(images, FileImages):
            for path in images.paths:
                held = _size(path) if contents is None else contents[path]
                digest.update(os.fsencode(f"\0{path.relative_to(root).as_posix()}\0{held}"))
        else:
            for pixels, _ in images.batches(torch.arange(len(images.labels)), BATCH):
                digest.update(f"\0{tuple(pixels.shape)}".encode())
                digest.update(pixels.contiguous().numpy().data)
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from None
