"""A user's own images: a folder with a sub-folder a class, or with train/, val/ and test/ of that kind."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from space.errors import UserError
from trainers.data import Data, FileImages, channel_statistics, decode, opened
from trainers.splits import subset, three_way

LARGEST_SIDE = 96
"""Images are made no larger than this, in pixels a side."""
STATISTICS_SAMPLE = 256
"""Images that mean and standard deviation are measured on."""
TRAIN_SHARE = 0.7


def read_folder(name: str, root: Path, train_size: int | None, check: bool) -> Data:
    """The images below a folder; without split folders 70 % train, half of the rest each validates and tests.

    Args:
        name: of the data set.
        root: the folder.
        train_size: images to train on; None for all that are meant for it.
        check: decode every file now.

    Raises:
        UserError: no folder, classes or images, or a file that is no whole image, named.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; --dataset folder:PATH wants one with a sub-folder a class")
    given = [split for split in ("train", "val", "test") if (root / split).is_dir()]
    if "train" in given:
        classes, splits = _given_splits(root, given, train_size)
    else:
        classes, paths, labels = labelled_files(root)
        drawn = three_way(labels, train_size, round(TRAIN_SHARE * len(labels)))
        splits = [([paths[i] for i in indices.tolist()], labels[indices]) for indices in drawn]
    side = _side([path for paths, _ in splits for path in paths], check)
    train, val, test = (FileImages(tuple(paths), labels, side) for paths, labels in splits)
    step = max(1, len(train.paths) // STATISTICS_SAMPLE)
    mean, std = channel_statistics(torch.stack([decode(path, side) for path in train.paths[::step]]))
    return Data(name=name, classes=classes, shape=(3, side, side), mean=mean, std=std, train=train, val=val, test=test)


def _given_splits(
    root: Path, given: list[str], train_size: int | None
) -> tuple[tuple[str, ...], list[tuple[list[Path], Tensor]]]:
    if len(given) < 3:
        raise UserError(f"{root} has {'/ '.join(given)}/ only; give all of train/ val/ test/, or one folder a class")
    found = [labelled_files(root / split) for split in given]
    classes, paths, labels = found[0]
    for split, (names, _, _) in zip(given, found, strict=True):
        if names != classes:
            odd = ", ".join(sorted(set(names) ^ set(classes)))
            raise UserError(f"{root}: train/ and {split}/ do not have the same classes ({odd})")
    chosen = subset(labels, torch.arange(len(labels)), train_size)
    train = ([paths[i] for i in chosen.tolist()], labels[chosen])
    return classes, [train, *((paths, labels) for _, paths, labels in found[1:])]


def labelled_files(root: Path) -> tuple[tuple[str, ...], list[Path], Tensor]:
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
        with opened(path) as image:
            if check:
                image.load()
            return min(image.size)

    with ThreadPoolExecutor() as pool:
        return min(LARGEST_SIDE, *pool.map(shorter_side, paths))
