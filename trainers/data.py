"""Labelled images as a training sees them, wherever they come from.

Shapes: N images of C channels and H x W pixels, uint8; labels int64.
"""

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import RandomResizedCrop, functional

from space.errors import UserError
from space.seeds import mix_seed
from trainers.augment import random_resized_crop

CPU = torch.device("cpu")
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


class Images(Protocol):
    """Labelled images that can be read in any order."""

    @property
    def labels(self) -> Tensor:
        """(N,)."""

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""

    def to(self, device: torch.device, workers: int) -> "Images":
        """The same images for a training on this device, with so many processes to decode them."""

    def joined(self, other: "Images") -> "Images":
        """These images and then the other ones, which are of the same kind."""


@dataclass(frozen=True)
class TensorImages:
    """Images that fit into the device's memory: one tensor (N, C, H, W), labels (N,)."""

    images: Tensor
    labels: Tensor

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""
        for indices in order.to(self.images.device).split(batch_size):
            images = self.images[indices]
            yield random_resized_crop(images, images.shape[2:]) if resized_crop else images, self.labels[indices]

    def to(self, device: torch.device, workers: int) -> "TensorImages":
        """The same images on another device; nothing is left to decode."""
        return TensorImages(self.images.to(device), self.labels.to(device))

    def joined(self, other: Images) -> "TensorImages":
        """These images and then the other ones."""
        assert isinstance(other, TensorImages)
        return TensorImages(torch.cat([self.images, other.images]), torch.cat([self.labels, other.labels]))


@dataclass(frozen=True)
class FileImages:
    """Image files, decoded each time they are read, resized and cropped to a square.

    Attributes:
        paths: of the files.
        labels: (N,).
        side: of the square, in pixels.
        shorter_side: of the resized image that the square is the centre of; None for `side`.
        device: that batches go to.
        workers: processes that decode; 0 for this one.
    """

    paths: tuple[Path, ...]
    labels: Tensor
    side: int
    shorter_side: int | None = None
    device: torch.device = CPU
    workers: int = 0

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""
        loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            _Decoded(self, int(torch.randint(2**31, ())) if resized_crop else None),
            batch_size=batch_size,
            sampler=order.tolist(),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # or it would draw from the global one
        )
        try:
            for images, labels in loader:
                yield images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        except UserError as error:  # one from a worker process comes wrapped in its traceback
            raise UserError(str(error).strip().splitlines()[-1].partition("UserError: ")[2] or str(error)) from None

    def to(self, device: torch.device, workers: int) -> "FileImages":
        """The same files, read for another device."""
        return replace(self, device=device, workers=workers)

    def joined(self, other: Images) -> "FileImages":
        """These files and then the other ones."""
        assert isinstance(other, FileImages)
        return replace(self, paths=self.paths + other.paths, labels=torch.cat([self.labels, other.labels]))

    def part(self, indices: Tensor) -> "FileImages":
        """Those of the files, in this order (n,)."""
        return replace(self, paths=tuple(self.paths[i] for i in indices.tolist()), labels=self.labels[indices])


@dataclass(frozen=True)
class Squares:
    """Square images of which smaller squares are used: the centre, or random parts resized.

    All that is random is drawn here, in the process that trains. So it does not matter to a training
    whether the images inside were decoded once or are decoded each time.

    Attributes:
        images: squares of one size.
        side: of the smaller squares, in pixels; may be as large as the others.
    """

    images: Images
    side: int

    @property
    def labels(self) -> Tensor:
        """(N,)."""
        return self.images.labels

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""
        size = [self.side, self.side]
        for images, labels in self.images.batches(order, batch_size):
            yield random_resized_crop(images, size) if resized_crop else functional.center_crop(images, size), labels

    def to(self, device: torch.device, workers: int) -> "Squares":
        """The same images for another device."""
        return replace(self, images=self.images.to(device, workers))

    def joined(self, other: Images) -> "Squares":
        """These images and then the other ones."""
        assert isinstance(other, Squares)
        return replace(self, images=self.images.joined(other.images))


class _Decoded(Dataset[tuple[Tensor, Tensor]]):
    """Decodes by index; with a seed a random part, the same in whichever process."""

    def __init__(self, files: FileImages, seed: int | None) -> None:
        self._files = files
        self._seed = seed

    def __len__(self) -> int:
        return len(self._files.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        files = self._files
        seed = None if self._seed is None else mix_seed(self._seed, index)
        return decode(files.paths[index], files.side, files.shorter_side, seed), files.labels[index]


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


def decode(path: Path, side: int, shorter_side: int | None = None, crop_seed: int | None = None) -> Tensor:
    """An image file as (3, side, side), upright as its EXIF tags say.

    Args:
        path: the file.
        side: of the square, in pixels.
        shorter_side: of the resized image that the square is the centre of; None for `side`.
        crop_seed: cut a random part out instead, drawn from this seed, and resize it to the square.

    Raises:
        UserError: a file that is no whole still image of 8 or 16 bits, named.
    """
    with opened(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # what a camera adds to its photograph is a preview of it
            raise UserError(f"{path} has {frames} frames; a still image is wanted: keep one frame, or remove it")
        ImageOps.exif_transpose(image, in_place=True)
        picture = _rgb(path, image)
        if crop_seed is None:
            picture = functional.resize(picture, [shorter_side or side], antialias=True)
            picture = functional.center_crop(picture, [side])
        else:
            with torch.random.fork_rng([]):
                torch.manual_seed(crop_seed)
                picture = RandomResizedCrop(side)(picture)
        pixels: Tensor = functional.pil_to_tensor(picture)
        return pixels


def _rgb(path: Path, image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB: deeper levels scaled, what is transparent on white."""
    if image.mode.startswith("I"):  # Pillow would clip what is deeper than 8 bits
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise UserError(f"{path} has levels of more than 16 bits; save it with 8 or 16")
        return Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise UserError(f"{path} has levels that are no whole numbers; save it with 8 or 16 bits")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set in three splits.

    Attributes:
        name: what a user types.
        classes: class names, by label.
        shape: channels, height and width of an image.
        mean: per channel, of pixels scaled to 0..1, over the training images unless the user gave it.
        std: likewise.
        train: what weights learn from.
        val: what selection looks at.
        test: read once by each retrained network, and after each epoch where a paper's tables are reproduced.
        mirrors: whether a mirrored image is still one of its class; not so for digits.
        notes: what the user should know of how it was read, a sentence each.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Images
    val: Images
    test: Images
    mirrors: bool = True
    notes: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Images in each split."""
        return {"train": len(self.train.labels), "val": len(self.val.labels), "test": len(self.test.labels)}

    def to(self, device: torch.device, workers: int) -> "Data":
        """The same data for a training on this device."""
        return replace(
            self,
            train=self.train.to(device, workers),
            val=self.val.to(device, workers),
            test=self.test.to(device, workers),
        )

    def normaliser(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """From images (B, C, H, W) uint8 on this device to what a network sees: (pixels / 255 - mean) / std."""
        mean = torch.tensor(self.mean, device=device).view(1, -1, 1, 1) * 255
        std = torch.tensor(self.std, device=device).view(1, -1, 1, 1) * 255
        return lambda images: (images - mean) / std

    def with_val_in_train(self) -> "Data":
        """Train and validation images to learn from, as retraining does."""
        return replace(self, train=self.train.joined(self.val))


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of (N, C, H, W) uint8, with pixels scaled to 0..1."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):  # by histogram: no float copy of a large data set
        share = torch.bincount(images[:, channel].flatten(), minlength=256) / images[:, channel].numel()
        centre = float((share * levels).sum())
        mean.append(centre)
        std.append(max(float((share * (levels - centre) ** 2).sum()) ** 0.5, 1e-3))
    return tuple(mean), tuple(std)
