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


def every(candidate: Candidate) -> bool:
    return True


def test_each_design_is_left_until_it_is_discarded(space: SearchSpace) -> None:
    unseen = Unseen(space.decisions, every)
    left = list(space.enumerate())
    random.Random(0).shuffle(left)
    while left:
        assert unseen
        assert all(unseen.nearest(space.decisions[candidate], seed=0) == candidate for candidate in left)
        gone = left.pop()
        unseen.discard(gone)
        unseen.discard(gone)
    assert not unseen


@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_allowed_is_never_left(space: SearchSpace, seed: int) -> None:
    allowed = set(random.Random(seed).sample(list(space.enumerate()), 5))
    unseen = Unseen(space.decisions, allowed.__contains__)
    for candidate in space.enumerate():
        found = unseen.nearest(space.decisions[candidate], seed)
        assert found in allowed
        nearest = min(differences(space, candidate, other) for other in allowed)
        assert differences(space, candidate, found) == nearest
    for candidate in allowed:
        assert unseen
        unseen.discard(candidate)
    assert not unseen
    assert not Unseen(space.decisions, set[Candidate]().__contains__)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_is_left_and_differs_in_the_fewest_decisions(space: SearchSpace, seed: int) -> None:
    unseen = Unseen(space.decisions, every)
    left = list(space.enumerate())
    random.Random(seed).shuffle(left)
    while len(left) > 1:
        gone = left.pop()
        unseen.discard(gone)
        found = unseen.nearest(space.decisions[gone], mix_seed(seed, len(left)))
        assert found in left
        assert differences(space, gone, found) == min(differences(space, gone, other) for other in left)


def test_decisions_that_no_design_has_differ_from_all_alike(space: SearchSpace) -> None:
    of_se = {candidate: made for candidate, made in space.decisions.items() if candidate[1].attention == "se"}
    unseen = Unseen(of_se, every)
    elsewhere: dict[str, Value] = {"attention": "ras", "ras.depth": 3}
    assert len({unseen.nearest(elsewhere, seed) for seed in range(30)}) > 1


def test_each_design_is_asked_for_at_most_once(space: SearchSpace) -> None:
    asked: list[Candidate] = []

    def allowed(candidate: Candidate) -> bool:
        asked.append(candidate)
        return len(asked) % 2 == 0

    unseen = Unseen(space.decisions, allowed)
    for seed, candidate in enumerate(space.enumerate()):
        unseen.nearest(space.decisions[candidate], seed)
    assert len(asked) == len(set(asked))
