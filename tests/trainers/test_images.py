"""Labelled images: the order asked for, decoding, joining, statistics."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor

from space.errors import UserError
from trainers.data import CPU, Data, FileImages, Images, Squares, TensorImages, channel_statistics, decode

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


@pytest.mark.parametrize(("width", "height"), [(12, 8), (8, 12), (8, 8), (30, 9)])
def test_decoding_cuts_a_square_out_of_the_centre(tmp_path: Path, width: int, height: int) -> None:
    side = min(width, height)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    top, left = round((height - side) / 2), round((width - side) / 2)

    expected = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)
    assert torch.equal(decode(tmp_path / "x.png", side), expected)


@pytest.mark.parametrize("side", [4, 6, 16])
def test_decoding_resizes_the_shorter_side(tmp_path: Path, side: int) -> None:
    left, right = (Image.new("RGB", (6, 8), colour) for colour in ("black", "white"))
    picture = Image.new("RGB", (12, 8))
    picture.paste(left, (0, 0))
    picture.paste(right, (6, 0))
    picture.save(tmp_path / "x.png")
    decoded = decode(tmp_path / "x.png", side)

    assert decoded.shape == (3, side, side)
    assert decoded.dtype == torch.uint8
    assert int(decoded[:, :, 0].max()) < 64
    assert int(decoded[:, :, -1].min()) > 191


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I;16B", "I"])
def test_pictures_of_other_modes_become_rgb_with_their_grey_levels_kept(tmp_path: Path, mode: str) -> None:
    levels = np.repeat(np.array([[0, 255], [255, 0]] if mode == "1" else [[10, 90], [160, 250]], np.uint8), 4, axis=1)
    path = tmp_path / ("x.png" if mode in ("L", "1", "P", "RGBA", "LA") else "x.tiff")
    if mode.startswith("I"):
        kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
        Image.fromarray((levels.astype(np.int32) * 257).astype(kind)).save(path)
        with Image.open(path) as image:
            assert image.mode == mode
    elif mode == "P":
        Image.fromarray(levels).quantize().save(path)
    else:
        Image.fromarray(levels).convert("RGB").convert(mode).save(path)
    decoded = decode(path, 2)
    expected = torch.from_numpy(levels[:, 3:5]).to(torch.float64)

    assert decoded.shape == (3, 2, 2)
    torch.testing.assert_close(decoded.double(), expected.expand(3, 2, 2), rtol=0, atol=3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_what_is_transparent_becomes_white_and_the_rest_keeps_its_levels(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGBA", (8, 4), (40, 40, 40, 255))
    picture.paste((200, 200, 200, 0), (4, 0, 8, 4))
    path = tmp_path / "x.png"
    if mode in ("RGBA", "LA"):
        picture.convert(mode).save(path)
    elif mode == "P":
        palette = picture.convert("RGB").quantize(2)
        palette.save(path, transparency=palette.getpixel((7, 0)))
    else:
        picture.convert(mode).save(path, transparency=(200, 200, 200) if mode == "RGB" else 200)
    decoded = decode(path, 4)

    assert decoded[:, :, :2].unique().tolist() == [40]
    assert decoded[:, :, 2:].unique().tolist() == [255]


def test_what_is_half_transparent_is_half_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (100, 0, 200, 128)).save(tmp_path / "x.png")
    expected = [level + (255 - level) * 127 / 255 for level in (100, 0, 200)]
    assert decode(tmp_path / "x.png", 4)[:, 0, 0].tolist() == pytest.approx(expected, abs=1)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    upright = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    stored = {  # as EXIF 2.3 defines the tag: where row 0 and column 0 of what is stored belong
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / "x.png", exif=exif)
        assert torch.equal(decode(tmp_path / "x.png", 6), torch.from_numpy(upright).permute(2, 0, 1)), orientation


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_file_with_several_frames_is_an_error_that_names_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UserError) as raised:
        decode(path, 8)
    assert str(path) in str(raised.value)
    assert "3 frames" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_preview_that_a_camera_adds_to_a_photograph_is_no_second_frame(tmp_path: Path) -> None:
    photograph, preview = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")
    photograph.save(tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[preview])
    assert decode(tmp_path / "x.jpg", 8).unique().tolist() == [255]


@pytest.mark.parametrize("levels", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70_000), np.full((4, 4), -1)])
def test_levels_that_are_no_8_or_16_bits_are_an_error_that_names_the_file(
    tmp_path: Path, levels: np.ndarray[tuple[int, ...], np.dtype[np.float32 | np.int64]]
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(levels if levels.dtype == np.float32 else levels.astype(np.int32)).save(path)
    with pytest.raises(UserError) as raised:
        decode(path, 4)
    assert str(path) in str(raised.value)
    assert "16" in str(raised.value)


def test_a_picture_too_large_to_be_one_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png"):
        decode(tmp_path / "x.png", 4)


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


@pytest.mark.parametrize(("shorter_side", "side"), [(8, 4), (16, 6)])
def test_decoding_cuts_the_centre_out_of_a_larger_resized_image(tmp_path: Path, shorter_side: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (shorter_side, 2 * shorter_side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    top, left = (shorter_side - side) // 2, (2 * shorter_side - side) // 2

    expected = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)
    assert torch.equal(decode(tmp_path / "x.png", side, shorter_side), expected)


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


def broken_file(suffix: str, keep: float) -> bytes:
    """The first part of an image file of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    buffer = BytesIO()
    kind = {".jpg": "JPEG", ".tif": "TIFF", ".pgm": "PPM", ".ppm": "PPM"}.get(suffix, suffix[1:].upper())
    (picture.convert("L") if suffix == ".pgm" else picture).save(buffer, kind)
    whole = buffer.getvalue()
    return whole[: int(keep * len(whole))]


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.95])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".pgm", ".tif", ".webp"])
def test_a_file_that_is_no_whole_image_is_named_in_one_line(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(broken_file(suffix, keep))
    with pytest.raises(UserError) as raised:
        decode(path, 8)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


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
