"""A data set is known by a digest: the same wherever it lies and however it is read, another if anything differs."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from space.errors import UserError
from trainers.datasets import read_data
from trainers.identity import data_digest
from trainers.images import TensorImages
from trainers.source import Source


def write(root: Path, images: int = 10) -> Path:
    """Bitmaps of one size, in two classes and all three splits."""
    for blue, split in enumerate(("train", "val", "test")):
        for green, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for number in range(images):
                Image.new("RGB", (8, 8), (number, green, blue)).save(root / split / name / f"{number}.bmp")
    return root


def digest(root: Path, check: bool = False, **fields: Any) -> str:
    source = Source(name="imagenet", root=root.parent) if root.name == "imagenet" else Source(name=f"folder:{root}")
    return read_data(replace(source, **fields), check=check).digest


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("cache_bytes", [0, 10**6])
def test_the_digest_does_not_depend_on_how_files_are_read(tmp_path: Path, check: bool, cache_bytes: int) -> None:
    root = write(tmp_path / "pictures")
    plain = digest(root)
    for _ in range(2):  # with a cold cache and with a warm one
        assert digest(root, check, cache=tmp_path / "cache", cache_bytes=cache_bytes) == plain
    assert len(plain) == 64


@pytest.mark.parametrize("name", ["pictures", "imagenet"])
def test_a_copy_elsewhere_is_the_same_data(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "here" / name)
    before = digest(root)
    copied = shutil.copytree(root, tmp_path / "there" / name, copy_function=shutil.copyfile)  # with times of its own
    assert digest(copied) == before
    assert digest(copied, image_size=4) == before


def swap(one: Path, other: Path) -> None:
    """Two files in each other's place."""
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second), other.write_bytes(first)


CHANGES: dict[str, Callable[[Path], object]] = {
    "another size": lambda root: Image.new("RGB", (9, 9), "red").save(root / "train" / "cat" / "3.bmp"),
    "one more": lambda root: Image.new("RGB", (8, 8), "red").save(root / "val" / "dog" / "x.bmp"),
    "one less": lambda root: (root / "val" / "dog" / "4.bmp").unlink(),
    "another name": lambda root: (root / "val" / "dog" / "4.bmp").rename(root / "val" / "dog" / "40.bmp"),
    "another class": lambda root: (root / "val" / "dog" / "4.bmp").rename(root / "val" / "cat" / "40.bmp"),
    "another split": lambda root: (root / "val" / "dog" / "4.bmp").rename(root / "train" / "dog" / "40.bmp"),
    "other pixels": lambda root: Image.new("RGB", (8, 8), "red").save(root / "test" / "cat" / "3.bmp"),
    "labels exchanged": lambda root: swap(root / "train" / "cat" / "3.bmp", root / "train" / "dog" / "3.bmp"),
    "splits exchanged": lambda root: swap(root / "train" / "cat" / "3.bmp", root / "test" / "cat" / "3.bmp"),
    "classes": lambda root: [(root / s / "dog").rename(root / s / "eel") for s in ("train", "val", "test")],
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_is_changed_in_a_folder_is_noticed(tmp_path: Path, change: str) -> None:
    root = write(tmp_path / "pictures")
    before = digest(root, cache=tmp_path / "cache")
    CHANGES[change](root)
    assert digest(root, cache=tmp_path / "cache") != before


@pytest.mark.parametrize("change", ["another size", "one more", "one less", "another name", "another class"])
def test_names_sizes_and_labels_are_noticed_in_imagenet_whose_contents_are_not_read(
    tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "imagenet")
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was read"))
    before = digest(root)
    monkeypatch.undo()
    CHANGES[change](root)
    assert digest(root) != before


def in_memory() -> list[TensorImages]:
    generator = torch.Generator().manual_seed(0)
    return [
        TensorImages(torch.randint(256, (count, 3, 4, 4), generator=generator).byte(), torch.arange(count) % 3)
        for count in (300, 20, 20)
    ]


def test_every_pixel_label_and_split_in_memory_counts() -> None:
    plain = data_digest("abc", in_memory())
    found = [plain]
    for number in range(3):
        for part in ("images", "labels"):
            splits = in_memory()
            getattr(splits[number], part)[-1] += 1
            found.append(data_digest("abc", splits))
    train, val, test = in_memory()
    found += [data_digest("abd", in_memory()), data_digest("abc", [train, test, val])]
    moved = TensorImages(torch.cat([train.images, val.images[:1]]), torch.cat([train.labels, val.labels[:1]]))
    found.append(data_digest("abc", [moved, TensorImages(val.images[1:], val.labels[1:]), test]))

    assert len({*found}) == 10
    assert data_digest("abc", in_memory()) == plain


def test_digits_are_known_by_their_splits_not_by_how_they_are_shown() -> None:
    plain = read_data(Source(name="digits")).digest
    assert read_data(Source(name="digits", image_size=32, mean=(0.5,))).digest == plain
    assert read_data(Source(name="digits", train_size=100)).digest != plain


def test_data_that_is_not_what_it_should_be_is_refused_in_one_line(tmp_path: Path) -> None:
    root = write(tmp_path / "pictures")
    source = Source(name=f"folder:{root}", digest=digest(root))
    assert read_data(source).digest == source.digest
    CHANGES["other pixels"](root)
    with pytest.raises(UserError) as raised:
        read_data(source)
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in (str(root), "other images, labels or splits", "put those back"))
