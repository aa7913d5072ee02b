"""What files hold is read once, remembered while they stay as they are, and read again when they do not."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from space.errors import UserError
from trainers import contents
from trainers.contents import REMEMBERED, Content, contents_of


def write(path: Path, level: int, size: tuple[int, int] = (6, 4)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, level).save(path)
    return path


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    return [
        write(tmp_path / "pictures" / name / f"{level}.bmp", level) for level in range(3) for name in ("cat", "dog")
    ]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read; all that was just made is taken for settled."""
    seen: list[Path] = []
    read = contents._read

    def noted(path: Path) -> Content:
        seen.append(path)
        return read(path)

    monkeypatch.setattr(contents, "_read", noted)
    monkeypatch.setattr(contents, "SETTLED_NS", -1)
    return seen


def of(paths: list[Path], tmp_path: Path) -> list[Content]:
    return contents_of(paths, tmp_path / "pictures", tmp_path / "cache")


def test_a_content_is_the_digest_the_shorter_side_and_the_depth(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.png", 9, (7, 5))
    deep = tmp_path / "deep.tif"
    Image.fromarray(np.full((3, 8), 4000, np.uint16)).save(deep)

    first, second = contents_of([plain, deep], tmp_path)
    assert first == Content(hashlib.sha256(plain.read_bytes()).hexdigest(), 5, 8, False)
    assert second == Content(hashlib.sha256(deep.read_bytes()).hexdigest(), 3, 12, False)


def test_files_that_stay_are_read_once_and_by_nobody_else(tmp_path: Path, paths: list[Path], reads: list[Path]) -> None:
    first = of(paths, tmp_path)
    second = of(paths, tmp_path)

    assert sorted(reads) == sorted(paths)
    assert first == second == contents_of(paths, tmp_path / "pictures")


def changed(path: Path, level: int) -> None:
    """Other pixels of the same size in bytes, with the time of modification put back."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock has moved on
        write(path, level)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_other_pixels_of_the_same_size_and_time_are_noticed(
    tmp_path: Path, paths: list[Path], reads: list[Path]
) -> None:
    before = of(paths, tmp_path)
    reads.clear()
    changed(paths[3], 77)
    after = of(paths, tmp_path)

    assert reads == [paths[3]]
    assert [n for n in range(6) if before[n] != after[n]] == [3]


def test_files_that_change_places_are_read_again(tmp_path: Path, paths: list[Path], reads: list[Path]) -> None:
    for path in paths:
        os.utime(path, (1, 1))
    before = of(paths, tmp_path)
    swapped, aside = [paths[0], paths[5]], tmp_path / "aside.bmp"
    stamps = [path.stat().st_ctime_ns for path in swapped]

    def swap() -> None:
        paths[0].rename(aside)
        paths[5].rename(paths[0])
        aside.rename(paths[5])

    swap()
    while any(path.stat().st_ctime_ns == stamp for path, stamp in zip(swapped, stamps, strict=True)):
        swap()  # until the file system's clock has moved on
        swap()

    assert of(paths, tmp_path) == [before[5], *before[1:5], before[0]]


def test_a_file_that_was_only_just_changed_is_not_remembered(
    tmp_path: Path, paths: list[Path], reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "SETTLED_NS", 3600 * 10**9)
    of(paths, tmp_path), of(paths, tmp_path)
    assert sorted(reads) == sorted([*paths, *paths])


def test_a_new_file_is_read_and_the_others_are_remembered(tmp_path: Path, paths: list[Path], reads: list[Path]) -> None:
    of(paths, tmp_path)
    reads.clear()
    new = write(tmp_path / "pictures" / "cat" / "new.bmp", 200)
    of([*paths, new], tmp_path), of([*paths, new], tmp_path)
    assert reads == [new]


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'[["cat/0.bmp", 1, 2]]', b"\xff"])
def test_a_damaged_memory_is_no_memory(tmp_path: Path, paths: list[Path], reads: list[Path], damage: bytes) -> None:
    before = of(paths, tmp_path)
    (memory,) = (tmp_path / "cache").glob(f"*{REMEMBERED}")
    memory.write_bytes(damage)
    assert of(paths, tmp_path) == before
    assert len(json.loads(memory.read_text())) == 6


def test_a_cache_that_cannot_be_written_to_is_done_without(tmp_path: Path, paths: list[Path]) -> None:
    (tmp_path / "cache").write_text("a file")
    assert of(paths, tmp_path) == contents_of(paths, tmp_path / "pictures")


@pytest.mark.parametrize("content", [None, b"", b"text"])
def test_what_is_no_image_is_named(tmp_path: Path, paths: list[Path], content: bytes | None) -> None:
    paths[2].unlink()
    if content is not None:
        paths[2].write_bytes(content)
    with pytest.raises(UserError) as raised:
        of(paths, tmp_path)
    assert str(paths[2]) in str(raised.value)
    assert "\n" not in str(raised.value)
