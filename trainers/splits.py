"""Which images train, validate and test, drawn with one seed, whatever the study's."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from space.errors import UserError

SPLIT_SEED = 0
"""Studies with different seeds share their splits, so that they can be compared."""
CARVED_SHARE = 0.15
"""Of the images that could train, for each split that is not given."""
MOST_VAL = 50_000
"""Images held out of an official training split, at most."""
MOST_GROUPS = 300
"""Where there are more, random ones are taken together: parting them takes a millisecond each in every process."""


def subset(labels: Tensor, indices: Tensor, train_size: int | None) -> Tensor:
    """So many of these training images (sorted); all of them if no number is given.

    A smaller number gives a part of what a larger one does. Each class is there in proportion, and at least
    once where there are images enough.

    Raises:
        UserError: there are not so many.
    """
    if train_size is None or train_size == len(indices):
        return indices
    if not 0 < train_size < len(indices):
        raise UserError(f"--train-size {train_size}: there are {len(indices):,} images to train on")
    there = labels[indices]
    shuffled = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(len(indices)))
    by_class = shuffled[there[shuffled].argsort(stable=True)]
    counts = there.bincount()
    of = counts[there[by_class]]
    rank = torch.arange(len(indices)) - (counts.cumsum(0) - counts)[there[by_class]]
    turn = torch.where(rank == 0, -of, (rank + 0.5) / of)  # the first of each class, then each at its own pace
    return indices[by_class[turn.argsort(stable=True)][:train_size]].sort().values


def split(labels: Tensor, indices: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """`size` of these indices and the others, each class in proportion where its images allow it."""
    from sklearn.model_selection import train_test_split

    there = labels[indices]
    counts = there.bincount()
    strata = torch.where(counts[there] < 2, counts.argmax(), there)  # one image cannot be on both sides
    proportional = min(size, len(indices) - size) >= len(strata.unique())
    first, second = train_test_split(
        indices.numpy(), train_size=size, random_state=SPLIT_SEED, stratify=strata.numpy() if proportional else None
    )
    return torch.from_numpy(np.sort(first)), torch.from_numpy(np.sort(second))


def hold_out(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices of the images (N,) to train on, and of a tenth of them to validate on, at most `MOST_VAL`."""
    count = len(labels)
    return split(labels, torch.arange(count), count - min(max(1, count // 10), MOST_VAL))


def carve(labels: Tensor, indices: Tensor, parts: int, groups: Tensor | None = None) -> list[Tensor]:
    """What is left of these indices to train on, and so many parts of about 15 % of them each; all sorted.

    A part has at least as many images as there are classes. Without groups, each class is in each part
    in proportion, and where it has enough images at least once.

    Args:
        labels: (N,).
        indices: of the images to part.
        parts: to carve out.
        groups: (N,), numbers; images of one group stay together. There are more groups than parts.
    """
    size = max(round(CARVED_SHARE * len(indices)), len(labels[indices].unique()))
    carved = []
    for to_come in reversed(range(parts)):
        if groups is None:
            indices, part = split(labels, indices, len(indices) - size)
        else:
            indices, part = _split_groups(labels, indices, groups, size, others=to_come + 1)
        carved.append(part)
    return [indices, *carved] if groups is not None else with_every_class(labels, [indices, *carved])


def _split_groups(labels: Tensor, indices: Tensor, groups: Tensor, size: int, others: int) -> tuple[Tensor, Tensor]:
    """The other indices and about `size` of them, whole groups, such that `others` groups are left at least."""
    from sklearn.model_selection import StratifiedGroupKFold

    there, of = labels[indices], groups[indices].unique(return_inverse=True)[1]
    count = int(of.max()) + 1
    assert count > others
    if count > MOST_GROUPS:
        of = torch.from_numpy(np.random.default_rng(SPLIT_SEED).permutation(count))[of] % MOST_GROUPS
    folds = min(count, max(others + 1, round(len(indices) / size)))
    strata = there if int(there.bincount().max()) >= folds else torch.zeros_like(there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it is no news that a class has few images
        fold = StratifiedGroupKFold(folds, shuffle=True, random_state=SPLIT_SEED)
        found = [torch.from_numpy(part) for _, part in fold.split(of, strata, of)]
    found = [part for part in found if len(part)]  # rounding in there can leave one empty
    wanted = there.bincount() * (size / len(indices))
    chosen = min(found, key=lambda part: float((there[part].bincount(minlength=len(wanted)) - wanted).abs().sum()))
    rest = torch.ones(len(indices), dtype=torch.bool)
    rest[chosen] = False
    return indices[rest], indices[~rest]


def with_every_class(labels: Tensor, parts: Sequence[Tensor]) -> list[Tensor]:
    """The same parts (sorted indices), changed so that each class is in each part where there are images enough.

    A part without a class gets an image of it from the part that has most, for one of its own largest class.
    """
    owner = torch.full_like(labels, -1)
    for number, part in enumerate(parts):
        owner[part] = number
    classes = int(labels.max()) + 1
    held = torch.stack([labels[part].bincount(minlength=classes) for part in parts])
    for taker, wanted in (held == 0).nonzero().tolist():
        giver, spare = int(held[:, wanted].argmax()), int(held[taker].argmax())
        if held[taker, wanted] or held[giver, wanted] < 2 or held[taker, spare] < 2:
            continue
        for image_of, old, new in ((wanted, giver, taker), (spare, taker, giver)):
            owner[((owner == old) & (labels == image_of)).nonzero()[0]] = new
            held[old, image_of] -= 1
            held[new, image_of] += 1
    return [(owner == number).nonzero().flatten() for number in range(len(parts))]
