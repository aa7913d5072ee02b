"""Where data comes from: the embedded digits, torchvision's data sets, and a user's own folders."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torchvision import datasets as torchvision_datasets
from torchvision.datasets.folder import IMG_EXTENSIONS

from space.errors import UserError
from trainers.data import Data, FileImages, TensorImages, channel_statistics, decode

SPLIT_SEED = 0
"""Every split is drawn with this seed, whatever the study's, so that studies can be compared."""

FOLDER_PREFIX = "folder:"
LARGEST_SIDE = 96
"""Images of a folder are made no larger than this, in pixels a side."""
STATISTICS_SAMPLE = 256
"""Images of a folder that mean and standard deviation are measured on."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which data set, and how it is split.

    Attributes:
        name: digits, cifar10, cifar100, stl10 or folder:PATH.
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
        return _folder(source, check)
    if source.name not in DATASETS:
        raise UserError(f"no dataset {source.name!r}; there are {', '.join(DATASETS)} and {FOLDER_PREFIX}PATH")
    return DATASETS[source.name](source, download)


def _digits(source: Source, download: bool) -> Data:
    """1,797 images of 8 x 8: `train_size` (200) to train, half of the rest each for validation and test."""
    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    train, rest = _split(labels, torch.arange(len(labels)), source.train_size or 200)
    val, test = _split(labels, rest, len(rest) // 2)
    splits = (TensorImages(images[indices], labels[indices]) for indices in (train, val, test))
    return _in_memory(source.name, tuple(str(digit) for digit in digits.target_names), *splits)


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


DATASETS: dict[str, Callable[[Source, bool], Data]] = {
    "digits": _digits,
    "cifar10": _cifar(torchvision_datasets.CIFAR10, 163),
    "cifar100": _cifar(torchvision_datasets.CIFAR100, 161),
    "stl10": _stl10,
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
    except RuntimeError as error:  # torchvision's word for a file that is missing or has another checksum
        raise UserError(
            f"{source.name} in {source.root / folder} is incomplete or corrupted; --download fetches it again ({error})"
        ) from None
    except OSError as error:
        raise UserError(f"{source.name} could not be fetched into {source.root}: {error}") from None
    rest, val = _split(learn.labels, torch.arange(len(learn.labels)), len(learn.labels) - len(learn.labels) // 10)
    train = rest if source.train_size is None else _split(learn.labels, rest, source.train_size)[0]
    learnt, judged = (TensorImages(learn.images[indices], learn.labels[indices]) for indices in (train, val))
    return _in_memory(source.name, classes, learnt, judged, test)


def _in_memory(name: str, classes: tuple[str, ...], train: TensorImages, val: TensorImages, test: TensorImages) -> Data:
    mean, std = channel_statistics(train.images)
    channels, height, width = train.images.shape[1:]
    return Data(
        name=name, classes=classes, shape=(channels, height, width), mean=mean, std=std, train=train, val=val, test=test
    )


def _folder(source: Source, check: bool) -> Data:
    """A user's own images: a sub-folder a class, or train/ val/ test/ with a sub-folder a class each."""
    root = Path(source.name.removeprefix(FOLDER_PREFIX)).expanduser()
    if not root.is_dir():
        raise UserError(f"no folder {root}; --dataset {FOLDER_PREFIX}PATH wants one with a sub-folder a class")
    given = [split for split in ("train", "val", "test") if (root / split).is_dir()]
    if "train" in given and len(given) < 3:
        raise UserError(f"{root} has {'/ '.join(given)}/ only; give all of train/ val/ test/, or one folder a class")
    if "train" in given:
        found = [_files(root / split) for split in given]
        classes = found[0][0]
        for split, (names, _, _) in zip(given, found, strict=True):
            if names != classes:
                odd = ", ".join(sorted(set(names) ^ set(classes)))
                raise UserError(f"{root}: train/ and {split}/ do not have the same classes ({odd})")
        splits = [(paths, labels) for _, paths, labels in found]
        if source.train_size is not None:
            paths, labels = splits[0]
            chosen = _split(labels, torch.arange(len(labels)), source.train_size)[0]
            splits[0] = ([paths[i] for i in chosen.tolist()], labels[chosen])
    else:
        classes, paths, labels = _files(root)
        train, rest = _split(labels, torch.arange(len(labels)), source.train_size or round(0.7 * len(labels)))
        val, test = _split(labels, rest, len(rest) // 2)
        splits = [([paths[i] for i in indices.tolist()], labels[indices]) for indices in (train, val, test)]
    side = _side([path for paths, _ in splits for path in paths], check)
    train_images, val_images, test_images = (FileImages(tuple(paths), labels, side) for paths, labels in splits)
    step = max(1, len(train_images.paths) // STATISTICS_SAMPLE)
    mean, std = channel_statistics(torch.stack([decode(path, side) for path in train_images.paths[::step]]))
    return Data(
        name=source.name,
        classes=classes,
        shape=(3, side, side),
        mean=mean,
        std=std,
        train=train_images,
        val=val_images,
        test=test_images,
    )


def _files(root: Path) -> tuple[tuple[str, ...], list[Path], Tensor]:
    """Class names, image files and labels below a folder with a sub-folder a class."""
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [sorted(f for f in folder.rglob("*") if f.suffix.lower() in IMG_EXTENSIONS) for folder in folders]
    if not folders:
        raise UserError(f"{root} has no sub-folders; put the images of each class into a folder of its own")
    for folder, inside in zip(folders, files, strict=True):
        if not inside:
            raise UserError(f"{folder} has no images ({', '.join(IMG_EXTENSIONS)}); fill it or remove it")
    if len(folders) == 1:
        raise UserError(f"{root} has one class only ({folders[0].name}); a classifier needs two")
    labels = torch.tensor([label for label, inside in enumerate(files) for _ in inside])
    return tuple(folder.name for folder in folders), [file for inside in files for file in inside], labels


def _side(paths: list[Path], check: bool) -> int:
    """Side of the square that every image becomes: the shortest side of all, at most `LARGEST_SIDE`."""

    def shorter_side(path: Path) -> int:
        try:
            with Image.open(path) as image:
                if check:
                    image.load()
                return min(image.size)
        except (OSError, SyntaxError) as error:
            raise UserError(f"{path} is not a readable image ({error}); mend or remove it") from None

    with ThreadPoolExecutor() as pool:
        return min(LARGEST_SIDE, *pool.map(shorter_side, paths))


def _split(labels: Tensor, indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """`size` of these indices and the others, each class in proportion where its images allow it."""
    if not 0 < size < len(indices):
        raise UserError(f"--train-size {size}: must leave images to validate and test on, of {len(indices):,} in all")
    there = labels[indices]
    counts = torch.bincount(there)
    classes = int((counts > 0).sum())
    proportional = int(counts[counts > 0].min()) >= 2 and min(size, len(indices) - size) >= classes
    first, second = train_test_split(
        indices.numpy(), train_size=size, random_state=SPLIT_SEED, stratify=there.numpy() if proportional else None
    )
    return torch.from_numpy(np.sort(first)), torch.from_numpy(np.sort(second))
