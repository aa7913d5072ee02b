"""The embedded digits and torchvision's data sets, the latter on small files in their own formats."""

import hashlib
import pickle
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from space.errors import UserError
from trainers.data import Data
from trainers.datasets import DATASETS, read_data
from trainers.images import Squares, TensorImages
from trainers.source import Source

SPLITS = ("train", "val", "test")


def split(data: Data, name: str) -> TensorImages:
    images = getattr(data, name)
    assert isinstance(images, TensorImages)
    return images


def rows(images: TensorImages) -> list[tuple[int, ...]]:
    """Each image with its label, as a tuple."""
    return [
        (*image, label) for image, label in zip(images.images.flatten(1).tolist(), images.labels.tolist(), strict=True)
    ]


def digits(train_size: int | None = None) -> Data:
    return read_data(Source(name="digits", train_size=train_size))


@pytest.mark.parametrize(
    ("train_size", "sizes"),
    [
        (None, (200, 798, 799)),
        (200, (200, 798, 799)),
        (500, (500, 498, 799)),
        (10, (10, 798, 799)),
        (1, (1, 798, 799)),
        (997, (997, 1, 799)),
    ],
)
def test_digits_splits_have_these_sizes(train_size: int | None, sizes: tuple[int, int, int]) -> None:
    assert digits(train_size).sizes() == dict(zip(SPLITS, sizes, strict=True))


def test_digits_splits_are_drawn_by_scikit_learn_200_to_train_and_half_of_the_rest_to_validate() -> None:
    given, data = load_digits(), digits()
    train, rest = train_test_split(np.arange(1797), train_size=200, random_state=0, stratify=given.target)
    rest = np.sort(rest)
    val, test = train_test_split(rest, train_size=798, random_state=0, stratify=given.target[rest])
    for name, indices in (("train", train), ("val", val), ("test", test)):
        expected = np.round(given.images[np.sort(indices)] * 255 / 16)
        assert np.array_equal(split(data, name).images[:, 0], expected)
        assert np.array_equal(split(data, name).labels, given.target[np.sort(indices)])


def test_the_number_of_digits_to_train_on_leaves_the_test_images_alone_and_nests() -> None:
    drawn = {size: {name: rows(split(digits(size), name)) for name in SPLITS} for size in (10, 90, 200, 500, 900)}
    for smaller, larger in pairwise(drawn):
        assert {*drawn[smaller]["train"]} < {*drawn[larger]["train"]}
    for parts in drawn.values():
        assert parts["test"] == drawn[200]["test"]
        assert not {*parts["train"]} & {*parts["val"]}
        assert {row[-1] for row in parts["train"]} == {*range(10)}
    assert drawn[10]["val"] == drawn[90]["val"] == drawn[200]["val"]
    assert {*drawn[900]["val"]} < {*drawn[500]["val"]} < {*drawn[200]["val"]}


def test_digits_splits_are_the_data_set_parted() -> None:
    data, given = digits(), load_digits()
    pixels = np.round(given.images * 255 / 16).astype(int)
    whole = [(*image.flatten().tolist(), int(label)) for image, label in zip(pixels, given.target, strict=True)]
    parts = [row for name in SPLITS for row in rows(split(data, name))]

    assert sorted(parts) == sorted(whole)
    assert data.shape == (1, 8, 8)
    assert data.classes == tuple("0123456789")
    assert split(data, "train").images.dtype == torch.uint8


def hard_digits(train_size: int | None = None) -> Data:
    return read_data(Source(name="hard-digits", train_size=train_size))


@pytest.mark.parametrize("train_size", [None, 100, 600])
def test_hard_digits_have_the_splits_of_the_digits_and_two_forms_of_what_judges(train_size: int | None) -> None:
    hard, easy = hard_digits(train_size), digits(train_size or 400)
    assert torch.equal(hard.train.labels, easy.train.labels)
    for name in ("val", "test"):
        assert torch.equal(split(hard, name).labels, split(easy, name).labels.repeat(2))
        first, second = split(hard, name).images.double().chunk(2)
        assert 0.05 < float((first - second).abs().mean() / 255) < 0.4


def test_an_image_of_the_hard_digits_has_the_same_first_form_wherever_it_is_split_to() -> None:
    few, many = hard_digits(300), hard_digits(700)
    moved = {*rows(split(many, "train"))} - {*rows(split(few, "train"))}
    assert len(moved) == 400
    assert moved < {*rows(split(few, "val"))}
    assert {*rows(split(many, "val"))} < {*rows(split(few, "val"))}
    assert rows(split(many, "test")) == rows(split(few, "test"))


def test_hard_digits_are_the_digits_moved_a_little_and_noisy() -> None:
    hard, easy = (split(data, "test").images.double().flatten(1)[:100] for data in (hard_digits(), digits()))
    hard, easy = (images - images.mean(1, keepdim=True) for images in (hard, easy))
    alike = torch.nn.functional.cosine_similarity(hard[:, None], easy[None, :], dim=2)
    assert 0.4 < float(alike.diagonal().mean()) < 0.95
    assert float(alike.mean()) < 0.5


@pytest.mark.parametrize("train_size", [200, 500])
def test_digits_splits_hold_each_class_in_proportion(train_size: int) -> None:
    data = digits(train_size)
    share = torch.bincount(torch.from_numpy(load_digits().target)) / 1797
    for name in SPLITS:
        labels = split(data, name).labels
        assert float((torch.bincount(labels) - share * len(labels)).abs().max()) < 2


def test_digits_are_split_the_same_way_each_time_whatever_the_generators() -> None:
    first = digits()
    torch.manual_seed(7)
    np.random.seed(7)
    second = digits()
    for name in SPLITS:
        assert rows(split(first, name)) == rows(split(second, name))


def test_statistics_are_of_the_training_images_only() -> None:
    data = digits()
    pixels = split(data, "train").images.double() / 255
    assert data.mean == pytest.approx([float(pixels.mean())])
    assert data.std == pytest.approx([float(pixels.std(unbiased=False))])


@pytest.mark.parametrize("train_size", [0, -1, 998, 1797, 5000])
def test_a_size_that_leaves_too_little_is_named(train_size: int) -> None:
    with pytest.raises(UserError, match=rf"--train-size {train_size}\b") as raised:
        digits(train_size)
    assert "\n" not in str(raised.value)


def test_an_unknown_data_set_gets_the_list_of_known_ones() -> None:
    with pytest.raises(UserError) as raised:
        read_data(Source(name="mnist"))
    assert all(name in str(raised.value) for name in ("'mnist'", *DATASETS, "folder:PATH"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("side", [5, 8, 32])
def test_images_in_memory_are_resized_to_the_size_asked_for(side: int) -> None:
    plain, resized = digits(), read_data(Source(name="digits", image_size=side))
    size = (side, side)

    assert resized.shape == (1, *size)
    for name in SPLITS:
        before = split(plain, name)
        ((after, labels),) = getattr(resized, name).batches(torch.arange(len(before.labels)), 999)
        expected = interpolate(before.images.float(), size, mode="bilinear", antialias=True)
        assert after.dtype == torch.uint8
        torch.testing.assert_close(after.float(), expected, rtol=0, atol=1)
        assert torch.equal(labels, before.labels)
        if name == "train":
            assert resized.mean == pytest.approx([float(after.double().mean() / 255)])


def test_images_in_memory_take_no_more_of_it_when_they_are_resized() -> None:
    large = read_data(Source(name="digits", image_size=224))
    assert isinstance(large.train, Squares)
    assert isinstance(large.train.images, TensorImages)
    assert large.train.images.images.shape == (200, 1, 8, 8)
    torch.manual_seed(0)
    ((parts, _),) = large.train.batches(torch.arange(2), 2, resized_crop=True)
    assert parts.shape == (2, 1, 224, 224)


def test_a_given_normalisation_replaces_the_measured_one_each_by_itself() -> None:
    plain = digits()
    given = read_data(Source(name="digits", mean=(0.25,), std=(0.5,)))
    half = read_data(Source(name="digits", mean=(0.25,)))

    assert (given.mean, given.std) == ((0.25,), (0.5,))
    assert (half.mean, half.std) == ((0.25,), plain.std)
    assert float(given.normaliser(torch.device("cpu"))(torch.full((1, 1, 2, 2), 255))[0, 0, 0, 0]) == 1.5


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"mean": (0.5, 0.5, 0.5)}, ["mean of 3 channels", "have 1", "--normalise measured"]),
        ({"std": ()}, ["standard deviation of 0 channels", "have 1"]),
        ({"mean": (127.5,)}, ["127.5", "0..1"]),
        ({"std": (0.0,)}, ["std (0.0,)", "above 0"]),
        ({"groups": Path("g.csv")}, ["--groups", "folder:PATH", "digits"]),
        ({"shorter_side": 9}, ["shorter side", "folder:PATH", "digits"]),
        ({"image_size": 0}, ["--image-size 0"]),
    ],
)
def test_fields_that_do_not_fit_the_data_get_one_line(fields: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        read_data(Source(name="digits", **fields))
    message = str(raised.value)
    assert "\n" not in message
    assert [word for word in named if word not in message] == []


def noise(count: int, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Images (N, 3, H, W)."""
    return np.random.default_rng(count).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


class Files:
    """A data set on disk: where, its training and test images with labels, its classes."""

    def __init__(self, root: Path, name: str, train: int, test: int, side: int, classes: int) -> None:
        self.root, self.name = root, name
        self.train, self.test = noise(train, side), noise(test, side)
        self.train_labels, self.test_labels = (np.arange(n) % classes for n in (train, test))
        self.classes = tuple(f"class {number}" for number in range(classes))

    def load(self, **options: Any) -> Data:
        return read_data(Source(name=self.name, root=self.root, **options))

    def rows(self, part: str) -> list[tuple[int, ...]]:
        images, labels = (self.train, self.train_labels) if part == "train" else (self.test, self.test_labels)
        return [(*image.flatten().tolist(), int(label)) for image, label in zip(images, labels, strict=True)]


def cifar_files(kind: type[CIFAR10], name: str, classes: int) -> Callable[[Path, pytest.MonkeyPatch], Files]:
    def write(root: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
        files = Files(root, name, train=500, test=40, side=32, classes=classes)
        folder = root / kind.base_folder
        folder.mkdir()
        names = [entry[0] for entry in kind.train_list]
        key = "fine_labels" if kind is CIFAR100 else "labels"
        size = 500 // len(names)
        parts = {name: slice(size * number, size * (number + 1)) for number, name in enumerate(names)}
        for part, where in parts.items():
            entry = {"data": files.train[where].reshape(size, -1), key: files.train_labels[where].tolist()}
            (folder / part).write_bytes(pickle.dumps(entry))
        test = kind.test_list[0][0]
        (folder / test).write_bytes(pickle.dumps({"data": files.test.reshape(40, -1), key: files.test_labels.tolist()}))
        meta = folder / kind.meta["filename"]
        meta.write_bytes(pickle.dumps({kind.meta["key"]: list(files.classes)}))
        monkeypatch.setattr(kind, "train_list", [[part, md5(folder / part)] for part in names])
        monkeypatch.setattr(kind, "test_list", [[test, md5(folder / test)]])
        monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
        return files

    return write


def stl10_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = Files(root, "stl10", train=30, test=12, side=96, classes=3)
    folder = root / STL10.base_folder
    folder.mkdir()
    for part, images, labels in (("train", files.train, files.train_labels), ("test", files.test, files.test_labels)):
        (folder / f"{part}_X.bin").write_bytes(images.transpose(0, 1, 3, 2).tobytes())  # column after column
        (folder / f"{part}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (folder / "unlabeled_X.bin").write_bytes(b"")
    (folder / "class_names.txt").write_text("\n".join(files.classes) + "\n")
    for attribute in ("train_list", "test_list"):
        names = [entry[0] for entry in getattr(STL10, attribute)]
        monkeypatch.setattr(STL10, attribute, [[name, md5(folder / name)] for name in names])
    return files


OFFICIAL: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], Files], str, str]] = {
    "cifar10": (cifar_files(CIFAR10, "cifar10", 10), CIFAR10.base_folder, "data_batch_3"),
    "cifar100": (cifar_files(CIFAR100, "cifar100", 20), CIFAR100.base_folder, "test"),
    "stl10": (stl10_files, STL10.base_folder, "train_X.bin"),
}


@pytest.fixture(params=OFFICIAL)
def files(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    return OFFICIAL[request.param][0](tmp_path, monkeypatch)


def test_the_official_test_split_is_the_test_split_in_its_order(files: Files) -> None:
    data = files.load()
    assert rows(split(data, "test")) == files.rows("test")
    assert data.classes == files.classes
    assert data.shape == files.train.shape[1:]


def test_a_tenth_of_the_official_training_images_validates(files: Files) -> None:
    data = files.load()
    count = len(files.train)

    assert data.sizes() == {"train": count - count // 10, "val": count // 10, "test": len(files.test)}
    assert sorted(rows(split(data, "train")) + rows(split(data, "val"))) == sorted(files.rows("train"))
    shares = torch.bincount(split(data, "val").labels, minlength=len(files.classes))
    assert int(shares.max() - shares.min()) <= 1


def test_a_smaller_training_split_leaves_the_others_alone(files: Files) -> None:
    whole, part = files.load(), files.load(train_size=24)

    assert part.sizes() == {**whole.sizes(), "train": 24}
    assert set(rows(split(part, "train"))) < set(rows(split(whole, "train")))
    for name in ("val", "test"):
        assert rows(split(part, name)) == rows(split(whole, name))


def test_the_training_split_may_be_asked_for_in_full(files: Files) -> None:
    whole = files.load()
    assert files.load(train_size=whole.sizes()["train"]).sizes() == whole.sizes()


@pytest.mark.parametrize("train_size", [0, -5, 451, 500, 501])
def test_an_impossible_training_size_is_named(files: Files, train_size: int) -> None:
    with pytest.raises(UserError, match=rf"--train-size {train_size}\b"):
        files.load(train_size=train_size)


@pytest.mark.parametrize("name", OFFICIAL)
def test_a_missing_data_set_gets_one_line_with_what_where_and_the_flags(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as raised:
        read_data(Source(name=name, root=tmp_path))
    message = str(raised.value)
    assert "\n" not in message
    named = [name, str(tmp_path), OFFICIAL[name][1], "--download", "--data-root"]
    assert [word for word in named if word not in message] == []


@pytest.mark.parametrize("damage", ["removed", "changed", "cut"])
def test_a_damaged_data_set_gets_one_line_with_where_and_the_flag(files: Files, damage: str) -> None:
    _, folder, name = OFFICIAL[files.name]
    path = files.root / folder / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(content[:-100] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError) as raised:
        files.load()
    message = str(raised.value)
    assert "\n" not in message
    assert [word for word in (files.name, str(files.root / folder), "--download") if word not in message] == []


def test_class_names_of_stl10_that_are_missing_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = stl10_files(tmp_path, monkeypatch)
    (tmp_path / STL10.base_folder / "class_names.txt").unlink()
    with pytest.raises(UserError, match=r"stl10.*--download"):
        files.load()


def test_an_image_keeps_its_rows_and_columns(files: Files) -> None:
    images: Tensor = split(files.load(), "test").images
    assert torch.equal(images, torch.from_numpy(files.test))
    assert images.is_contiguous() or files.name == "stl10"
