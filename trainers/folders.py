"""A user's own images: a folder with a sub-folder a class, or with train/ and perhaps val/ and test/ of that kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from space.errors import UserError
from trainers.contents import Content, contents_of
from trainers.grouping import check_copies, first_equal, joined, read_groups
from trainers.pictures import OnRead
from trainers.splits import carve, subset

NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""What the folder of a split may be called, in capitals, too."""


@dataclass(frozen=True)
class Folder:
    """Labelled image files in three splits.

    Attributes:
        classes: class names, by label.
        paths: of all files that are in a split.
        contents: what each of them holds.
        shorter_side: of the smallest image, in a split or not, in pixels.
        depth: bits of the deepest one, likewise.
        labels: (N,).
        splits: indices of the files to train, validate and test on, sorted.
        notes: what the user should know, a sentence each.
    """

    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    contents: tuple[Content, ...]
    shorter_side: int
    depth: int
    labels: Tensor
    splits: tuple[Tensor, Tensor, Tensor]
    notes: tuple[str, ...] = ()


def read_folder(
    root: Path,
    train_size: int | None = None,
    groups: Path | None = None,
    check: bool = False,
    cache: Path | None = None,
    on_read: OnRead | None = None,
) -> Folder:
    """The image files below a folder, in three splits.

    A split without a folder gets 15 % of the images to train on, where there are no split folders of all. Files
    of the same content are one image then: they get into one split.

    Args:
        root: the folder.
        train_size: images to train on; None for all that are left to train on.
        groups: CSV with the group of each file; images of one group are in one split.
        check: also make sure that no image is in two given splits.
        cache: folder to remember in what the files hold.
        on_read: told of the progress while files are read.

    Raises:
        UserError: no folder, classes or images, an image in two classes, or splits that cannot be made.
    """
    if not root.is_dir():
        raise UserError(f"no folder {root}; --dataset folder:PATH wants one with a sub-folder a class")
    given = _split_folders(root)
    found = [labelled_files(folder) for folder in given.values()] or [labelled_files(root)]
    classes = _same_classes(root, given, [names for names, _, _ in found])
    paths = [path for _, inside, _ in found for path in inside]
    labels = torch.cat([labels for _, _, labels in found])
    contents = contents_of(paths, root, cache, on_read)
    copy_of = first_equal([content.digest for content in contents])
    sizes = [len(inside) for _, inside, _ in found]
    parts = dict(zip(given or ["train"], torch.arange(len(paths)).split(sizes), strict=True))
    if check:
        check_copies(paths, copy_of, torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)), "splits")
    check_copies(paths, copy_of, labels, "classes")
    missing = [split for split in NAMES if split not in parts]
    train = parts["train"]
    firsts = train[copy_of[train] == train]
    _check_class_sizes(given.get("train", root), classes, labels[firsts], missing)
    if groups is None:
        carved = [train[torch.isin(copy_of[train], part)] for part in carve(labels, firsts, len(missing))]
    else:
        named = {folder.name: parts[split] for split, folder in given.items()}
        group_of = joined(read_groups(groups, root, paths, named), copy_of)
        _check_group_count(groups, group_of[train], missing)
        carved = carve(labels, train, len(missing), group_of)
    parts |= dict(zip(["train", *missing], carved, strict=True))
    notes = [_carved_note(split, given["train"], parts[split], train) for split in missing if given]
    if missing and len(firsts) < len(train):
        notes.append(f"{_images(len(train) - len(firsts))} of {len(train):,} are copies: those of one are in one split")
    if groups is not None:
        notes += [note for split in NAMES if (note := _lacking_note(split, classes, labels[parts[split]]))]
    splits = [subset(labels, parts["train"], train_size), parts["val"], parts["test"]]
    used = torch.cat(splits).sort().values
    train, val, test = (torch.searchsorted(used, split) for split in splits)
    return Folder(
        classes,
        tuple(paths[i] for i in used.tolist()),
        tuple(contents[i] for i in used.tolist()),
        min(content.shorter_side for content in contents),
        max(content.depth for content in contents),
        labels[used],
        (train, val, test),
        tuple(notes),
    )


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split that has one; none where the folders are those of classes.

    Raises:
        UserError: a split has two, or there are some but none to train on.
    """
    folders = sub_folders(root)
    found = {split: [folder for folder in folders if folder.name.lower() in names] for split, names in NAMES.items()}
    of_splits = [folder for inside in found.values() for folder in inside]
    if len(of_splits) == 1 < len(folders) and not sub_folders(of_splits[0]):
        return {}  # of vehicles, a train is a class
    for split, inside in found.items():
        if len(inside) > 1:
            both = " and ".join(f"{folder.name}/" for folder in inside)
            raise UserError(f"{root} has {both}, and each means the {split} split; keep one of them")
    given = {split: inside[0] for split, inside in found.items() if inside}
    if given and "train" not in given:
        there = " and ".join(f"{folder.name}/" for folder in given.values())
        raise UserError(f"{root} has {there} but no train/; add it, or have one folder a class and no splits")
    return given


def sub_folders(root: Path) -> list[Path]:
    """Those that are not hidden, sorted."""
    return sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def labelled_files(root: Path) -> tuple[tuple[str, ...], list[Path], Tensor]:
    """Class names, image files and labels below a folder with a sub-folder a class."""
    folders = sub_folders(root)
    from torchvision.datasets.folder import IMG_EXTENSIONS  # takes as long as torch

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


def _same_classes(root: Path, given: Mapping[str, Path], classes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    for folder, names in zip(given.values(), classes, strict=False):
        if names != classes[0]:
            odd = ", ".join(sorted(set(names) ^ set(classes[0])))
            raise UserError(f"{root}: {given['train'].name}/ and {folder.name}/ do not have the same classes ({odd})")
    return classes[0]


def _check_class_sizes(where: Path, classes: Sequence[str], labels: Tensor, missing: Sequence[str]) -> None:
    """Make sure that each class has an image for train and for each split that is carved out of it."""
    needed = 1 + len(missing)
    for name, count in zip(classes, labels.bincount(minlength=len(classes)).tolist(), strict=True):
        if count < needed:
            raise UserError(
                f"{where / name} has {_images(count)}; {needed} at least are needed, copies aside, one each for "
                f"{_listed('train', *missing)}: add some, or remove the class"
            )


def _check_group_count(table: Path, groups: Tensor, missing: Sequence[str]) -> None:
    """Make sure that there is a group for train and for each split that is carved out of it."""
    count = len(groups.unique())
    if count <= len(missing):
        raise UserError(
            f"{table} has {count} group{'s' * (count > 1)} of images to part; at least one each is needed for "
            f"{_listed('train', *missing)}"
        )


def _carved_note(split: str, folder: Path, part: Tensor, whole: Tensor) -> str:
    share = 100 * len(part) / len(whole)
    return f"{split}: {share:.0f} % of {folder.name}/ ({_images(len(part))}), since there is no {split}/ folder"


def _lacking_note(split: str, classes: Sequence[str], labels: Tensor) -> str | None:
    lacking = [classes[label] for label in (labels.bincount(minlength=len(classes)) == 0).nonzero().flatten().tolist()]
    return f"{split}: no images of {_listed(*lacking)}, since a group is not parted" if lacking else None


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _listed(*names: str) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
