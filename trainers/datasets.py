"""Where data comes from: the embedded digits, torchvision's data sets, and a user's own folders."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision import datasets as torchvision_datasets

from space.errors import UserError
from trainers.data import Data, FileImages, TensorImages, channel_statistics
from trainers.folders import labelled_files, read_folder
from trainers.splits import split, subset, three_way

FOLDER_PREFIX = "folder:"
DIGITS_TRAIN_SIZE = 200
"""With 1,000 images every design learns the digits to within noise; with 200 they differ."""

MOST_VAL = 50_000
"""Images held out of an official training split, at most."""
IMAGENET_SIDE, IMAGENET_SHORTER_SIDE = 224, 256
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which data set, and how it is split.

    Attributes:
        name: digits, cifar10, cifar100, stl10, imagenet or folder:PATH.
        root: folder of the torchvision data sets.
        train_size: images to train on; None for the data set's own number.
    """

    name: str
    root: Path = Path("data")
    train_size: int | None = None


def load(source: Source, *, download: bool = False, check: bool = False) -> Data:
    """Read a data set.

    Args:
        source: which one.
        download: fetch what is missing, where torchvision can.
        check: decode every file of a folder first, so that a broken one is named before anything trains.

    Raises:
        UserError: unknown, missing or unusable data, and what to do.
    """
    if source.name.startswith(FOLDER_PREFIX):
        root = Path(source.name.removeprefix(FOLDER_PREFIX)).expanduser()
        return read_folder(source.name, root, source.train_size, check)
    if source.name not in DATASETS:
        raise UserError(f"no dataset {source.name!r}; there are {', '.join(DATASETS)} and {FOLDER_PREFIX}PATH")
    return DATASETS[source.name](source, download)


def _digits(source: Source, download: bool) -> Data:
    """1,797 images of 8 x 8: `train_size` (200) to train, half of the rest each for validation and test."""
    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    drawn = three_way(labels, source.train_size, DIGITS_TRAIN_SIZE)
    splits = (TensorImages(images[indices], labels[indices]) for indices in drawn)
    data = _in_memory(source.name, tuple(str(digit) for digit in digits.target_names), *splits)
    return replace(data, mirrors=False)


def _cifar(kind: type[torchvision_datasets.CIFAR10], megabytes: int) -> Callable[[Source, bool], Data]:
    def read(source: Source, download: bool) -> Data:
        def part(train: bool) -> tuple[TensorImages, tuple[str, ...]]:
            there = kind(str(source.root), train=train, download=download)
            images = torch.from_numpy(there.data).permute(0, 3, 1, 2).contiguous()
            return TensorImages(images, torch.tensor(there.targets)), tuple(there.classes)

        return _official(source, kind.base_folder, megabytes, download, lambda: (*part(True), part(False)[0]))

    return read


def _stl10(source: Source, download: bool) -> Data:
    def part(split: str) -> tuple[TensorImages, tuple[str, ...]]:
        there = torchvision_datasets.STL10(str(source.root), split=split, download=download)
        labels = torch.from_numpy(there.labels.astype(np.int64))
        return TensorImages(torch.from_numpy(there.data), labels), tuple(there.classes)

    folder = torchvision_datasets.STL10.base_folder
    return _official(source, folder, 2640, download, lambda: (*part("train"), part("test")[0]))


def _imagenet(source: Source, download: bool) -> Data:
    """The official validation images are the test split; some of the training images validate."""
    root = source.root / "imagenet"
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise UserError(
            f"imagenet is not in {source.root} (looked for imagenet/train and imagenet/val with a folder a class); "
            "unpack what image-net.org gives you, --data-root PATH looks elsewhere"
        )
    wnids, paths, labels = labelled_files(root / "train")
    test_wnids, test_paths, test_labels = labelled_files(root / "val")
    if test_wnids != wnids:
        raise UserError(f"{root}: train/ and val/ do not have the same classes")
    rest, val = _hold_out(labels)
    train = subset(labels, rest, source.train_size)
    learnt, judged = (
        FileImages(tuple(paths[i] for i in indices.tolist()), labels[indices], IMAGENET_SIDE, IMAGENET_SHORTER_SIDE)
        for indices in (train, val)
    )
    return Data(
        name=source.name,
        classes=_imagenet_names(root, wnids),
        shape=(3, IMAGENET_SIDE, IMAGENET_SIDE),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        train=learnt,
        val=judged,
        test=FileImages(tuple(test_paths), test_labels, IMAGENET_SIDE, IMAGENET_SHORTER_SIDE),
    )


def _imagenet_names(root: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """What torchvision's meta.bin calls the classes, if it is there."""
    meta = root / torchvision_datasets.imagenet.META_FILE
    if not meta.is_file():
        return wnids
    try:
        names, _ = torch.load(meta, weights_only=True)
        return tuple(str(names[wnid][0]) if wnid in names else wnid for wnid in wnids)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError, LookupError) as error:
        raise UserError(f"{meta} is not what torchvision writes; remove it ({type(error).__name__})") from None


DATASETS: dict[str, Callable[[Source, bool], Data]] = {
    "digits": _digits,
    "cifar10": _cifar(torchvision_datasets.CIFAR10, 163),
    "cifar100": _cifar(torchvision_datasets.CIFAR100, 161),
    "stl10": _stl10,
    "imagenet": _imagenet,
}
"""Reader of each data set by name; folder:PATH stands beside them."""


def _official(
    source: Source,
    folder: str,
    megabytes: int,
    download: bool,
    read: Callable[[], tuple[TensorImages, tuple[str, ...], TensorImages]],
) -> Data:
    """A data set with an official test split: a tenth of its training images become the validation split."""
    if not download and not (source.root / folder).is_dir():
        raise UserError(
            f"{source.name} is not in {source.root} (looked for {folder}); "
            f"--download fetches it ({megabytes:,} MB), --data-root PATH looks elsewhere"
        )
    try:
        learn, classes, test = read()
    except (RuntimeError, AttributeError) as error:  # torchvision's words for a file that is missing or altered
        raise UserError(
            f"{source.name} in {source.root / folder} is incomplete or corrupted; --download fetches it again ({error})"
        ) from None
    except OSError as error:
        raise UserError(f"{source.name} could not be fetched into {source.root}: {error}") from None
    rest, val = _hold_out(learn.labels)
    train = subset(learn.labels, rest, source.train_size)
    learnt, judged = (TensorImages(learn.images[indices], learn.labels[indices]) for indices in (train, val))
    return _in_memory(source.name, classes, learnt, judged, test)


def _hold_out(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices to train on, and a tenth to validate on, at most `MOST_VAL`."""
    count = len(labels)
    return split(labels, torch.arange(count), count - min(max(1, count // 10), MOST_VAL))


def _in_memory(name: str, classes: tuple[str, ...], train: TensorImages, val: TensorImages, test: TensorImages) -> Data:
    mean, std = channel_statistics(train.images)
    channels, height, width = train.images.shape[1:]
    return Data(
        name=name, classes=classes, shape=(channels, height, width), mean=mean, std=std, train=train, val=val, test=test
    )
