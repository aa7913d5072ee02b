"""Labelled images: the order asked for, joining, parts, statistics."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from space.errors import UserError
from trainers.data import Data, channel_statistics
from trainers.images import CPU, FileImages, Images, Squares, TensorImages
from trainers.pictures import decode

KINDS = pytest.mark.parametrize("kind", ["tensor", "files", "squares"])


def labelled(folder: Path, kind: str, levels: range) -> Images:
    """Images of one grey level each, labelled with ten times that."""
    if kind == "squares":
        return Squares(labelled(folder, "files", levels), side=3)
    labels = 10 * torch.tensor(levels)
    if kind == "tensor":
        pixels = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
        return TensorImages(pixels.contiguous(), labels)
    paths = tuple(folder / f"{level}.png" for level in levels)
    for level, path in zip(levels, paths, strict=True):
        Image.new("RGB", (4, 4), (level, level, level)).save(path)
    return FileImages(paths, labels, side=4)


def read(images: Images, order: Tensor, batch_size: int) -> list[tuple[list[int], list[int]]]:
    """Grey levels and labels of each batch."""
    return [(batch[:, 0, 0, 0].tolist(), labels.tolist()) for batch, labels in images.batches(order, batch_size)]


@KINDS
@pytest.mark.parametrize("move", [False, True], ids=["as made", "moved"])
def test_batches_follow_the_order_asked_for(tmp_path: Path, kind: str, move: bool) -> None:
    images = labelled(tmp_path, kind, range(7))
    if move:
        images = images.to(CPU, 0)
    order = torch.tensor([5, 0, 6, 2, 2])

    assert read(images, order, 2) == [([5, 0], [50, 0]), ([6, 2], [60, 20]), ([2], [20])]


@KINDS
def test_joined_images_are_the_first_and_then_the_others(tmp_path: Path, kind: str) -> None:
    both = labelled(tmp_path, kind, range(3)).joined(labelled(tmp_path, kind, range(7, 9)))

    assert both.labels.tolist() == [0, 10, 20, 70, 80]
    assert read(both, torch.arange(5), 5) == [([0, 1, 2, 7, 8], [0, 10, 20, 70, 80])]


def test_retraining_learns_from_train_and_validation_images(tmp_path: Path) -> None:
    train, val, test = (labelled(tmp_path, "tensor", levels) for levels in (range(3), range(3, 5), range(5, 9)))
    data = Data(
        name="x", classes=("a",), shape=(3, 4, 4), mean=(0.0,) * 3, std=(1.0,) * 3, train=train, val=val, test=test
    )
    more = data.with_val_in_train()

    assert data.sizes() == {"train": 3, "val": 2, "test": 4}
    assert more.train.labels.tolist() == [0, 10, 20, 30, 40]
    assert more.test is test
    assert data.to(CPU, 0).sizes() == data.sizes()


@pytest.mark.parametrize("side", [4, 7, 10])
def test_squares_are_judged_by_their_centres(tmp_path: Path, side: int) -> None:
    torch.manual_seed(0)
    whole = TensorImages(torch.randint(256, (5, 3, 10, 10)).byte(), torch.arange(5))
    edge = round((10 - side) / 2)
    ((centres, labels),) = Squares(whole, side).batches(torch.tensor([3, 1]), 4)

    assert torch.equal(centres, whole.images[[3, 1], :, edge : edge + side, edge : edge + side])
    assert labels.tolist() == [3, 1]


def test_squares_are_decoded_by_as_many_processes_as_their_files(tmp_path: Path) -> None:
    moved = labelled(tmp_path, "squares", range(2)).to(CPU, 3)
    assert isinstance(moved, Squares)
    assert isinstance(moved.images, FileImages)
    assert moved.images.workers == 3


def test_squares_train_on_parts_of_the_whole_square() -> None:
    columns = torch.arange(64, dtype=torch.uint8).expand(1, 3, 64, 64)
    squares = Squares(TensorImages(columns, torch.zeros(1)), side=16)
    torch.manual_seed(0)
    parts = torch.cat([batch for batch, _ in squares.batches(torch.zeros(200, dtype=torch.int64), 50, True)])

    assert parts.shape == (200, 3, 16, 16)
    assert int(parts.min()) < 6  # the centre would begin at 24
    assert int(parts.max()) > 57


def gradients_of_grey(folder: Path, kind: str, count: int = 4) -> Images:
    """Images whose grey level says where a pixel is: 16 times the row plus the column."""
    if kind == "squares":
        return Squares(gradients_of_grey(folder, "files", count), side=16)
    pixels = (16 * np.arange(16)[:, None] + np.arange(16)).astype(np.uint8)
    if kind == "tensor":
        whole = torch.from_numpy(pixels).expand(count, 3, 16, 16)
        return TensorImages(whole.contiguous(), torch.arange(count))
    paths = tuple(folder / f"{number}.png" for number in range(count))
    for path in paths:
        Image.fromarray(pixels).save(path)
    return FileImages(paths, torch.arange(count), side=16)


def cropped(images: Images, seed: int, batch_size: int = 2) -> Tensor:
    torch.manual_seed(seed)
    return torch.cat([batch for batch, _ in images.batches(torch.arange(4), batch_size, resized_crop=True)])


@KINDS
def test_random_parts_are_resized_parts_that_differ_and_follow_the_seed(tmp_path: Path, kind: str) -> None:
    images = gradients_of_grey(tmp_path, kind)
    whole = next(images.batches(torch.arange(1), 1))[0][0]
    parts = cropped(images, seed=0)

    assert parts.shape == (4, 3, 16, 16)
    assert len({tuple(part.flatten().tolist()) for part in (*parts, whole)}) == 5
    for part in parts.float():  # rows and columns still rise: neither mirrored nor turned
        assert bool((part[0].mean(1).diff() >= 0).all())
        assert bool((part[0].mean(0).diff() >= -1e-3).all())
    assert torch.equal(cropped(images, seed=0), parts)
    assert not torch.equal(cropped(images, seed=1), parts)


def test_random_parts_of_files_do_not_depend_on_who_decodes_them_nor_move_the_generator(tmp_path: Path) -> None:
    images = gradients_of_grey(tmp_path, "files")
    here, there = cropped(images, seed=0), cropped(images.to(CPU, 1), seed=0)
    state = torch.random.get_rng_state()
    decode(tmp_path / "0.png", 4, crop_seed=3)

    assert torch.equal(here, there)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_breaks_while_batches_are_read_is_named_in_one_line(tmp_path: Path, workers: int) -> None:
    images = labelled(tmp_path, "files", range(4)).to(CPU, workers)
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(UserError) as raised:
        list(images.batches(torch.arange(4), 2))
    assert str(tmp_path / "2.png") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_statistics_are_the_mean_and_standard_deviation_of_pixels_from_0_to_1() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (50, 3, 4, 5), dtype=torch.uint8) // torch.tensor([1, 2, 3])[:, None, None]
    mean, std = channel_statistics(images.to(torch.uint8))
    scaled = images.double() / 255

    torch.testing.assert_close(torch.tensor(mean).double(), scaled.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(std).double(), scaled.std((0, 2, 3), unbiased=False))


def test_images_of_one_level_can_be_normalised() -> None:
    _, std = channel_statistics(torch.full((4, 1, 3, 3), 200, dtype=torch.uint8))
    assert std[0] > 0
