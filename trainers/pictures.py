"""Image files: opened, looked into, and decoded to squares of 8-bit RGB."""

import contextlib
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from space.errors import UserError

UNREADABLE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for a file that is no whole image, by format."""

AT_ONCE = 128
"""Files that are given to threads together."""

OnRead = Callable[[int, int], None]
"""Told now and then how many files are read, of how many."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras, scanners and microscopes have; files keep more than 8 in 16 or 32."""


Result = TypeVar("Result")


def in_threads(
    read: Callable[[Path], Result], paths: Sequence[Path], on_read: OnRead | None = None
) -> Iterator[Result]:
    """What a function makes of each file, in order, by threads.

    Raises:
        UserError: what the function raises, for the first file that it does.
    """
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), AT_ONCE):
            some = paths[start : start + AT_ONCE]
            yield from pool.map(read, some)
            if on_read is not None:
                on_read(start + len(some), len(paths))


def unreadable(path: Path, error: Exception) -> UserError:
    """What to tell the user of a file that is no whole image."""
    return UserError(f"{path} is not a readable image ({error}); mend or remove it")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file.

    Raises:
        UserError: it is no whole image; found out here or when it is decoded inside.
    """
    try:
        with Image.open(path) as image:
            yield image
    except UserError:
        raise
    except UNREADABLE as error:
        raise unreadable(path, error) from None


def decode(
    path: Path, side: int, shorter_side: int | None = None, crop_seed: int | None = None, depth: int = 8
) -> Tensor:
    """An image file as (3, side, side), upright as its EXIF tags say.

    Args:
        path: the file.
        side: of the square, in pixels.
        shorter_side: of the resized image that the square is the centre of; None for `side`.
        crop_seed: cut a random part out instead, drawn from this seed, and resize it to the square.
        depth: bits that the levels of a picture have which has more than 8, or may have; the upper 8 are kept, and
            levels beyond are the highest.

    Raises:
        UserError: a file that is no whole still image, named.
    """
    from torchvision.transforms.v2 import RandomResizedCrop, functional  # takes as long as torch

    with opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # what a camera adds to its photograph is a preview of it
            raise UserError(f"{path} has {frames} frames; a still image is wanted: keep one frame, or remove it")
        ImageOps.exif_transpose(image, in_place=True)
        picture = _rgb(path, image, depth)
        if crop_seed is None:
            picture = functional.resize(picture, [shorter_side or side], antialias=True)
            picture = functional.center_crop(picture, [side])
        else:
            with torch.random.fork_rng([]):
                torch.manual_seed(crop_seed)
                picture = RandomResizedCrop(side)(picture)
        pixels: Tensor = functional.pil_to_tensor(picture)
        return pixels


def depth_of(path: Path, image: Image.Image) -> int:
    """Bits that hold the levels of an open picture: the fewest of `DEPTHS`.

    What a file declares is of no use: 12 bits are mostly declared as 16.

    Raises:
        UserError: levels of more than 16 bits, below zero, or that are no whole numbers.
    """
    levels = _deep_levels(path, image)
    if levels is None:
        return DEPTHS[0]
    return next(depth for depth in DEPTHS if levels.max() < 2**depth)


def is_cut(image: Image.Image) -> bool:
    """Whether an open picture has colours of 16 bits, of which Pillow gives the upper 8 only."""
    return not image.mode.startswith("I") and any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def _deep_levels(path: Path, image: Image.Image) -> NDArray[np.integer] | None:
    """The levels (H, W) of a picture that may have more than 8 bits; None for any other."""
    if image.mode == "F":
        raise UserError(f"{path} has levels that are floating-point numbers; save it with 8 or 16 bits")
    if not image.mode.startswith("I"):
        return None
    levels: NDArray[np.integer] = np.asarray(image)
    if levels.min() < 0 or levels.max() >= 2 ** DEPTHS[-1]:
        raise UserError(f"{path} has levels from {levels.min():,} to {levels.max():,}; save it with 8 or 16 bits")
    return levels


def _rgb(path: Path, image: Image.Image, depth: int) -> Image.Image:
    """The picture in 8-bit RGB: deeper levels divided, what is transparent on white."""
    levels = _deep_levels(path, image)
    if levels is not None:  # Pillow would clip what is deeper than 8 bits
        return Image.fromarray((levels.clip(max=2**depth - 1) >> (depth - 8)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")
