"""Images decoded once: the same batches as from files, one decoder at a time, nothing half-written, a bound."""

import errno
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from space.errors import UserError
from trainers import decoded, pictures
from trainers.contents import REMEMBERED
from trainers.data import Data
from trainers.datasets import read_data
from trainers.decoded import ARRAY, PARTIAL, MappedImages
from trainers.images import CPU, FileImages, Images, Squares
from trainers.pictures import OnRead, decode
from trainers.source import Source

GIB = 1024**3


def write(folder: Path, count: int) -> tuple[Path, ...]:
    """Images of noise and of several sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(crc32("/".join(folder.parts[-2:]).encode()))
    paths = tuple(folder / f"{number:03}.png" for number in range(count))
    for number, path in enumerate(paths):
        Image.fromarray(random.integers(0, 256, (12 + number % 5, 17 - number % 4, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def files(tmp_path: Path) -> FileImages:
    return FileImages(write(tmp_path / "pictures", 9), torch.arange(9) * 10, side=10)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "some" / "cache"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were decoded into the cache or to be checked, in the order that threads began them."""
    seen: list[Path] = []

    def remembered(path: Path, side: int, shorter_side: int | None = None, depth: int = 8) -> Tensor:
        seen.append(path)
        return decode(path, side, shorter_side, depth=depth)

    monkeypatch.setattr("trainers.decoded.decode", remembered)
    return seen


def decoded_once(
    files: FileImages, cache: Path, cache_bytes: int, on_read: OnRead | None = None
) -> tuple[MappedImages | FileImages, str]:
    """Files that are known by their bytes."""
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files.paths]
    return decoded.decoded_once(files, contents, cache, cache_bytes, on_read)


def mapped(files: FileImages, cache: Path, cache_bytes: int = GIB) -> MappedImages:
    images, note = decoded_once(files, cache, cache_bytes)
    assert isinstance(images, MappedImages), note
    return images


def everything(images: Images) -> Tensor:
    return torch.cat([pixels for pixels, _ in images.batches(torch.arange(len(images.labels)), 4)])


def names(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir() if not path.name.endswith(REMEMBERED)} - {"decoded.lock"}


class Drawn(NamedTuple):
    """What a training would see of some images, and where it left the generator."""

    pixels: Tensor
    labels: Tensor
    state: Tensor


def drawn(images: Images, resized_crop: bool) -> Drawn:
    torch.manual_seed(5)
    batches = [*images.batches(torch.randperm(len(images.labels)), 4, resized_crop)]
    pixels, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return Drawn(pixels, labels, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("resized_crop", [False, True])
@pytest.mark.parametrize(("image_size", "shorter_side"), [(10, None), (8, 12), (None, None), (20, 24)])
def test_cached_and_streamed_images_give_the_same_batches_to_the_bit(
    tmp_path: Path, cache: Path, workers: int, resized_crop: bool, image_size: int | None, shorter_side: int | None
) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / "pictures" / name, 12)
    ways: list[Data] = []
    for where in (None, cache):
        source = Source(
            name=f"folder:{tmp_path / 'pictures'}", image_size=image_size, shorter_side=shorter_side, cache=where
        )
        ways.append(read_data(source).to(CPU, workers))
    streamed, cached = ways

    assert isinstance(streamed.train, Squares)
    assert isinstance(cached.train, Squares)
    assert isinstance(streamed.train.images, FileImages)
    assert isinstance(cached.train.images, MappedImages)
    assert (streamed.mean, streamed.std, streamed.shape) == (cached.mean, cached.std, cached.shape)
    for one, other in (
        (streamed.train, cached.train),
        (streamed.val, cached.val),
        (streamed.with_val_in_train().train, cached.with_val_in_train().train),
    ):
        for first, second in zip(drawn(one, resized_crop), drawn(other, resized_crop), strict=True):
            assert torch.equal(first, second)


def test_mapped_images_are_the_decoded_files_in_the_order_asked_for(files: FileImages, cache: Path) -> None:
    images = mapped(files, cache).to(CPU, 3)
    batches = [*images.batches(torch.tensor([5, 0, 8, 2, 2]), 2)]

    assert [labels.tolist() for _, labels in batches] == [[50, 0], [80, 20], [20]]
    assert torch.equal(torch.cat([pixels for pixels, _ in batches]), everything(files)[[5, 0, 8, 2, 2]])


def test_parts_of_mapped_images_can_be_joined(files: FileImages, cache: Path) -> None:
    images = mapped(files, cache)
    both = images.part(torch.tensor([7, 1])).joined(images.part(torch.tensor([4])))

    assert both.labels.tolist() == [70, 10, 40]
    assert torch.equal(everything(both), everything(files)[[7, 1, 4]])


def test_random_parts_of_mapped_images_follow_the_seed(files: FileImages, cache: Path) -> None:
    images = mapped(files, cache)
    parts = drawn(images, resized_crop=True).pixels

    assert parts.shape == (9, 3, 10, 10)
    assert torch.equal(drawn(images, resized_crop=True).pixels, parts)
    assert not torch.equal(drawn(images, resized_crop=False).pixels, parts)


def test_the_array_is_mapped_and_never_written_to(files: FileImages, cache: Path) -> None:
    pixels = mapped(files, cache).pixels
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable


def test_files_are_decoded_once(files: FileImages, cache: Path, decodings: list[Path]) -> None:
    first, second = mapped(files, cache), mapped(files, cache)

    assert sorted(decodings) == sorted(files.paths)
    assert torch.equal(everything(first), everything(second))
    assert len(names(cache)) == 1


@pytest.mark.parametrize("change", ["content", "side", "depth", "order", "format"])
def test_files_that_hold_something_else_or_are_read_otherwise_are_decoded_again(
    files: FileImages, cache: Path, decodings: list[Path], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    mapped(files, cache)
    decodings.clear()
    other, path = files, files.paths[3]
    if change == "content":
        Image.new("RGB", (30, 30)).save(path)
    elif change == "side":
        other = replace(files, side=9)
    elif change == "depth":
        other = replace(files, depth=12)
    elif change == "order":
        other = files.part(torch.arange(8, -1, -1))
    else:
        monkeypatch.setattr(decoded, "FORMAT", decoded.FORMAT + 1)
    images = mapped(other, cache)

    assert sorted(decodings) == sorted(other.paths)
    assert torch.equal(everything(images), everything(other))
    assert len(names(cache)) == 2


def test_copies_elsewhere_are_not_decoded_again(
    files: FileImages, tmp_path: Path, cache: Path, decodings: list[Path]
) -> None:
    mapped(files, cache)
    decodings.clear()
    elsewhere = shutil.copytree(files.paths[0].parent, tmp_path / "elsewhere")
    copies = replace(files, paths=tuple(elsewhere / path.name for path in files.paths))

    assert torch.equal(everything(mapped(copies, cache)), everything(files))
    assert decodings == []


def test_files_that_are_in_no_split_are_not_decoded(tmp_path: Path, cache: Path, decodings: list[Path]) -> None:
    for split in ("train", "val", "test"):
        for name in ("cat", "dog"):
            write(tmp_path / split / name, 8 if split == "train" else 2)
    data = read_data(Source(name=f"folder:{tmp_path}", cache=cache, train_size=4))

    assert data.sizes() == {"train": 4, "val": 4, "test": 4}
    assert len(decodings) == 12


@pytest.mark.parametrize("where", ["cache", "nowhere"])
def test_a_check_decodes_each_file_once(tmp_path: Path, cache: Path, decodings: list[Path], where: str) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / "pictures" / name, 10)
    source = Source(name=f"folder:{tmp_path / 'pictures'}", cache=cache if where == "cache" else None)
    read_data(source, check=True)
    assert len(decodings) == len({*decodings}) == 20


def test_unchecked_files_without_a_cache_are_not_decoded_up_front(tmp_path: Path, decodings: list[Path]) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / "pictures" / name, 10)
    read_data(Source(name=f"folder:{tmp_path / 'pictures'}"))
    assert decodings == []


def test_progress_rises_to_the_number_of_files(files: FileImages, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "AT_ONCE", 4)
    told: list[tuple[int, int]] = []
    decoded_once(files, cache, GIB, lambda done, total: told.append((done, total)))
    assert told == [(4, 9), (8, 9), (9, 9)]


@pytest.mark.parametrize("cached", [False, True])
def test_a_broken_file_is_named_and_leaves_no_array(tmp_path: Path, cache: Path, cached: bool) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / "pictures" / name, 10)
    broken = tmp_path / "pictures" / "dog" / "006.png"
    broken.write_bytes(broken.read_bytes()[:-60])
    with pytest.raises(UserError) as raised:
        read_data(Source(name=f"folder:{tmp_path / 'pictures'}", cache=cache if cached else None), check=True)
    assert str(broken) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not cached or names(cache) == set()


def test_a_file_that_is_gone_is_named(files: FileImages, cache: Path) -> None:
    files.paths[2].unlink()
    with pytest.raises(UserError, match=files.paths[2].name):
        decoded.decoded_once(files, ["some digest"] * 9, cache, GIB)


def test_an_interrupted_decoding_leaves_nothing_and_can_be_repeated(
    files: FileImages, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "AT_ONCE", 4)

    def interrupt(done: int, total: int) -> None:
        assert [name for name in names(cache) if name.endswith(PARTIAL)] == [*names(cache)]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decoded_once(files, cache, GIB, interrupt)
    assert names(cache) == set()
    assert torch.equal(everything(mapped(files, cache)), everything(files))


def test_what_a_killed_process_left_is_removed_and_never_read(files: FileImages, cache: Path) -> None:
    mapped(files, cache)
    (array,) = cache.glob(f"*{ARRAY}")
    array.rename(cache / f"{array.name.removesuffix(ARRAY)}{PARTIAL}")
    (cache / f"other{PARTIAL}").write_bytes(b"half")
    os.truncate(cache / f"{array.name.removesuffix(ARRAY)}{PARTIAL}", 500)

    assert torch.equal(everything(mapped(files, cache)), everything(files))
    assert names(cache) == {array.name}


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "another shape", "objects"])
def test_an_array_that_is_not_what_was_written_is_written_anew(files: FileImages, cache: Path, damage: str) -> None:
    mapped(files, cache)
    (array,) = cache.glob(f"*{ARRAY}")
    if damage in ("another shape", "objects"):
        with array.open("wb") as file:
            np.save(file, np.zeros(9, np.uint8) if damage == "another shape" else np.array([{}]))
    else:
        array.write_bytes({"cut": array.read_bytes()[:-1], "empty": b"", "garbage": b"x" * 3000}[damage])
    assert torch.equal(everything(mapped(files, cache)), everything(files))


def test_one_process_decodes_while_others_wait_for_it(
    files: FileImages, cache: Path, decodings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()
    lock = fcntl.flock

    def announced(file: int, operation: int) -> None:  # a lock is of the open file: threads stand for processes
        if threading.current_thread() is other:
            waiting.set()
        lock(file, operation)

    found: list[MappedImages] = []
    other = threading.Thread(target=lambda: found.append(mapped(files, cache)))
    monkeypatch.setattr(fcntl, "flock", announced)

    def meanwhile(done: int, total: int) -> None:
        other.start()
        assert waiting.wait(20)
        assert names(cache) == {name for name in names(cache) if name.endswith(PARTIAL)}

    decoded_once(files, cache, GIB, meanwhile)
    other.join(20)

    assert len(decodings) == 9
    assert torch.equal(everything(found[0]), everything(files))


def test_what_is_there_is_read_while_other_files_are_decoded(
    files: FileImages, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped(files, cache)

    def refuse(file: int, operation: int) -> None:
        raise AssertionError("would wait for the lock")

    monkeypatch.setattr(fcntl, "flock", refuse)
    mapped(files, cache)


def test_the_lock_is_released_and_the_next_decoding_finds_it_free(files: FileImages, cache: Path) -> None:
    mapped(files, cache)
    with (cache / "decoded.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def several(files: FileImages) -> Iterator[FileImages]:
    """Arrays of one size."""
    for number in range(5):
        yield FileImages(files.paths[number : number + 4], files.labels[:4], side=10)


ONE = 4 * 3 * 10 * 10
HEADER = 128
"""Bytes that the format adds to each array."""


def test_those_not_used_for_longest_make_room(files: FileImages, cache: Path, decodings: list[Path]) -> None:
    first, second, third, *_ = several(files)
    limit = 2 * (ONE + HEADER)
    kept = {}
    for used, images in enumerate((first, second), 1):
        (kept[used],) = _added(cache, images, limit)
        os.utime(cache / kept[used], (used, used))
    before = mapped(second, cache, limit)
    os.utime(cache / kept[2], (2, 2))
    mapped(first, cache, limit)  # so that the second one is the least recently used
    (new,) = _added(cache, third, limit)

    assert names(cache) == {kept[1], new}
    assert torch.equal(everything(before), everything(second))  # who has it mapped can go on
    decodings.clear()
    mapped(first, cache, limit), mapped(third, cache, limit)
    assert decodings == []


def _added(cache: Path, images: FileImages, limit: int) -> set[str]:
    before = names(cache) if cache.exists() else set()
    mapped(images, cache, limit)
    return names(cache) - before


def test_the_folder_never_has_more_than_it_may(files: FileImages, cache: Path) -> None:
    limit = 3 * ONE
    for images in several(files):
        mapped(images, cache, limit)
        assert sum(path.stat().st_size for path in cache.glob(f"*{ARRAY}")) <= limit
    assert len(names(cache)) == 2  # with their headers three are too many


def test_what_is_larger_than_the_cache_is_streamed_and_leaves_it_alone(
    files: FileImages, cache: Path, decodings: list[Path]
) -> None:
    small, *_ = several(files)
    mapped(small, cache)
    before = names(cache)
    decodings.clear()
    images, note = decoded_once(files, cache, 9 * 300 - 1)

    assert images is files
    assert note == "streamed: decoded they would take 2.7 kB, more than the 2.7 kB that the cache may have"
    assert decodings == []
    assert names(cache) == before


def test_a_disk_without_room_is_not_filled(files: FileImages, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, other, *_ = several(files)
    mapped(small, cache)
    before = names(cache)
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=ONE - 1))

    images, note = decoded_once(files, cache, GIB)  # would not fit if the other array went, too
    assert images is files
    assert note == f"streamed: decoded they would take 2.7 kB, more than the 2.5 kB that there is room for in {cache}"
    assert names(cache) == before

    mapped(other, cache)
    assert len(names(cache)) == 1
    assert names(cache) != before


def test_a_folder_that_cannot_be_written_to_is_done_without(
    files: FileImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    images, note = decoded_once(files, tmp_path / "file" / "cache", GIB)
    assert images is files
    assert note == f"streamed: {tmp_path / 'file' / 'cache'} cannot keep them decoded (Not a directory)"

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    images, note = decoded_once(files, tmp_path / "cache", GIB)
    assert images is files
    assert note == f"streamed: {tmp_path / 'cache'} cannot keep them decoded (No space left on device)"
    assert names(tmp_path / "cache") == set()


def test_files_of_others_in_the_folder_stay(files: FileImages, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "mine.npy").write_bytes(b"x" * 5000)
    (cache / "mine.part").write_bytes(b"x")
    for images in several(files):
        mapped(images, cache, ONE + HEADER)
    assert {"mine.npy", "mine.part"} < names(cache)


def test_the_notes_say_how_images_are_read(tmp_path: Path, cache: Path) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / "pictures" / "train" / name, 10)
        write(tmp_path / "pictures" / "val" / name, 2)
    source = Source(name=f"folder:{tmp_path / 'pictures'}", image_size=300, cache=cache)

    assert read_data(source).notes == (
        "test: 15 % of train/ (3 images), since there is no test/ folder",
        f"decoded once: 24 images of 300 x 300 (6.5 MB) in {cache}",
    )


@pytest.mark.parametrize(
    ("size", "said"), [(0, "0.0 kB"), (3686400, "3.7 MB"), (8 * GIB, "8.6 GB"), (12_300_000_000, "12.3 GB")]
)
def test_amounts_are_said_in_decimal_units(size: int, said: str) -> None:
    assert decoded._amount(size) == said


def test_labels_stay_with_their_images(tmp_path: Path, cache: Path) -> None:
    for level, name in enumerate(("cat", "dog", "eel")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (8, 8), (80 * level, number, 0)).save(tmp_path / "pictures" / name / f"{number}.png")
    data = read_data(Source(name=f"folder:{tmp_path / 'pictures'}", cache=cache))
    seen = set()
    for images in (data.train, data.val, data.test):
        ((pixels, labels),) = images.batches(torch.arange(len(images.labels)), 99)
        assert pixels[:, 0, 0, 0].tolist() == [80 * label for label in labels.tolist()]
        seen |= {(red, green) for red, green, _ in pixels[:, :, 0, 0].tolist()}
    assert len(seen) == 24
