"""CIFAR and STL10 as torchvision reads them, from its own files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from space.errors import UserError
from trainers.images import TensorImages

Part = tuple[TensorImages, tuple[str, ...]]
"""Labelled images, and the names of the classes."""


@dataclass(frozen=True)
class TorchvisionSet:
    """A data set with an official test split.

    Attributes:
        folder: below the root, that its files are in.
        megabytes: to fetch.
        part: reads the training images or else the test images, from a root, fetched first if wanted.
    """

    folder: str
    megabytes: int
    part: Callable[[Path, bool, bool], Part]

    def read(self, name: str, root: Path, download: bool) -> tuple[TensorImages, TensorImages, tuple[str, ...]]:
        """The images to learn from and to test on, and the names of the classes.

        Raises:
            UserError: it is not there, not whole, or cannot be fetched; and what to do.
        """
        there = root / self.folder
        if not download and not there.is_dir():
            raise UserError(
                f"{name} is not in {root} (looked for {self.folder}); "
                f"--download fetches it ({self.megabytes:,} MB), --data-root PATH looks elsewhere"
            )
        try:
            learn, classes = self.part(root, True, download)
            test, _ = self.part(root, False, download)
        except (RuntimeError, AttributeError) as error:  # torchvision's words for a file that is missing or altered
            raise UserError(
                f"{name} in {there} is incomplete or corrupted; --download fetches it again ({error})"
            ) from None
        except OSError as error:
            raise UserError(f"{name} could not be fetched into {root}: {error}") from None
        return learn, test, classes


def _cifar(kind: str, folder: str, megabytes: int) -> TorchvisionSet:
    def part(root: Path, train: bool, download: bool) -> Part:
        from torchvision import datasets  # takes as long as torch

        there = getattr(datasets, kind)(str(root), train=train, download=download)
        images = torch.from_numpy(there.data).permute(0, 3, 1, 2).contiguous()
        return TensorImages(images, torch.tensor(there.targets)), tuple(there.classes)

    return TorchvisionSet(folder, megabytes, part)


def _stl10(root: Path, train: bool, download: bool) -> Part:
    from torchvision.datasets import STL10  # takes as long as torch

    there = STL10(str(root), split="train" if train else "test", download=download)
    return TensorImages(torch.from_numpy(there.data), torch.from_numpy(there.labels).long()), tuple(there.classes)


TORCHVISION_SETS = {
    "cifar10": _cifar("CIFAR10", "cifar-10-batches-py", 163),
    "cifar100": _cifar("CIFAR100", "cifar-100-python", 161),
    "stl10": TorchvisionSet("stl10_binary", 2640, _stl10),
}
