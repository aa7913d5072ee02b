"""A user's own images: a folder with a sub-folder a class, or with train/ and perhaps val/ and test/ of that kind."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

from space.errors import UserError
from trainers.data import opened, unreadable
from trainers.splits import carve, subset, three_way, with_every_class

SPLITS = ("train", "val", "test")
LARGEST_SIDE = 96
"""Images are made no larger than this, in pixels a side, unless the user asks for it."""
TRAIN_SHARE = 0.7


@dataclass(frozen=True)
class Folder:
    """Labelled image files in three splits.

    Attributes:
        classes: class names, by label.
        paths: of all files that are in a split.
        labels: (N,).
        splits: indices of the files to train, validate and test on, sorted.
        notes: what the user should know, a sentence each.
    """

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    labels: Tensor
    splits: tuple[Tensor, Tensor, Tensor]
    notes: tuple[str, ...] = ()


def read_folder(root: Path, train_size: int | None = None, groups: Path | None = None, check: bool = False) -> Folder:
    """The image files below a folder, in three splits; none of them is decoded.

    Without split folders 70 % train and half of the rest each validates and tests. A split folder that
    is missing beside train/ gets 15 % of that.

    Args:
        root: the folder.
        train_size: images to train on; None for all that are meant for it.
        groups: CSV with the group of each file; images of one group are in one split.
        check: also compare the content of files in different splits.

    Raises:
        UserError: no folder, classes or images, or splits that cannot be made or are not apart.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; --dataset folder:PATH wants one with a sub-folder a class")
    given = [split for split in SPLITS if (root / split).is_dir()]
    if given and "train" not in given:
        raise UserError(
            f"{root} has {'/ and '.join(given)}/ but no train/; add it, or have one folder a class and no splits"
        )
    found = [labelled_files(root / split) for split in given] or [labelled_files(root)]
    classes = _same_classes(root, given, [names for names, _, _ in found])
    paths = [path for _, inside, _ in found for path in inside]
    labels = torch.cat([labels for _, _, labels in found])
    ranges = torch.arange(len(paths)).split([len(inside) for _, inside, _ in found])
    parts = dict(zip(given or ["train"], ranges, strict=True))
    missing = [split for split in SPLITS if split not in parts]
    _check_class_sizes(root / "train" if given else root, classes, labels[parts["train"]], missing)
    group_of = None if groups is None else _read_groups(groups, root, paths, parts, missing)
    if check:
        _check_contents(paths, parts)

    notes = []
    if not given and group_of is None:
        drawn = three_way(labels, train_size, round(TRAIN_SHARE * len(labels)))
        splits = with_every_class(labels, drawn)
    else:
        count = len(parts["train"])
        left, *carved = carve(labels, parts["train"], len(missing), group_of)
        parts |= {"train": left, **dict(zip(missing, carved, strict=True))}
        if given:
            notes += [_carved_note(split, len(parts[split]), count) for split in missing]
        if group_of is not None:
            notes += [note for split in SPLITS if (note := _lacking_note(split, classes, labels[parts[split]]))]
        splits = [subset(labels, left, train_size), parts["val"], parts["test"]]
    used = torch.cat(splits).sort().values
    train, val, test = (torch.searchsorted(used, split) for split in splits)
    return Folder(classes, tuple(paths[i] for i in used.tolist()), labels[used], (train, val, test), tuple(notes))


def shortest_side(paths: Sequence[Path]) -> int:
    """Side of the square that every image can become: the shortest side of all, at most `LARGEST_SIDE`."""

    def shorter_side(path: Path) -> int:
        with opened(path) as image:
            return min(image.size)

    with ThreadPoolExecutor() as pool:
        return min(LARGEST_SIDE, *pool.map(shorter_side, paths))


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


def _same_classes(root: Path, given: Sequence[str], classes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    for split, names in zip(given, classes, strict=False):
        if names != classes[0]:
            odd = ", ".join(sorted(set(names) ^ set(classes[0])))
            raise UserError(f"{root}: train/ and {split}/ do not have the same classes ({odd})")
    return classes[0]


def _check_class_sizes(where: Path, classes: Sequence[str], labels: Tensor, missing: Sequence[str]) -> None:
    """Make sure that each class has an image for train and for each split that is carved out of it."""
    needed = 1 + len(missing)
    for name, count in zip(classes, labels.bincount().tolist(), strict=True):
        if count < needed:
            raise UserError(
                f"{where / name} has {_images(count)}; {needed} at least are needed, one each for "
                f"{_listed('train', *missing)}: add some, or remove the class"
            )


def _check_contents(paths: Sequence[Path], parts: Mapping[str, Tensor]) -> None:
    """Make sure that no file stands in two splits, be it as a link or as a copy."""
    split_of = {i: split for split, part in parts.items() for i in part.tolist()}
    by_size: dict[int, list[int]] = {}
    for i, path in enumerate(paths):
        try:
            by_size.setdefault(path.stat().st_size, []).append(i)
        except OSError as error:
            raise unreadable(path, error) from None
    suspects = [i for same in by_size.values() if len({split_of[i] for i in same}) > 1 for i in same]
    first: dict[bytes, int] = {}
    with ThreadPoolExecutor() as pool:
        for i, digest in zip(suspects, pool.map(_sha256, [paths[i] for i in suspects]), strict=True):
            other = first.setdefault(digest, i)
            if split_of[other] != split_of[i]:
                raise UserError(f"{paths[other]} and {paths[i]} are one image in two splits; remove one of them")


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise unreadable(path, error) from None


def _read_groups(
    table: Path, root: Path, paths: Sequence[Path], parts: Mapping[str, Tensor], missing: Sequence[str]
) -> Tensor:
    """The group of each file (N,), as a number."""
    names = _group_names(table)
    files = [path.relative_to(root).as_posix() for path in paths]
    for file in files:
        if file not in names:
            raise UserError(f"{table} has no group for {file}; give each image file one")
    there = set(files)
    for file in names:
        if file not in there:
            raise UserError(f"{table} has a group for {file}, which is no image file in {root}; remove that row")
    number = {name: n for n, name in enumerate(dict.fromkeys(names.values()))}
    of = torch.tensor([number[names[file]] for file in files])
    for one, other in combinations(parts, 2):
        if shared := {*of[parts[one]].tolist()} & {*of[parts[other]].tolist()}:
            name = [*number][min(shared)]
            raise UserError(f"{table}: group {name} is in {one}/ and in {other}/; move its images into one of them")
    count = len(of[parts["train"]].unique())
    if count <= len(missing):
        raise UserError(
            f"{table} has {count} group{'s' * (count > 1)} of images to part; at least one each is needed for "
            f"{_listed('train', *missing)}"
        )
    return of


def _group_names(table: Path) -> dict[str, str]:
    """Group by file, as a CSV with the columns file and group says."""
    names: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            if not {"file", "group"} <= {*(rows.fieldnames or ())}:
                raise UserError(f"{table} has no header file,group; give it one, and a row for each image file")
            for row in rows:
                if not row["file"] or not row["group"]:
                    raise UserError(f"{table} line {rows.line_num} lacks a file or a group; add it or remove the line")
                file, group = PurePosixPath(row["file"]).as_posix(), row["group"]
                if names.setdefault(file, group) != group:
                    raise UserError(f"{table} has {file} in groups {names[file]} and {group}; keep one of the rows")
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV that can be read ({error}); it needs the columns file and group") from None
    return names


def _carved_note(split: str, size: int, count: int) -> str:
    return f"{split}: {100 * size / count:.0f} % of train/ ({_images(size)}), since there is no {split}/ folder"


def _lacking_note(split: str, classes: Sequence[str], labels: Tensor) -> str | None:
    lacking = [classes[label] for label in (labels.bincount(minlength=len(classes)) == 0).nonzero().flatten().tolist()]
    return f"{split}: no images of {_listed(*lacking)}, since a group is not parted" if lacking else None


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _listed(*names: str) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
