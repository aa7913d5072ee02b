"""Splits: parted without overlap, each class in proportion, groups kept together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from trainers import splits
from trainers.splits import CARVED_SHARE, carve, split, subset, with_every_class

SEEDS = pytest.mark.parametrize("seed", range(8))


def drawn_labels(seed: int, count: int, shares: Sequence[float]) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).choice(len(shares), count, p=shares))


def assert_parted(parts: Sequence[Tensor], whole: Tensor) -> None:
    """The parts are sorted, and together they are the whole, each index once."""
    assert all(torch.equal(part, part.sort().values) for part in parts)
    assert torch.equal(torch.cat([*parts]).sort().values, whole)


@SEEDS
@pytest.mark.parametrize("parts", [0, 1, 2])
def test_what_is_carved_has_15_percent_each_and_classes_in_proportion(seed: int, parts: int) -> None:
    labels = drawn_labels(seed, 400, (0.6, 0.3, 0.1))
    indices = torch.arange(50, 350)
    left, *carved = carve(labels, indices, parts)

    assert_parted([left, *carved], indices)
    assert [len(part) for part in carved] == [45] * parts
    share = labels[indices].bincount() / 300
    for part in (left, *carved):
        assert float((labels[part].bincount(minlength=3) - share * len(part)).abs().max()) < 2


@pytest.mark.parametrize(("counts", "parts"), [((97, 3), 2), ((3, 3), 2), ((2, 2, 2), 1), ((500, 3, 4, 3, 60), 2)])
def test_a_class_with_an_image_for_each_part_is_in_each_part(counts: tuple[int, ...], parts: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    carved = carve(labels, torch.arange(len(labels)), parts)

    assert_parted(carved, torch.arange(len(labels)))
    size = max(round(CARVED_SHARE * len(labels)), len(counts))
    assert [len(part) for part in carved[1:]] == [size] * parts
    for part in carved:
        assert labels[part].unique().tolist() == list(range(len(counts)))


@SEEDS
def test_fewer_training_images_are_a_part_of_more_with_classes_in_proportion(seed: int) -> None:
    labels = drawn_labels(seed, 400, (0.6, 0.3, 0.09, 0.01))
    indices = torch.arange(50, 350)
    share = labels[indices].bincount(minlength=4) / 300
    there = int((share > 0).sum())
    smaller: set[int] = set()
    for size in (1, there - 1, there, 10, 47, 48, 200, 299, 300):
        part = subset(labels, indices, size)
        assert torch.equal(part, part.sort().values)
        assert len({*part.tolist()}) == size
        assert smaller <= {*part.tolist()} <= {*indices.tolist()}
        assert len(labels[part].unique()) == min(size, there)
        assert float((labels[part].bincount(minlength=4) - share * size).abs().max()) < 3
        smaller = {*part.tolist()}


def test_what_is_carved_does_not_depend_on_the_generators() -> None:
    labels = drawn_labels(0, 100, (0.5, 0.5))
    groups = torch.arange(100) // 4
    for of in (None, groups):
        torch.manual_seed(1), np.random.seed(1)
        first = carve(labels, torch.arange(100), 2, of)
        torch.manual_seed(2), np.random.seed(2)
        second = carve(labels, torch.arange(100), 2, of)
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@SEEDS
def test_parts_that_have_every_class_stay_as_they_are(seed: int) -> None:
    labels = drawn_labels(seed, 100, (0.5, 0.3, 0.2))
    train, rest = split(labels, torch.arange(100), 70)
    parts = (train, *split(labels, rest, 15))
    assert all(torch.equal(*pair) for pair in zip(with_every_class(labels, parts), parts, strict=True))


@SEEDS
def test_parts_get_the_classes_they_lack_and_keep_their_sizes(seed: int) -> None:
    labels = drawn_labels(seed, 60, (0.8, 0.1, 0.1))
    parts = torch.arange(60).split([40, 15, 5])
    mended = with_every_class(labels.sort().values, parts)  # sorted: the first part has the first class only

    assert_parted(mended, torch.arange(60))
    assert [len(part) for part in mended] == [40, 15, 5]
    for part in mended:
        assert labels.sort().values[part].unique().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("labels", "parts"),
    [((0, 0, 1, 1, 2, 2), ((0, 1, 2, 3, 4), (5,))), ((0, 0, 0, 0, 1), ((0, 4), (1, 2, 3)))],
    ids=["for another", "for another part"],
)
def test_no_part_gives_a_class_up(labels: tuple[int, ...], parts: tuple[tuple[int, ...], ...]) -> None:
    mended = with_every_class(torch.tensor(labels), [torch.tensor(part) for part in parts])
    assert tuple(tuple(part.tolist()) for part in mended) == parts


def test_two_parts_that_help_each_other_are_not_changed_further() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    mended = with_every_class(labels, [torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])])
    assert [labels[part].tolist() for part in mended] == [[0, 0, 1], [0, 1, 1]]


def sides(groups: Tensor, parts: Sequence[Tensor]) -> list[set[int]]:
    return [{*groups[part].tolist()} for part in parts]


@SEEDS
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("count", [3, 4, 7, 30])
def test_no_group_is_on_two_sides_and_no_side_is_empty(seed: int, parts: int, count: int) -> None:
    random = np.random.default_rng([seed, count])
    sizes = random.integers(1, 30, count)  # of very different size, and some of one class only
    groups = torch.from_numpy(np.repeat(random.permutation(count), sizes))
    labels = torch.from_numpy(np.where(random.random(len(groups)) < 0.3, random.integers(3), groups.numpy() % 3))
    indices = torch.arange(len(groups))
    parted = carve(labels, indices, parts, groups)

    assert_parted(parted, indices)
    assert all(len(part) > 0 for part in parted)
    found = sides(groups, parted)
    assert sum(map(len, found)) == count


@pytest.mark.parametrize(
    ("sizes", "classes"),
    [((4, 4, 4), (0, 1, 2)), ((1, 2, 2), (2, 0, 3)), ((3, 1, 1), (2, 1, 0)), ((1, 5, 4, 9, 4), (4, 2, 3, 0, 2))],
)
def test_a_group_a_class_is_parted_nevertheless(sizes: tuple[int, ...], classes: tuple[int, ...]) -> None:
    groups = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    parted = carve(torch.tensor(classes)[groups], torch.arange(len(groups)), 2, groups)

    assert_parted(parted, torch.arange(len(groups)))
    assert all(len(part) > 0 for part in parted)
    assert sum(map(len, sides(groups, parted))) == len(sizes)


@SEEDS
@pytest.mark.parametrize("most", [40, 300])
def test_many_small_groups_give_shares_and_classes_in_proportion(
    seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splits, "MOST_GROUPS", most)
    parted, split_groups = [], StratifiedGroupKFold.split

    def remembered(self: StratifiedGroupKFold, x: Tensor, y: Tensor, groups: Tensor) -> Any:
        parted.append(len(groups.unique()))
        return split_groups(self, x, y, groups)

    monkeypatch.setattr(StratifiedGroupKFold, "split", remembered)
    random = np.random.default_rng(seed)
    groups = torch.from_numpy(np.repeat(np.arange(120), random.integers(1, 8, 120)))
    labels = torch.from_numpy((groups.numpy() % 10 < 3) * 1)  # a group has one class, as a patient has
    count = len(groups)
    left, *carved = carve(labels, torch.arange(count), 2, groups)

    assert max(parted) == min(most, 120)
    assert sum(map(len, sides(groups, [left, *carved]))) == 120
    for part in carved:
        assert len(part) / count == pytest.approx(CARVED_SHARE, abs=0.04)
        assert float(labels[part].double().mean()) == pytest.approx(float(labels.double().mean()), abs=0.1)
    assert len(left) / count == pytest.approx(0.7, abs=0.06)


@pytest.mark.parametrize("large", range(6))
def test_a_large_group_stays_in_train_where_smaller_ones_will_do(large: int) -> None:
    sizes = torch.full((6,), 10)
    sizes[large] = 70
    groups = torch.arange(6).repeat_interleave(sizes)
    assert large in sides(groups, carve(torch.arange(120) % 2, torch.arange(120), 2, groups))[0]


def test_a_split_is_in_proportion_whatever_class_has_one_image_only() -> None:
    labels = torch.tensor([0] * 50 + [1] + [2] * 49)
    first, second = split(labels, torch.arange(100), 30)

    assert_parted((first, second), torch.arange(100))
    assert int((labels[first] < 2).sum()) == int((labels[second] < 2).sum()) - 21 == 15


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_split_of_very_few_images_has_the_size_asked_for(size: int) -> None:
    parts = split(torch.tensor([0, 0, 1, 1]), torch.arange(4), size)
    assert_parted(parts, torch.arange(4))
    assert len(parts[0]) == size
