"""A data set as a training sees it, wherever it comes from: three splits, and how their images are normalised."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from space.normalisation import normaliser
from trainers.images import Images


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
        depth: bits of the levels of pictures with more than 8.
        digest: of all images, labels and splits, see `data_digest`.
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
    depth: int = 8
    digest: str = ""
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
        return normaliser(self.mean, self.std, device)

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
