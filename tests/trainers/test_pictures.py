"""Image files decoded to squares: orientation, modes, depths, and what is no image."""

from io import BytesIO
from pathlib import Path
from struct import pack
from zlib import compress, crc32

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from space.errors import UserError
from trainers.pictures import decode, depth_of, is_cut


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
    decoded = decode(path, 2, depth=16)
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
        decode(path, 4, depth=16)
    assert str(path) in str(raised.value)
    assert "16" in str(raised.value)


DEEP = pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4"])  # Pillow's modes I;16, I;16B and I


@DEEP
@pytest.mark.parametrize(
    ("largest", "depth"), [(1, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (16383, 14), (16384, 16), (65535, 16)]
)
def test_the_depth_of_a_picture_is_the_fewest_bits_of_a_device_that_hold_its_levels(
    tmp_path: Path, kind: str, largest: int, depth: int
) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.array([[0, largest], [1, 0]]).astype(kind)).save(path)
    with Image.open(path) as image:
        assert depth_of(path, image) == depth


@DEEP
@pytest.mark.parametrize("depth", [8, 10, 12, 14, 16])
def test_the_upper_8_of_the_bits_of_a_depth_are_kept(tmp_path: Path, kind: str, depth: int) -> None:
    shown = np.arange(0, 256, 31).reshape(3, 3)
    Image.fromarray((shown * 2 ** (depth - 8)).astype(kind)).save(tmp_path / "x.tif")
    assert torch.equal(decode(tmp_path / "x.tif", 3, depth=depth), torch.from_numpy(shown).expand(3, 3, 3).byte())


@DEEP
@pytest.mark.parametrize("level", [4095, 4096, 4111, 65535])
def test_levels_beyond_the_depth_are_the_highest(tmp_path: Path, kind: str, level: int) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.full((4, 4), level).astype(kind)).save(path)
    assert torch.equal(decode(path, 4, depth=12), torch.full((3, 4, 4), 255, dtype=torch.uint8))


@pytest.mark.parametrize(("bits", "cut"), [(8, False), (16, True)])
def test_colours_of_which_half_the_bits_cannot_be_read_are_known(tmp_path: Path, bits: int, cut: bool) -> None:
    path = tmp_path / "x.png"
    rows = b"".join(b"\0" + bytes(4 * 3 * bits // 8) for _ in range(4))
    chunks = ((b"IHDR", pack(">IIBBBBB", 4, 4, bits, 2, 0, 0, 0)), (b"IDAT", compress(rows)), (b"IEND", b""))
    written = [pack(">I", len(data)) + name + data + pack(">I", crc32(name + data)) for name, data in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))  # Pillow does not write such
    with Image.open(path) as image:
        assert is_cut(image) == cut


def test_a_picture_too_large_to_be_one_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"x\.png"):
        decode(tmp_path / "x.png", 4)


@pytest.mark.parametrize(("shorter_side", "side"), [(8, 4), (16, 6)])
def test_decoding_cuts_the_centre_out_of_a_larger_resized_image(tmp_path: Path, shorter_side: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (shorter_side, 2 * shorter_side, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    top, left = (shorter_side - side) // 2, (2 * shorter_side - side) // 2

    expected = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)
    assert torch.equal(decode(tmp_path / "x.png", side, shorter_side), expected)


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
