"""Labelled images, read in any order: in memory, in files, and squares of either.

Shapes: N images of C channels and H x W pixels, uint8; labels int64.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from space.errors import UserError
from space.seeds import mix_seed
from trainers.augment import random_resized_crop
from trainers.pictures import decode

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
            images = self.images.index_select(0, indices)
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
        depth: bits of the levels of pictures with more than 8; the upper 8 are kept.
        device: that batches go to.
        workers: processes that decode; 0 for this one.
    """

    paths: tuple[Path, ...]
    labels: Tensor
    side: int
    shorter_side: int | None = None
    depth: int = 8
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
    """Images of which squares of another size are used: the centre or the whole, or random parts resized.

    All that is random is drawn here, in the process that trains. So it does not matter to a training
    whether the images inside were decoded once or are decoded each time.

    Attributes:
        images: of one size.
        side: of the squares, in pixels.
        whole: whether all of an image is resized, instead of its centre cut out; else no square is larger than it.
    """

    images: Images
    side: int
    whole: bool = False

    @property
    def labels(self) -> Tensor:
        """(N,)."""
        return self.images.labels

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (B, C, H, W) and labels (B,) on the device, in this order (N,), cropped at random if asked."""
        from torchvision.transforms.v2 import functional  # takes as long as torch

        size = [self.side, self.side]
        for images, labels in self.images.batches(order, batch_size):
            if resized_crop:
                yield random_resized_crop(images, size), labels
            elif self.whole:
                yield functional.resize(images, size, antialias=True), labels
            else:
                yield functional.center_crop(images, size), labels

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
        return decode(files.paths[index], files.side, files.shorter_side, seed, files.depth), files.labels[index]
