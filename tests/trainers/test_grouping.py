"""Copies of an image are in one split, with a user's groups and without."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from space.errors import UserError
from trainers.folders import Folder, read_folder
from trainers.grouping import first_equal, joined


def write(root: Path, images: int = 12, times: int = 1, blue: int = 0) -> Path:
    """Two classes, each image several times."""
    for label in range(2):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(images):
            for copy in range(times):
                colour = (number, 90 * label, blue)
                Image.new("RGB", (4, 4), colour).save(root / f"class{label}" / f"{number}-{copy}.bmp")
    return root


def held(folder: Folder) -> list[set[str]]:
    """The contents in each split."""
    return [{folder.contents[i].digest for i in part.tolist()} for part in folder.splits]


def assert_apart(folder: Folder) -> None:
    train, val, test = held(folder)
    assert len(train | val | test) == len(train) + len(val) + len(test)


@pytest.mark.parametrize("times", [2, 3])
def test_no_copy_of_an_image_is_in_another_split(tmp_path: Path, times: int) -> None:
    folder = read_folder(write(tmp_path, times=times))

    assert_apart(folder)
    assert [len(part) for part in folder.splits] == [16 * times, 4 * times, 4 * times]
    for part in folder.splits:
        assert folder.labels[part].unique().tolist() == [0, 1]
    (note,) = folder.notes
    assert note.startswith(f"{24 * (times - 1)} images of {24 * times} are copies")


def test_copies_go_to_their_originals_and_no_other_image_moves(tmp_path: Path) -> None:
    before = held(read_folder(write(tmp_path, images=30)))
    for path in sorted(tmp_path.rglob("*.bmp"))[::7]:
        path.with_name(f"{path.stem}-again.bmp").write_bytes(path.read_bytes())
    assert held(read_folder(tmp_path)) == before


def test_splits_do_not_depend_on_whether_files_are_checked_or_remembered(tmp_path: Path) -> None:
    root, cache = write(tmp_path / "pictures", times=2), tmp_path / "cache"
    first, *others = (
        read_folder(root, check=check, cache=where) for check in (False, True) for where in (None, cache, cache)
    )
    for other in others:
        assert all(torch.equal(*pair) for pair in zip(first.splits, other.splits, strict=True))


def test_a_carved_split_gets_no_copy_of_what_trains(tmp_path: Path) -> None:
    write(tmp_path / "train", times=2)
    write(tmp_path / "test", images=3, blue=255)
    folder = read_folder(tmp_path, check=True)

    assert_apart(folder)
    assert [len(part) for part in folder.splits] == [40, 8, 6]


def test_neither_a_group_nor_copies_are_parted(tmp_path: Path) -> None:
    write(tmp_path, images=9, times=2)
    group_of = {path: f"{path.stem} {path.parent.name}" for path in tmp_path.rglob("*.bmp")}
    for label in range(2):  # the copies of 0, 1 and 2 make one chain of what these two groups have
        for name, group in (("0-1", "a"), ("1-0", "a"), ("1-1", "b"), ("2-0", "b")):
            group_of[tmp_path / f"class{label}" / f"{name}.bmp"] = group
    table = tmp_path / "groups.csv"
    rows = [f"{path.relative_to(tmp_path).as_posix()},{group}" for path, group in group_of.items()]
    table.write_text("\n".join(["file,group", *rows]))
    folder = read_folder(tmp_path, groups=table)

    assert_apart(folder)
    chain = {f"{number}-{copy}" for number in range(3) for copy in range(2)}
    inside = [chain & {folder.paths[i].stem for i in part.tolist()} for part in folder.splits]
    assert sorted(map(len, inside)) == [0, 0, 6]


def test_groups_and_copies_that_overlap_are_joined_and_others_are_not() -> None:
    groups = torch.tensor([0, 0, 1, 1, 2, 3, 3])
    copy_of = first_equal(["a", "b", "b", "c", "d", "e", "f"])
    found = joined(groups, copy_of).tolist()

    assert copy_of.tolist() == [0, 1, 1, 3, 4, 5, 6]
    assert len({*found[:4]}) == len({*found[5:]}) == 1
    assert len({*found}) == 3


def test_copies_do_not_count_as_images_of_a_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"class0 has 2 images; 3 at least are needed, copies aside"):
        read_folder(write(tmp_path, images=2, times=5))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("part", ["", "train"])
def test_an_image_in_two_classes_is_an_error_that_names_both_files(tmp_path: Path, check: bool, part: str) -> None:
    root = write(tmp_path / part, images=6)
    pairs = [(root / "class0" / f"{number}-0.bmp", root / "class1" / f"x{number}.bmp") for number in range(3)]
    for one, other in pairs:
        other.write_bytes(one.read_bytes())
    with pytest.raises(UserError) as raised:
        read_folder(tmp_path, check=check)
    assert str(raised.value) == (
        f"{pairs[0][0]} and {pairs[0][1]} are one image in two classes; remove one of them; 2 more are alike"
    )
