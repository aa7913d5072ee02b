"""Labelled images as a training sees them, wherever they come from.

Shapes: N images of C channels and H x W pixels, uint8; labels int64.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import RandomResizedCrop, functional

from space.errors import UserError
from space.seeds import mix_seed

CPU = torch.device("cpu")


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
            if resized_crop:
                cropped = RandomResizedCrop(images.shape[2:])
                images = torch.stack([cropped(image) for image in images])
            yield images, self.labels[indices]

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
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises, by format
        raise UserError(f"{path} is not a readable image ({error}); mend or remove it") from None


def decode(path: Path, side: int, shorter_side: int | None = None, crop_seed: int | None = None) -> Tensor:
    """An image file as (3, side, side).

    Args:
        path: the file.
        side: of the square, in pixels.
        shorter_side: of the resized image that the square is the centre of; None for `side`.
        crop_seed: cut a random part out instead, drawn from this seed, and resize it to the square.

    Raises:
        UserError: a file that is no whole image, named.
    """
    with opened(path) as image:
        deep = image.mode.startswith("I;16")  # its conversion to RGB would clip
        whole = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if deep else image
        picture = whole.convert("RGB")
        if crop_seed is None:
            picture = functional.resize(picture, [shorter_side or side], antialias=True)
            picture = functional.center_crop(picture, [side])
        else:
            with torch.random.fork_rng([]):
                torch.manual_seed(crop_seed)
                picture = RandomResizedCrop(side)(picture)
        pixels: Tensor = functional.pil_to_tensor(picture)
        return pixels


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set in three splits.

    Attributes:
        name: what a user types.
        classes: class names, by label.
        shape: channels, height and width of an image.
        mean: per channel, of pixels scaled to 0..1, over the training images.
        std: likewise.
        train: what weights learn from.
        val: what selection looks at.
        test: read once by each retrained network, and after each epoch where a paper's tables are reproduced.
        mirrors: whether a mirrored image is still one of its class; not so for digits.
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
