"""Which images train, validate and test, drawn with one seed, whatever the study's."""

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from space.errors import UserError

SPLIT_SEED = 0
"""Studies with different seeds share their splits, so that they can be compared."""


def three_way(labels: Tensor, train_size: int | None, default: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (sorted) to train on, and half of the rest each to validate and to test on.

    Args:
        labels: (N,).
        train_size: images to train on, as the user typed it; None for the default.
        default: images to train on otherwise.

    Raises:
        UserError: too few images are left to validate and test on.
    """
    every = torch.arange(len(labels))
    size = default if train_size is None else train_size
    if not 0 < size <= len(labels) - 2:
        given = "" if train_size is None else f"--train-size {train_size}: "
        raise UserError(f"{given}of {len(labels):,} images at least one must train and two validate and test")
    train, rest = split(labels, every, size)
    return train, *split(labels, rest, len(rest) // 2)


def subset(labels: Tensor, indices: Tensor, train_size: int | None) -> Tensor:
    """So many of these training images; all of them if no number is given.

    Raises:
        UserError: there are not so many.
    """
    if train_size is None or train_size == len(indices):
        return indices
    if not 0 < train_size < len(indices):
        raise UserError(f"--train-size {train_size}: there are {len(indices):,} images to train on")
    return split(labels, indices, train_size)[0]


def split(labels: Tensor, indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """`size` of these indices and the others, each class in proportion where its images allow it."""
    there = labels[indices]
    counts = torch.bincount(there)
    classes = int((counts > 0).sum())
    proportional = int(counts[counts > 0].min()) >= 2 and min(size, len(indices) - size) >= classes
    first, second = train_test_split(
        indices.numpy(), train_size=size, random_state=SPLIT_SEED, stratify=there.numpy() if proportional else None
    )
    return torch.from_numpy(np.sort(first)), torch.from_numpy(np.sort(second))
