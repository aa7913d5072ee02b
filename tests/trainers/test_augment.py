"""Augmentation against loops over single images."""

import pytest
import torch
from torch import Tensor

from trainers.augment import random_crop, random_flip, random_resized_crop


def pictures(count: int, height: int = 5, width: int = 6) -> Tensor:
    """uint8 images without a black pixel, all different."""
    torch.manual_seed(0)
    return torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8)


def shifted(image: Tensor, down: int, right: int) -> Tensor:
    """The image moved, black moving in."""
    _, height, width = image.shape
    moved = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                moved[:, row, column] = image[:, row - down, column - right]
    return moved


@pytest.mark.parametrize("padding", [1, 2])
def test_a_crop_is_one_of_the_shifts_with_black_moving_in(padding: int) -> None:
    images = pictures(40)
    steps = range(-padding, padding + 1)
    cropped = random_crop(images, padding)

    assert cropped.shape == images.shape
    assert cropped.dtype == images.dtype
    for image, crop in zip(images, cropped, strict=True):
        assert sum(torch.equal(crop, shifted(image, down, right)) for down in steps for right in steps) == 1


def test_each_shift_happens_about_equally_often() -> None:
    padding, count = 1, 1800
    image = pictures(1)[0]
    cropped = random_crop(image.expand(count, -1, -1, -1), padding)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            times = int((cropped == shifted(image, down, right)).flatten(1).all(1).sum())
            assert abs(times - count / 9) < 5 * (count * 8 / 81) ** 0.5


def test_a_crop_without_padding_changes_nothing() -> None:
    assert torch.equal(random_crop(pictures(4), 0), pictures(4))


def test_about_half_of_the_images_are_mirrored_and_the_others_stay() -> None:
    images = pictures(1000)
    flipped = random_flip(images)
    mirror = images[:, :, :, range(images.shape[3] - 1, -1, -1)]
    stays = (flipped == images).flatten(1).all(1)
    turns = (flipped == mirror).flatten(1).all(1)

    assert bool((stays ^ turns).all())
    assert abs(int(turns.sum()) - 500) < 5 * 250**0.5


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_does_not_matter(memory_format: torch.memory_format) -> None:
    images = pictures(8)
    results = []
    for given in (images, images.contiguous(memory_format=memory_format)):
        torch.manual_seed(1)
        results.append(random_flip(random_crop(given, 2)))
    assert torch.equal(*results)


def test_the_images_given_are_left_alone() -> None:
    images = pictures(8)
    random_flip(random_crop(images, 2))
    assert torch.equal(images, pictures(8))


def test_a_resized_part_has_8_to_100_percent_of_the_area_and_sides_of_3_to_4() -> None:
    ramp = torch.arange(128, dtype=torch.uint8)
    images = torch.stack([ramp.expand(128, 128), ramp.expand(128, 128).T]).expand(300, 2, 128, 128)
    torch.manual_seed(0)
    parts = random_resized_crop(images, (32, 32)).double()
    # away from the edges a ramp stays a ramp, steeper by what it was shrunk
    width = (parts[:, 0, :, -5] - parts[:, 0, :, 4]).mean(1) * 32 / 23
    height = (parts[:, 1, -5] - parts[:, 1, 4]).mean(1) * 32 / 23
    area, ratio = width * height / 128**2, width / height

    assert parts.shape == (300, 2, 32, 32)
    assert 0.07 < float(area.min()) < 0.12
    assert 0.9 < float(area.max()) < 1.05
    assert 0.70 < float(ratio.min()) < 0.8
    assert 1.25 < float(ratio.max()) < 1.40


def test_resized_parts_follow_the_global_generator_however_the_images_are_batched() -> None:
    images, drawn = pictures(6), []
    for batches in ([6], [2, 4], [6]):
        torch.manual_seed(3)
        drawn.append(torch.cat([random_resized_crop(batch, (4, 4)) for batch in images.split(batches)]))
    following = random_resized_crop(images, (4, 4))

    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], following)
