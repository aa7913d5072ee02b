"""The designs that are left, and the nearest of them, beside the definition."""

import random

import pytest

from search.unseen import Unseen
from space.choices import Candidate, SearchSpace
from space.declarations import Value
from space.seeds import mix_seed


def differences(unseen: SearchSpace, one: Candidate, other: Candidate) -> int:
    left, right = unseen.decisions[one], unseen.decisions[other]
    return sum(left.get(name) != right.get(name) for name in {*left, *right})


def test_what_is_discarded_is_gone_and_nothing_else(space: SearchSpace) -> None:
    unseen = Unseen(space.decisions)
    left = list(space.enumerate())
    random.Random(0).shuffle(left)
    while left:
        assert len(unseen) == len(left)
        assert all(candidate in unseen for candidate in left)
        gone = left.pop()
        unseen.discard(gone)
        unseen.discard(gone)
        assert gone not in unseen
    assert not unseen


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_is_left_and_differs_in_the_fewest_decisions(space: SearchSpace, seed: int) -> None:
    unseen = Unseen(space.decisions)
    left = list(space.enumerate())
    random.Random(seed).shuffle(left)
    while len(left) > 1:
        gone = left.pop()
        unseen.discard(gone)
        found = unseen.nearest(space.decisions[gone], mix_seed(seed, len(left)))
        assert found in left
        assert differences(space, gone, found) == min(differences(space, gone, other) for other in left)


def test_decisions_that_no_design_has_differ_from_all_alike(space: SearchSpace) -> None:
    unseen = Unseen({candidate: made for candidate, made in space.decisions.items() if candidate[1].attention == "se"})
    elsewhere: dict[str, Value] = {"attention": "ras", "ras.depth": 3}
    assert len({unseen.nearest(elsewhere, seed) for seed in range(30)}) > 1
