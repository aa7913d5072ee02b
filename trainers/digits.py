"""The digits that scikit-learn brings along: 1,797 grey images of 8 x 8."""

import numpy as np
import torch

from space.errors import UserError
from trainers.images import TensorImages
from trainers.splits import split, subset

TRAIN_SIZE = 200
"""With 1,000 images every design learns the digits to within noise; with 200 they differ."""


def read_digits(train_size: int | None) -> tuple[tuple[str, ...], list[TensorImages]]:
    """The names of the classes, and images to train on (200), to validate on and to test on (half of the rest each).

    The images to test on are always the same. A smaller `train_size` takes some of the 200 to train on; a larger
    one takes images to validate on, too.

    Raises:
        UserError: there are not so many.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    train, rest = split(labels, torch.arange(len(labels)), TRAIN_SIZE)
    val, test = split(labels, rest, len(rest) // 2)
    most = len(train) + len(val) - 1
    if train_size is not None and not 0 < train_size <= most:
        raise UserError(f"--train-size {train_size}: digits have 1 to {most} images to train on")
    if train_size is not None and train_size > TRAIN_SIZE:
        moved = subset(labels, val, train_size - TRAIN_SIZE)
        train, val = torch.cat([train, moved]).sort().values, val[~torch.isin(val, moved)]
    else:
        train = subset(labels, train, train_size)
    splits = [TensorImages(images[indices], labels[indices]) for indices in (train, val, test)]
    return tuple(map(str, digits.target_names)), splits
