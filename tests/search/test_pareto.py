"""Dominance, hypervolume and knee as properties of point sets."""

import itertools

import numpy as np
import pytest

from search import pareto
from search.pareto import Points


def dominates(one: Points, other: Points) -> bool:
    """Nowhere worse, somewhere better."""
    return bool((one >= other).all() and (one > other).any())


def random_points(seed: int, count: int, objectives: int) -> Points:
    """Points on a grid, so that ties in a coordinate and equal points are among them."""
    return np.random.default_rng(seed).integers(0, 6, (count, objectives)).astype(np.float64) / 5


point_sets = pytest.mark.parametrize(
    "points", [random_points(seed, count, m) for seed, (count, m) in enumerate([(1, 2), (12, 2), (40, 2), (40, 3)] * 3)]
)


@point_sets
def test_a_dominated_point_is_never_on_the_front(points: Points) -> None:
    for index in pareto.non_dominated(points):
        assert not any(dominates(other, points[index]) for other in points)


@point_sets
def test_every_point_off_the_front_is_dominated_by_one_on_it(points: Points) -> None:
    front = pareto.non_dominated(points)
    for index in set(range(len(points))) - set(front):
        assert any(dominates(points[other], points[index]) for other in front)


@point_sets
def test_the_front_does_not_depend_on_the_order_of_the_points(points: Points) -> None:
    order = np.random.default_rng(0).permutation(len(points))
    assert sorted(order[pareto.non_dominated(points[order])]) == pareto.non_dominated(points)


def test_the_front_keeps_the_order_of_the_points() -> None:
    assert pareto.non_dominated(np.array([[0.1, 0.9], [0.5, 0.5], [0.0, 0.0], [0.9, 0.1]])) == [0, 1, 3]


def test_equal_points_are_both_on_the_front() -> None:
    assert pareto.non_dominated(np.array([[0.2, 0.8], [0.1, 0.8], [0.2, 0.8]])) == [0, 2]


def test_of_points_equal_in_all_but_one_objective_the_best_is_the_front() -> None:
    assert pareto.non_dominated(np.array([[0.5, 0.1], [0.5, 0.9], [0.5, 0.4]])) == [1]


@pytest.mark.parametrize("objectives", [2, 3])
def test_no_points_have_an_empty_front_and_no_hypervolume(objectives: int) -> None:
    none = np.empty((0, objectives))
    assert pareto.non_dominated(none) == []
    assert pareto.hypervolume(none) == 0.0


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_hypervolume_is_the_union_of_the_boxes_under_the_points(objectives: int) -> None:
    for seed in range(5):
        points = np.random.default_rng(seed).random((7, objectives))
        union = sum(  # inclusion and exclusion: the boxes of a subset meet in the box of their minimum
            (-1) ** (size + 1) * np.prod(np.min(subset, axis=0))
            for size in range(1, 8)
            for subset in itertools.combinations(points, size)
        )
        assert pareto.hypervolume(points) == pytest.approx(float(union))


@pytest.mark.parametrize("objectives", [2, 3])
def test_hypervolume_is_the_share_of_random_points_that_are_dominated(objectives: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.random((25, objectives))
    tries = rng.random((20_000, objectives))
    share = np.mean([(points >= one).all(axis=1).any() for one in tries])
    assert pareto.hypervolume(points) == pytest.approx(float(share), abs=0.02)


@pytest.mark.parametrize("objectives", [2, 3])
def test_a_further_point_never_lowers_the_hypervolume(objectives: int) -> None:
    points = random_points(3, 20, objectives)
    volumes = [pareto.hypervolume(points[:count]) for count in range(21)]
    assert all(later >= earlier - 1e-12 for earlier, later in itertools.pairwise(volumes))


@pytest.mark.parametrize("objectives", [2, 3])
def test_an_undominated_point_raises_the_hypervolume(objectives: int) -> None:
    points = np.full((1, objectives), 0.5)
    further = np.array([0.6] + [0.1] * (objectives - 1))
    assert pareto.hypervolume(np.vstack([points, further])) > pareto.hypervolume(points)


@point_sets
def test_dominated_and_repeated_points_add_no_hypervolume(points: Points) -> None:
    front = points[pareto.non_dominated(points)]
    assert pareto.hypervolume(points) == pytest.approx(pareto.hypervolume(front))
    assert pareto.hypervolume(np.vstack([points, points])) == pytest.approx(pareto.hypervolume(points))


def test_points_at_or_below_the_reference_in_a_coordinate_dominate_nothing() -> None:
    assert pareto.hypervolume(np.array([[0.5, 0.0], [-1.0, 0.5]])) == 0.0


def test_hypervolume_leaves_its_points_alone() -> None:
    points = np.array([[0.5, -1.0], [0.2, 0.3]])
    kept = points.copy()
    pareto.hypervolume(points)
    np.testing.assert_array_equal(points, kept)


def test_the_knee_is_the_point_farthest_above_the_line_between_the_ends() -> None:
    front = np.array([[1.0, 0.0], [0.9, 0.7], [0.6, 0.8], [0.0, 1.0]])
    distance = (front.sum(axis=1) - 1) / np.sqrt(2)  # to x + y = 1
    assert pareto.knee(front) == int(np.argmax(distance)) == 1


def test_the_knee_does_not_depend_on_the_units_of_the_objectives() -> None:
    front = np.array([[1.0, 0.0], [0.9, 0.7], [0.6, 0.8], [0.0, 1.0]])
    assert pareto.knee(front * [1.0, 1e6] + [5.0, -3.0]) == pareto.knee(front)


@pytest.mark.parametrize("front", [[[0.3, 0.9]], [[0.3, 0.9], [0.8, 0.1]], [[0.8, 0.1], [0.3, 0.9]]])
def test_the_knee_of_one_or_two_points_is_the_best_in_the_first_objective(front: list[list[float]]) -> None:
    assert pareto.knee(np.array(front)) == int(np.argmax([first for first, _ in front]))


def test_a_front_of_equal_points_has_a_knee() -> None:
    assert pareto.knee(np.full((4, 2), 0.5)) in range(4)


def test_scale_maps_the_bounds_to_0_and_1_and_clips_beyond_them() -> None:
    values = np.array([[2.0, -1.0], [4.0, 1.0], [3.0, 0.0], [-9.0, 9.0]])
    scaled = pareto.scale(values, np.array([2.0, -1.0]), np.array([4.0, 1.0]))
    np.testing.assert_allclose(scaled, [[0.0, 0.0], [1.0, 1.0], [0.5, 0.5], [0.0, 1.0]])


def test_scale_is_1_where_the_bounds_are_equal() -> None:
    scaled = pareto.scale(np.array([[3.0, 0.5]]), np.array([3.0, 0.0]), np.array([3.0, 1.0]))
    np.testing.assert_allclose(scaled, [[1.0, 0.5]])


@point_sets
def test_layers_are_the_fronts_of_what_is_left(points: Points) -> None:
    left, found = np.arange(len(points)), pareto.layers(points)
    for layer in range(int(found.max()) + 1):
        front = left[pareto.non_dominated(points[left])]
        assert set(front) == set(np.flatnonzero(found == layer))
        left = np.setdiff1d(left, front)
    assert not len(left)


@point_sets
def test_a_contribution_is_what_the_hypervolume_lacks_without_the_point(points: Points) -> None:
    whole = pareto.hypervolume(points)
    without = [pareto.hypervolume(np.delete(points, index, axis=0)) for index in range(len(points))]
    np.testing.assert_allclose(pareto.contributions(points), whole - np.array(without), atol=1e-12)


def test_no_points_have_no_layers_and_no_contributions() -> None:
    none = np.empty((0, 2))
    assert (len(pareto.layers(none)), len(pareto.contributions(none))) == (0, 0)
