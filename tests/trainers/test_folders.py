"""A user's own image folders: layouts, splits, groups, sizes and errors."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch
from PIL import Image

from space.errors import UserError
from trainers.data import Data
from trainers.datasets import LARGEST_SIDE, read_data
from trainers.images import FileImages, Squares
from trainers.source import Source

SPLITS = ("train", "val", "test")
Size = tuple[int, int]


def write(
    folder: Path, count: int, size: Size = (8, 8), mode: str = "RGB", suffix: str = ".png", blue: int = 0
) -> None:
    """Pictures that differ in red, and from class to class in green."""
    folder.mkdir(parents=True, exist_ok=True)
    green = crc32(folder.name.encode()) % 200
    for number in range(count):
        colour = number + green if mode == "L" else (number, green, blue)
        Image.new(mode, size, colour).save(folder / f"{number}{suffix}")


def flat(
    root: Path, classes: Sequence[str] = ("cat", "dog"), count: int = 20, size: Size = (8, 8), blue: int = 0
) -> Path:
    for name in classes:
        write(root / name, count, size, blue=blue)
    return root


def parted(root: Path, splits: Mapping[str, int] | None = None) -> Path:
    for number, (split, count) in enumerate((splits or {"train": 10, "val": 4, "test": 6}).items()):
        flat(root / split, count=count, blue=number)
    return root


def read(root: Path, *, check: bool = False, **fields: Any) -> Data:
    return read_data(Source(name=f"folder:{root}", **fields), check=check)


def files(data: Data) -> dict[str, FileImages]:
    found: dict[str, FileImages] = {}
    for split in SPLITS:
        squares = getattr(data, split)
        assert isinstance(squares, Squares)
        assert isinstance(squares.images, FileImages)
        found[split] = squares.images
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


@pytest.mark.parametrize("groups", [False, True])
def test_the_images_to_validate_and_test_on_do_not_depend_on_how_many_train(tmp_path: Path, groups: bool) -> None:
    flat(tmp_path, ("cat", "dog", "eel"), count=40)
    named = table(tmp_path, five_together) if groups else None
    whole = files(read(tmp_path, groups=named))
    smaller: set[Path] = set()
    for size in (3, 10, 50, len(whole["train"].paths)):
        part = files(read(tmp_path, train_size=size, groups=named))
        assert len(part["train"].paths) == size
        assert smaller < {*part["train"].paths} <= {*whole["train"].paths}
        assert part["train"].labels.unique().tolist() == [0, 1, 2]
        for split in ("val", "test"):
            assert part[split].paths == whole[split].paths
        smaller = {*part["train"].paths}


@pytest.mark.parametrize("train_size", [0, 29, 40])
def test_a_size_beyond_what_is_left_to_train_on_gets_the_number_that_is(tmp_path: Path, train_size: int) -> None:
    with pytest.raises(UserError, match=rf"^--train-size {train_size}: there are 28 images to train on$"):
        read(flat(tmp_path), train_size=train_size)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev", "Val", "VALID"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "TEST"), ("training", "testing")])
def test_split_folders_are_known_by_their_usual_names(tmp_path: Path, train: str, val: str, test: str) -> None:
    data = read(parted(tmp_path, {train: 10, val: 4, test: 6}))
    assert data.classes == ("cat", "dog")
    assert data.sizes() == {"train": 20, "val": 8, "test": 12}
    for split, folder in zip(SPLITS, (train, val, test), strict=True):
        assert {path.parent.parent.name for path in files(data)[split].paths} == {folder}


@pytest.mark.parametrize("two", [("val", "valid"), ("test", "Test"), ("train", "training")])
def test_two_folders_of_one_split_are_named(tmp_path: Path, two: tuple[str, str]) -> None:
    parted(tmp_path, {"train": 5, "val": 4, **dict.fromkeys(two, 3)})
    with pytest.raises(UserError) as raised:
        read(tmp_path)
    message = str(raised.value)
    assert "\n" not in message
    assert all(f"{name}/" in message for name in two)


@pytest.mark.parametrize("name", ["train", "valid", "dev"])
def test_a_class_may_be_called_like_a_split(tmp_path: Path, name: str) -> None:
    assert read(flat(tmp_path, ("bus", "car", name))).classes == tuple(sorted(("bus", "car", name)))


@pytest.mark.parametrize("other", [(), ("extra",)])
def test_split_folders_without_classes_are_not_taken_for_classes(tmp_path: Path, other: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="train has no sub-folders"):
        read(flat(tmp_path, ("train", "val", *other)))


def test_a_carved_split_is_said_to_come_from_the_folder_that_is_there(tmp_path: Path) -> None:
    data = read(parted(tmp_path, {"Train": 20, "valid": 5}))
    assert data.notes == ("test: 15 % of Train/ (6 images), since there is no test/ folder",)


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


def deep(root: Path, largest: int, kind: str = "<u2") -> Path:
    """Two classes of TIFFs whose levels rise to this one in the brightest picture."""
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(1, 9):
            level = largest * number // 8 - label
            Image.fromarray(np.full((4, 4), level).astype(kind)).save(root / name / f"{level}.tif")
    return root


@pytest.mark.parametrize(
    ("largest", "kind", "depth"), [(255, "<i4", 8), (255, "<u2", 8), (4095, "<u2", 12), (65535, "<u2", 16)]
)
@pytest.mark.parametrize("cached", [False, True])
def test_deep_levels_are_divided_by_one_number_in_all_images(
    tmp_path: Path, largest: int, kind: str, depth: int, cached: bool
) -> None:
    cache = tmp_path / "cache" if cached else None
    data = read(deep(tmp_path / "pictures", largest, kind), check=True, cache=cache)

    assert data.depth == depth
    seen = set()
    for part in (data.train, data.val, data.test):
        ((pixels, _),) = part.batches(torch.arange(len(part.labels)), 99)
        assert all(len(image.unique()) == 1 for image in pixels)
        seen |= {*pixels[:, 0, 0, 0].tolist()}
    paths = (tmp_path / "pictures").rglob("*.tif")
    assert seen == {int(path.stem) >> (depth - 8) for path in paths}
    said = [note for note in data.notes if note.startswith(f"levels of {depth} bits: divided by {2 ** (depth - 8)}")]
    assert len(said) == (depth > 8)


def test_a_grey_picture_of_8_bits_keeps_its_levels_beside_deeper_ones(tmp_path: Path) -> None:
    deep(tmp_path, 4095)
    write(tmp_path / "cat", 8, mode="L")
    images = files(read(tmp_path))["train"]
    for path, (pixels, _) in zip(images.paths, images.batches(torch.arange(len(images.labels)), 1), strict=True):
        with Image.open(path) as image:
            level = int(np.asarray(image).max())
        assert pixels.unique().tolist() == [level if path.suffix == ".png" else level >> 4]


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

    assert data.mean[0] == pytest.approx(mean)
    assert data.std[0] == pytest.approx((sum((level - mean) ** 2 for level in red) / len(red)) ** 0.5)


@pytest.mark.parametrize("missing", [("test",), ("val",), ("val", "test")])
def test_a_missing_split_gets_15_percent_of_train_and_a_note(tmp_path: Path, missing: tuple[str, ...]) -> None:
    counts = {split: 20 if split == "train" else 6 for split in SPLITS if split not in missing}
    data = read(parted(tmp_path, counts))
    found = files(data)

    assert data.sizes() == {s: 6 if s in missing else 40 - 6 * len(missing) if s == "train" else 12 for s in SPLITS}
    for split, images in found.items():
        assert {path.parent.parent.name for path in images.paths} == {"train" if split in missing else split}
        assert images.labels.bincount().tolist() == [len(images.labels) // 2] * 2
    assert sorted(path for images in found.values() for path in images.paths) == sorted(tmp_path.rglob("*.png"))
    assert data.notes == tuple(
        f"{split}: 15 % of train/ (6 images), since there is no {split}/ folder" for split in missing
    )


def test_a_missing_split_has_each_class_however_few_images_it_has(tmp_path: Path) -> None:
    write(tmp_path / "train" / "cat", 40)
    for name in ("dog", "eel"):
        write(tmp_path / "train" / name, 3)
    for images in files(read(tmp_path)).values():
        assert images.labels.unique().tolist() == [0, 1, 2]


def test_each_class_is_in_each_split_of_a_flat_folder_however_few_images_it_has(tmp_path: Path) -> None:
    write(tmp_path / "cat", 40)
    for name in ("dog", "eel"):
        write(tmp_path / name, 3)
    for images in files(read(tmp_path)).values():
        assert images.labels.unique().tolist() == [0, 1, 2]


def test_a_training_size_narrows_what_is_left_to_train_on(tmp_path: Path) -> None:
    parted(tmp_path, {"train": 20, "val": 5})
    data, part = (files(read(tmp_path, train_size=size)) for size in (None, 10))

    assert len(part["train"].labels) == 10
    assert {*part["train"].paths} < {*data["train"].paths}
    assert [part[split].paths for split in ("val", "test")] == [data[split].paths for split in ("val", "test")]


def test_given_splits_and_flat_folders_need_no_note(tmp_path: Path) -> None:
    assert read(parted(tmp_path / "parted")).notes == ()
    assert read(flat(tmp_path / "flat")).notes == ()


def test_an_image_size_replaces_the_shortest_side(tmp_path: Path) -> None:
    data = read(flat(tmp_path, size=(20, 12)), image_size=200)
    assert data.shape == (3, 200, 200)
    assert next(data.val.batches(torch.arange(2), 2))[0].shape == (2, 3, 200, 200)


def test_a_shorter_side_gives_the_centre_of_a_larger_square_to_judge_on(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            pixels = np.random.default_rng([number, len(name), ord(name[0])]).integers(0, 256, (8, 14, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    data = read(tmp_path, image_size=4, shorter_side=8)
    images = files(data)["train"]

    assert data.shape == (3, 4, 4)
    for at, path in enumerate(images.paths):
        with Image.open(path) as image:
            expected = torch.from_numpy(np.asarray(image)[2:6, 5:9].copy()).permute(2, 0, 1)
        assert torch.equal(next(data.train.batches(torch.tensor([at]), 1))[0][0], expected)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"image_size": 12, "shorter_side": 11}, "shorter side of 11 pixels is less than the image size, 12"),
        ({"shorter_side": 7}, "shorter side of 7 pixels is less than the image size, 8"),
        ({"image_size": 0}, "--image-size 0"),
    ],
)
def test_sizes_that_do_not_fit_are_named(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        read(flat(tmp_path), **fields)


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


def few_images(root: Path) -> None:
    only(root, "cat", "dog")
    write(root / "eel", 2)


def few_images_to_carve(root: Path) -> None:
    parted(root, {"train": 5, "val": 2})
    for path in sorted((root / "train" / "dog").iterdir())[1:]:
        path.unlink()


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
        (lambda root: parted(root, {"val": 5, "test": 5}), ["val/ and test/", "no train/", "add it"]),
        (lambda root: parted(root, {"test": 5}), ["test/", "no train/", "add it"]),
        (few_images, ["eel has 2 images; 3 at least", "train, val and test", "add some"]),
        (few_images_to_carve, ["train/dog has 1 image; 2 at least", "train and test", "add some"]),
    ],
    ids=[
        "no folder",
        "empty",
        "files only",
        "empty class",
        "one class",
        "odd",
        "missing",
        "no train",
        "test only",
        "few",
        "few to carve",
    ],
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


def test_one_image_a_class_is_enough_to_train_on_where_the_splits_are_given(tmp_path: Path) -> None:
    assert read(parted(tmp_path, {"train": 1, "val": 1, "test": 1})).sizes() == {"train": 2, "val": 2, "test": 2}


@pytest.mark.parametrize("same", ["link", "copy", "copy in another class"])
def test_splits_that_share_an_image_are_an_error_that_names_both_files_where_files_are_checked(
    tmp_path: Path, same: str
) -> None:
    parted(tmp_path)
    one = tmp_path / "train" / "cat" / "3.png"
    other = tmp_path / "test" / ("dog" if "another" in same else "cat") / "x.png"
    if same == "link":
        other.symlink_to(one)
    else:
        other.write_bytes(one.read_bytes())

    if "another" not in same:
        read(tmp_path)
    with pytest.raises(UserError) as raised:
        read(tmp_path, check=True)
    message = str(raised.value)
    assert "\n" not in message
    assert str(one) in message
    assert str(other) in message


def test_copies_within_a_split_and_files_of_equal_size_are_no_error(tmp_path: Path) -> None:
    for number, split in enumerate(SPLITS):
        for name in ("cat", "dog"):  # bitmaps: all of one size
            write(tmp_path / split / name, 3, suffix=".bmp", blue=number)
    assert read(tmp_path, check=True).sizes() == {"train": 6, "val": 6, "test": 6}


def table(root: Path, group_of: Callable[[Path], str], leave_out: int = 0, header: str = "file,group") -> Path:
    """A CSV with the group of each image below a folder."""
    paths = sorted(root.rglob("*.png"))
    rows = [f"{path.relative_to(root).as_posix()},{group_of(path)}" for path in paths[leave_out:]]
    written = root / "groups.csv"
    written.write_text("\n".join([header, *rows]) + "\n")
    return written


def grouped(root: Path, groups: Path, train_size: int | None = None) -> Data:
    return read_data(Source(name=f"folder:{root}", groups=groups, train_size=train_size))


def five_together(path: Path) -> str:
    """Groups that are in each class."""
    return f"patient {int(path.stem) // 5}"


@pytest.mark.parametrize("missing", [("test",), ("val", "test"), SPLITS])
def test_groups_stay_together_in_every_layout(tmp_path: Path, missing: tuple[str, ...]) -> None:
    given = {split: 60 if split == "train" else 9 for split in SPLITS if split not in missing}
    root = parted(tmp_path, given) if given else flat(tmp_path, count=60)

    def group_of(path: Path) -> str:
        return f"{path.parent.parent.name} {five_together(path)}"

    data = grouped(root, table(root, group_of))
    sides = [{group_of(path) for path in images.paths} for images in files(data).values()]

    assert len(set.union(*sides)) == sum(map(len, sides))
    assert sum(data.sizes().values()) == len([*root.rglob("*.png")])
    for split in {"val", "test"} & {*missing}:
        assert data.sizes()[split] / 120 == pytest.approx(0.15, abs=0.05)
    assert [note.split(":")[0] for note in data.notes] == [split for split in missing if given]


def test_a_training_size_takes_images_out_of_the_groups_that_train(tmp_path: Path) -> None:
    groups = table(flat(tmp_path, count=60), five_together)
    whole, part = (files(grouped(tmp_path, groups, size)) for size in (None, 20))

    assert len(part["train"].paths) == 20
    assert {*part["train"].paths} < {*whole["train"].paths}
    assert part["val"].paths == whole["val"].paths


def test_a_class_that_its_groups_keep_out_of_a_split_is_noted(tmp_path: Path) -> None:
    groups = table(flat(tmp_path, ("cat", "dog", "eel")), lambda path: path.parent.name)
    data = grouped(tmp_path, groups)

    assert sorted(data.sizes().values()) == [20, 20, 20]
    assert len(data.notes) == 3
    for split, note in zip(SPLITS, data.notes, strict=True):
        there = files(data)[split].paths[0].parent.name
        others = [name for name in ("cat", "dog", "eel") if name != there]
        assert note == f"{split}: no images of {others[0]} and {others[1]}, since a group is not parted"


def test_group_files_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    rows = [f"{five_together(path)},./{path.relative_to(tmp_path)},x" for path in flat(tmp_path).rglob("*.png")]
    groups = tmp_path / "groups.csv"
    groups.write_text("\r\n".join(["group,file,remark", *rows]), encoding="utf-8-sig")
    assert sum(grouped(tmp_path, groups).sizes().values()) == 40


def changed(groups: Path, old: str, new: str) -> Path:
    text = groups.read_text()
    assert old in text
    groups.write_text(text.replace(old, new))
    return groups


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda root: root / "nowhere.csv", ["nowhere.csv", "columns file and group"]),
        (lambda root: table(root, five_together, leave_out=1), ["cat/0.png", "no group"]),
        (lambda root: changed(table(root, five_together), "dog/7.png", "dog/70.png"), ["dog/7.png", "no group"]),
        (lambda root: changed(table(root, five_together), "dog/9.png,", "x/1.png,a\ndog/9.png,"), ["x/1.png", "row"]),
        (lambda root: table(root, five_together, header="path,group"), ["header file,group"]),
        (lambda root: table(root, lambda path: ""), ["line 2", "group"]),
        (lambda root: changed(table(root, five_together), "cat/1.png,", "cat/2.png,z\ncat/1.png,"), ["cat/2.png", "z"]),
        (lambda root: table(root, lambda path: "ab"[int(path.stem) % 2]), ["2 groups", "train, val and test"]),
        (lambda root: table(root, lambda path: "a"), ["1 group ", "train, val and test"]),
    ],
    ids=["nowhere", "file left out", "renamed", "no such file", "header", "no group", "two groups", "two", "one"],
)
def test_groups_that_cannot_be_used_get_one_line(
    tmp_path: Path, make: Callable[[Path], Path], named: list[str]
) -> None:
    groups = make(flat(tmp_path))
    with pytest.raises(UserError) as raised:
        grouped(tmp_path, groups)
    message = str(raised.value)
    assert "\n" not in message
    assert [word for word in [str(groups), *named] if word not in message] == []


def test_a_group_in_two_given_splits_is_named(tmp_path: Path) -> None:
    groups = table(parted(tmp_path), lambda path: f"{path.parts[-3]} {path.stem}")
    assert grouped(tmp_path, groups).sizes() == {"train": 20, "val": 8, "test": 12}
    with pytest.raises(UserError, match=r"group train 7 is in train/ and in test/"):
        grouped(tmp_path, changed(groups, "test/dog/4.png,test 4", "test/dog/4.png,train 7"))


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
