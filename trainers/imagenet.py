"""ImageNet in torchvision's layout: train/ and val/ with a folder a class; its files are decoded as they are read."""

import pickle
from pathlib import Path

import torch

from space.errors import UserError
from trainers.folders import labelled_files
from trainers.images import FileImages
from trainers.splits import hold_out, subset


def read_imagenet(
    data_root: Path, train_size: int | None, side: int, shorter_side: int
) -> tuple[tuple[str, ...], list[FileImages]]:
    """The names of the classes, and images to train on, to validate on (some of train/) and to test on (val/).

    Args:
        data_root: folder with the folder imagenet.
        train_size: images to train on; None for all.
        side: of the square images.
        shorter_side: of the resized images that they are the centres of.

    Raises:
        UserError: it is not there, or its folders do not have the same classes.
    """
    root = data_root / "imagenet"
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise UserError(
            f"imagenet is not in {data_root} (looked for imagenet/train and imagenet/val with a folder a class); "
            "unpack what image-net.org gives you, --data-root PATH looks elsewhere"
        )
    wnids, paths, labels = labelled_files(root / "train")
    test_wnids, test_paths, test_labels = labelled_files(root / "val")
    if test_wnids != wnids:
        raise UserError(f"{root}: train/ and val/ do not have the same classes")
    rest, val = hold_out(labels)
    train = subset(labels, rest, train_size)
    learn = FileImages(tuple(paths), labels, side, shorter_side)
    test = FileImages(tuple(test_paths), test_labels, side, shorter_side)
    return _class_names(root, wnids), [learn.part(train), learn.part(val), test]


def _class_names(root: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """What torchvision's meta.bin calls the classes, if it is there."""
    from torchvision.datasets.imagenet import META_FILE  # takes as long as torch

    meta = root / META_FILE
    if not meta.is_file():
        return wnids
    try:
        names, _ = torch.load(meta, weights_only=True)
        return tuple(str(names[wnid][0]) if wnid in names else wnid for wnid in wnids)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError, LookupError) as error:
        raise UserError(f"{meta} is not what torchvision writes; remove it ({type(error).__name__})") from None
