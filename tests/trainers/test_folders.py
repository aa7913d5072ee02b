"""A user's own image folders: layouts, splits, sizes and errors."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from space.errors import UserError
from trainers.data import Data, FileImages
from trainers.datasets import Source, load
from trainers.folders import LARGEST_SIDE

SPLITS = ("train", "val", "test")
Size = tuple[int, int]


def write(folder: Path, count: int, size: Size = (8, 8), mode: str = "RGB", suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new(mode, size, number % 256 if mode == "L" else (number % 256, 0, 0)).save(folder / f"{number}{suffix}")


def flat(root: Path, classes: Sequence[str] = ("cat", "dog"), count: int = 20, size: Size = (8, 8)) -> Path:
    for name in classes:
        write(root / name, count, size)
    return root


def parted(root: Path) -> Path:
    for split, count in zip(SPLITS, (10, 4, 6), strict=True):
        flat(root / split, count=count)
    return root


def read(root: Path, *, train_size: int | None = None, check: bool = False) -> Data:
    return load(Source(name=f"folder:{root}", train_size=train_size), check=check)


def files(data: Data) -> dict[str, FileImages]:
    found: dict[str, FileImages] = {}
    for split in SPLITS:
        images = getattr(data, split)
        assert isinstance(images, FileImages)
        found[split] = images
    return found


def test_a_folder_a_class_is_parted_70_15_15_with_each_class_in_proportion(tmp_path: Path) -> None:
    data = read(flat(tmp_path, ("cat", "dog", "eel")))

    assert data.sizes() == {"train": 42, "val": 9, "test": 9}
    assert data.classes == ("cat", "dog", "eel")
    assert data.shape == (3, 8, 8)
    for images in files(data).values():
        assert images.labels.bincount().tolist() == [len(images.labels) // 3] * 3
        assert [path.parent.name for path in images.paths] == [data.classes[label] for label in images.labels.tolist()]
    parts = [path for images in files(data).values() for path in images.paths]
    assert sorted(parts) == sorted(tmp_path.rglob("*.png"))


def test_a_folder_is_parted_the_same_way_each_time(tmp_path: Path) -> None:
    first, second = (files(read(flat(tmp_path))) for _ in range(2))
    assert [images.paths for images in first.values()] == [images.paths for images in second.values()]


def test_a_training_size_leaves_half_of_the_rest_each_to_validate_and_test_on(tmp_path: Path) -> None:
    assert read(flat(tmp_path), train_size=10).sizes() == {"train": 10, "val": 15, "test": 15}


def test_given_splits_are_kept(tmp_path: Path) -> None:
    data = read(parted(tmp_path))

    assert data.sizes() == {"train": 20, "val": 8, "test": 12}
    for split, images in files(data).items():
        assert sorted(images.paths) == sorted((tmp_path / split).rglob("*.png"))
        assert [path.parent.name for path in images.paths] == [data.classes[label] for label in images.labels.tolist()]


def test_a_training_size_narrows_a_given_training_split_only(tmp_path: Path) -> None:
    data = read(parted(tmp_path), train_size=8)
    assert data.sizes() == {"train": 8, "val": 8, "test": 12}
    assert files(data)["train"].labels.bincount().tolist() == [4, 4]


@pytest.mark.parametrize("make", [flat, parted])
@pytest.mark.parametrize("train_size", [0, -1, 1000])
def test_an_impossible_training_size_is_named(tmp_path: Path, make: Callable[[Path], Path], train_size: int) -> None:
    make(tmp_path)
    with pytest.raises(UserError, match=rf"--train-size {train_size}\b"):
        read(tmp_path, train_size=train_size)


def test_one_image_each_to_validate_and_test_on_is_enough(tmp_path: Path) -> None:
    assert read(flat(tmp_path), train_size=38).sizes() == {"train": 38, "val": 1, "test": 1}


def test_a_size_that_leaves_no_image_to_validate_on_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--train-size 39\b"):
        read(flat(tmp_path), train_size=39)


def test_nested_files_and_capital_suffixes_count_and_other_files_do_not(tmp_path: Path) -> None:
    flat(tmp_path)
    write(tmp_path / "cat" / "more", 2, suffix=".JPG")
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("not a class")
    (tmp_path / ".cache").mkdir()

    data = read(tmp_path)
    assert data.classes == ("cat", "dog")
    assert sum(data.sizes().values()) == 42


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(8, 8), (8, 8)], 8),
        ([(20, 12), (12, 30)], 12),
        ([(30, 20), (9, 40)], 9),
        ([(LARGEST_SIDE + 4, LARGEST_SIDE + 1), (200, 150)], LARGEST_SIDE),
    ],
)
def test_images_become_squares_of_the_shortest_side_of_all(tmp_path: Path, sizes: list[Size], side: int) -> None:
    for name, size in zip(("cat", "dog"), sizes, strict=True):
        write(tmp_path / name, 5, size)
    data = read(tmp_path)

    assert data.shape == (3, side, side)
    batch, _ = next(iter(data.train.batches(data.train.labels.argsort(), 4)))
    assert batch.shape == (4, 3, side, side)


def test_grey_pictures_get_three_equal_channels(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write(tmp_path / name, 6, mode="L")
    data = read(tmp_path)
    batch, _ = next(iter(data.train.batches(data.train.labels.argsort(), 8)))

    assert data.shape == (3, 8, 8)
    assert data.mean == (data.mean[0],) * 3
    assert bool((batch == batch[:, :1]).all())


def test_statistics_are_of_training_images(tmp_path: Path) -> None:
    data = read(flat(tmp_path))
    red = [int(path.stem) / 255 for path in files(data)["train"].paths]
    mean = sum(red) / len(red)

    assert data.mean == pytest.approx((mean, 0, 0))
    assert data.std[0] == pytest.approx((sum((level - mean) ** 2 for level in red) / len(red)) ** 0.5)


def only(root: Path, *classes: str) -> None:
    for name in classes:
        write(root / name, 4)


def empty_class(root: Path) -> None:
    only(root, "cat", "dog")
    (root / "eel").mkdir()


def odd_class(root: Path) -> None:
    parted(root)
    only(root / "val", "eel")


def missing_class(root: Path) -> None:
    parted(root)
    for path in (root / "test" / "dog").iterdir():
        path.unlink()
    (root / "test" / "dog").rmdir()


def no_test_split(root: Path) -> None:
    for split in ("train", "val"):
        flat(root / split)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda root: root.rmdir(), ["no folder", "folder:PATH"]),
        (lambda root: None, ["no sub-folders"]),
        (lambda root: (root / "a.png").write_bytes(b""), ["no sub-folders"]),
        (empty_class, ["eel", "no images", ".png"]),
        (lambda root: only(root, "cat"), ["cat", "one class"]),
        (odd_class, ["train/", "val/", "eel"]),
        (missing_class, ["test", "cat"]),
        (no_test_split, ["train", "val", "test/"]),
        (lambda root: only(root / "train", "cat", "dog"), ["train", "val/", "test/"]),
    ],
    ids=["no folder", "empty", "files only", "empty class", "one class", "odd", "missing", "no test", "train only"],
)
def test_an_unusable_folder_gets_one_line_with_what_and_where(tmp_path: Path, make: object, named: list[str]) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    assert callable(make)
    make(root)
    with pytest.raises(UserError) as raised:
        read(root)
    message = str(raised.value)
    assert "\n" not in message
    assert [word for word in [str(root), *named] if word not in message] == []


@pytest.mark.parametrize("make", [flat, parted])
def test_a_truncated_image_is_named_before_training_where_files_are_checked(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    make(tmp_path)
    path = sorted(tmp_path.rglob("*.png"))[-1]
    Image.effect_noise((40, 40), 50).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(UserError) as raised:
        read(tmp_path, check=True)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"P5\n", b"GIF89a", b"text"])
def test_a_file_without_an_image_is_named_even_unchecked(tmp_path: Path, content: bytes) -> None:
    flat(tmp_path)
    path = tmp_path / "dog" / "7.png"
    path.write_bytes(content)
    with pytest.raises(UserError) as raised:
        read(tmp_path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_with_too_few_images_is_not_blamed_on_a_flag_that_nobody_gave(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(flat(tmp_path, count=2))
    assert "--train-size 0" not in str(raised.value)
