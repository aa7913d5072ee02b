"""The digits that scikit-learn brings along, 1,797 grey images of 8 x 8: as they are, and made hard."""

import numpy as np
import torch
from numpy.typing import NDArray

from space.errors import UserError
from trainers.images import TensorImages
from trainers.splits import split, subset

TRAIN_SIZE = 200
"""With 1,000 images every design learns the digits to within noise; with 200 they differ."""
HARD_TRAIN_SIZE = 400
TURN, SCALES, SHIFT, NOISE = 20.0, (0.8, 1.1), 0.12, 0.15
"""How hard digits are made: turned by up to so many degrees, scaled by a factor in between, shifted by up to this share
of a side, and covered with normal noise of this share of the range."""
JUDGED_FORMS = 2
"""Ways in which each image to validate or test on is made hard: the more images judge, the less luck is in it."""
BRIGHTEST = 16.0


def read_digits(train_size: int | None) -> tuple[tuple[str, ...], list[TensorImages]]:
    """The names of the classes, and images to train on (200), to validate on and to test on (half of the rest each).

    The images to test on are always the same. A smaller `train_size` takes some of the 200 to train on; a larger
    one takes images to validate on, too.

    Raises:
        UserError: there are not so many.
    """
    images, labels, classes = _digits()
    parts = _parts(labels, TRAIN_SIZE if train_size is None else train_size)
    return classes, [_as_bytes(images[part], labels[part]) for part in parts]


def read_hard_digits(train_size: int | None) -> tuple[tuple[str, ...], list[TensorImages]]:
    """The same images in the same splits, 400 to train on, each turned, scaled, shifted and noisy.

    Images to validate and to test on are there in two such forms. The first form of an image does not depend on its
    split: more images to train on are more of the same task.

    Raises:
        UserError: there are not so many.
    """
    images, labels, classes = _digits()
    train, *judged = _parts(labels, HARD_TRAIN_SIZE if train_size is None else train_size)
    rng = np.random.default_rng(0)
    forms = [_made_hard(images, rng) for _ in range(JUDGED_FORMS)]
    in_all_forms = [
        _as_bytes(np.concatenate([form[part] for form in forms]), labels[part].repeat(JUDGED_FORMS)) for part in judged
    ]
    return classes, [_as_bytes(forms[0][train], labels[train]), *in_all_forms]


def _digits() -> tuple[NDArray[np.float64], torch.Tensor, tuple[str, ...]]:
    """Images (N, 8, 8) of 0 to 1, labels (N,), names of the classes."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (
        digits.images / BRIGHTEST,
        torch.from_numpy(digits.target.astype(np.int64)),
        tuple(map(str, digits.target_names)),
    )


def _made_hard(images: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Images (N, S, S) of 0 to 1, each distorted in its own way."""
    from scipy.ndimage import affine_transform

    side = images.shape[1]
    centre = np.full(2, (side - 1) / 2)
    hard = np.empty_like(images)
    for image, made in zip(images, hard, strict=True):
        angle, factor = np.radians(rng.uniform(-TURN, TURN)), rng.uniform(*SCALES)
        to = centre + rng.uniform(-SHIFT, SHIFT, 2) * side
        back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / factor
        moved = affine_transform(image, back, centre - back @ to, order=1)
        made[:] = np.clip(moved + rng.normal(0, NOISE, image.shape), 0, 1)
    return hard


def _as_bytes(images: NDArray[np.float64], labels: torch.Tensor) -> TensorImages:
    """Of images (N, S, S) of 0 to 1."""
    return TensorImages(torch.from_numpy(np.rint(images * 255).astype(np.uint8)).unsqueeze(1), labels)


def _parts(labels: torch.Tensor, train_size: int) -> list[torch.Tensor]:
    """Indices of the images to train, to validate and to test on.

    Raises:
        UserError: there are not so many.
    """
    train, rest = split(labels, torch.arange(len(labels)), TRAIN_SIZE)
    val, test = split(labels, rest, len(rest) // 2)
    most = len(train) + len(val) - 1
    if not 0 < train_size <= most:
        raise UserError(f"--train-size {train_size}: digits have 1 to {most} images to train on")
    if train_size > TRAIN_SIZE:
        moved = subset(labels, val, train_size - TRAIN_SIZE)
        train, val = torch.cat([train, moved]).sort().values, val[~torch.isin(val, moved)]
    else:
        train = subset(labels, train, train_size)
    return [train, val, test]
