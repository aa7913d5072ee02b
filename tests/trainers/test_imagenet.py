"""ImageNet in torchvision's layout: train/ and val/ with a folder a class, streamed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from space.errors import UserError
from space.normalisation import IMAGENET
from trainers.datasets import read_data
from trainers.images import FileImages
from trainers.source import Source
from trainers.splits import MOST_VAL

WNIDS = ("n01440764", "n01443537", "n02102040")
SIZES = ((300, 240), (224, 500), (90, 60))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in (("train", 20), ("val", 4)):
        for label, wnid in enumerate(WNIDS):
            folder = tmp_path / "imagenet" / split / wnid
            folder.mkdir(parents=True)
            for number in range(count):
                level = 60 * label + number
                Image.new("RGB", SIZES[number % 3], (level, level, level)).save(folder / f"{number}.JPEG")
    return tmp_path


def images(root: Path, name: str, **options: Any) -> FileImages:
    found = getattr(read_data(Source(name="imagenet", root=root, **options)), name)
    assert isinstance(found, FileImages)
    return found


def test_the_official_validation_images_are_the_test_split_and_a_tenth_of_train_validates(root: Path) -> None:
    data = read_data(Source(name="imagenet", root=root))

    assert data.sizes() == {"train": 54, "val": 6, "test": 12}
    assert data.shape == (3, 224, 224)
    assert data.classes == WNIDS
    train, val, test = (set(images(root, name).paths) for name in ("train", "val", "test"))
    assert train | val == set((root / "imagenet" / "train").rglob("*.JPEG"))
    assert not train & val
    assert test == set((root / "imagenet" / "val").rglob("*.JPEG"))
    assert torch.bincount(images(root, "val").labels).tolist() == [2, 2, 2]
    assert MOST_VAL == 50_000


def test_labels_are_those_of_the_folders(root: Path) -> None:
    test = images(root, "test")
    assert [WNIDS[label] for label in test.labels.tolist()] == [path.parent.name for path in test.paths]


def test_images_of_any_size_come_as_squares_of_224_and_train_on_random_parts(root: Path) -> None:
    train = images(root, "train")
    order = torch.arange(6)
    (whole, labels), (parts, same) = next(train.batches(order, 6)), next(train.batches(order, 6, resized_crop=True))

    assert whole.shape == parts.shape == (6, 3, 224, 224)
    assert labels.tolist() == same.tolist() == train.labels[:6].tolist()


@pytest.mark.parametrize(
    ("fields", "side", "shorter_side"),
    [({}, 224, 256), ({"image_size": 112}, 112, 128), ({"image_size": 64, "shorter_side": 64}, 64, 64)],
)
def test_the_shorter_side_follows_the_image_size_in_proportion(
    root: Path, fields: dict[str, Any], side: int, shorter_side: int
) -> None:
    assert read_data(Source(name="imagenet", root=root, **fields)).shape == (3, side, side)
    for name in ("train", "val", "test"):
        found = images(root, name, **fields)
        assert (found.side, found.shorter_side) == (side, shorter_side)


def test_a_given_normalisation_replaces_that_of_imagenet(root: Path) -> None:
    data = read_data(Source(name="imagenet", root=root, mean=(0.1, 0.2, 0.3)))
    assert data.mean == (0.1, 0.2, 0.3)
    assert data.std == IMAGENET[1]


def test_fewer_images_to_train_on_leave_the_other_splits_alone(root: Path) -> None:
    assert read_data(Source(name="imagenet", root=root, train_size=9)).sizes() == {"train": 9, "val": 6, "test": 12}


def test_classes_are_called_as_torchvisions_meta_file_says(root: Path) -> None:
    names = {WNIDS[0]: ("tench", "Tinca tinca"), WNIDS[1]: ("goldfish",)}
    torch.save((names, ["n01440764"]), root / "imagenet" / "meta.bin")
    assert read_data(Source(name="imagenet", root=root)).classes == ("tench", "goldfish", WNIDS[2])


def test_nothing_from_a_meta_file_is_run(root: Path) -> None:
    torch.save((Path("x"), []), root / "imagenet" / "meta.bin")
    with pytest.raises(UserError, match=r"meta\.bin"):
        read_data(Source(name="imagenet", root=root))


@pytest.mark.parametrize("missing", ["train", "val", "both"])
def test_without_its_folders_one_line_says_where_they_were_looked_for(root: Path, missing: str) -> None:
    for split in ("train", "val"):
        if missing in (split, "both"):
            (root / "imagenet" / split).rename(root / split)
    with pytest.raises(UserError) as raised:
        read_data(Source(name="imagenet", root=root))
    message = str(raised.value)
    assert "\n" not in message
    assert all(word in message for word in ("imagenet/train", "imagenet/val", str(root), "--data-root"))


def test_other_classes_in_val_are_an_error(root: Path) -> None:
    (root / "imagenet" / "val" / WNIDS[2]).rename(root / "imagenet" / "val" / "n99999999")
    with pytest.raises(UserError, match="do not have the same classes"):
        read_data(Source(name="imagenet", root=root))
