"""What stopped trainings tell: curves with planted relations between a rung and the end."""

import numpy as np
import pytest
from numpy.typing import NDArray

from search.extrapolation import curves, foreseen, learnt
from search.surrogate import Array, Encoding, Surrogate

Flags = NDArray[np.bool_]

NOISE = 0.3
RUNG, EPOCHS = 1, 3
NAN = np.nan


def planted(truth: Array, slope: float, left: float, stopped: Flags, seed: int = 0) -> Array:
    """Curves (n, EPOCHS) of designs: the rung is slope x (end - truth's mean) + noise of deviation `left`."""
    random = np.random.default_rng(seed)
    ends = truth + NOISE * random.normal(size=len(truth))
    rung = slope * (ends - truth.mean()) + left * random.normal(size=len(truth))
    return np.where(stopped[:, None] & (np.arange(EPOCHS) >= RUNG), NAN, np.column_stack([rung, rung, ends]))


def worse_half(trained: Array) -> Flags:
    return np.asarray(trained[:, 0] < np.median(trained[:, 0]))


def halved(truth: Array, slope: float, left: float, seed: int = 0) -> tuple[Array, Array]:
    """Curves of which the half with the worse rung is stopped, and those of the same trainings to their ends."""
    whole = planted(truth, slope, left, np.zeros(len(truth), bool), seed)
    return planted(truth, slope, left, worse_half(whole), seed), whole


def test_trainings_at_their_end_are_told_as_they_are() -> None:
    truth = np.random.default_rng(0).normal(size=40)
    trained, whole = halved(truth, 1.0, 0.1)
    scores, weights = foreseen(trained, NOISE)
    ended = ~worse_half(whole)
    np.testing.assert_array_equal(scores[ended], whole[ended, -1])
    np.testing.assert_array_equal(weights[ended], 1.0)


@pytest.mark.parametrize("slope", [0.3, 1.0, 4.0])
def test_where_the_rung_tells_all_the_ends_are_foreseen_and_count_as_whole_trainings(slope: float) -> None:
    truth = np.random.default_rng(0).normal(size=400)
    trained, whole = halved(truth, slope, 0.001)
    scores, weights = foreseen(trained, NOISE)
    stopped = worse_half(whole)
    assert np.abs(scores[stopped] - whole[stopped, -1]).mean() < 0.2
    assert weights[stopped].mean() > 0.5


def test_with_what_is_known_of_all_designs_what_is_told_is_right_on_average_and_as_sure_as_it_says() -> None:
    """Of N(0, 1), and told t with variance v = noise2 / weight: around t / (1 + v), with variance 1 / (1 + 1 / v)."""
    errors = []
    for seed in range(30):
        truth = np.random.default_rng(100 + seed).normal(size=300)
        trained, whole = halved(truth, 1.0, 0.7, seed)
        scores, weights = foreseen(trained, NOISE)
        stopped = worse_half(whole)
        variances = NOISE**2 / weights[stopped]
        errors += list((scores[stopped] / (1 + variances) - truth[stopped]) * np.sqrt(1 + 1 / variances))
    assert abs(np.mean(errors)) < 0.1
    assert np.mean(np.square(errors)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("slope", [0.0, -1.0])
def test_rungs_that_say_nothing_or_the_contrary_count_for_next_to_nothing(slope: float) -> None:
    weights = []
    for seed in range(20):
        trained, whole = halved(np.random.default_rng(100 + seed).normal(size=100), slope, 1.0, seed)
        weights.append(foreseen(trained, NOISE)[1][worse_half(whole)].mean())
    assert np.mean(weights) < 0.01


def test_the_surer_the_rung_and_the_more_have_passed_the_more_it_weighs() -> None:
    def weight(count: int, left: float) -> float:
        found = []
        for seed in range(20):
            trained, whole = halved(np.random.default_rng(100 + seed).normal(size=count), 1.0, left, seed)
            found.append(foreseen(trained, NOISE)[1][worse_half(whole)].mean())
        return float(np.mean(found))

    assert weight(200, 0.1) > weight(200, 0.5) > weight(200, 2.0)
    assert weight(200, 0.3) > weight(20, 0.3) > weight(6, 0.3)


@pytest.mark.parametrize("passed", [0, 1])
def test_before_some_have_passed_nothing_is_told(passed: int) -> None:
    trained = np.array([[0.1, NAN], [0.2, NAN], [0.3, NAN], *[[0.5, 0.6]] * passed])
    scores, weights = foreseen(trained, NOISE)
    assert list(weights) == [0.0] * 3 + [1.0] * passed
    assert np.isfinite(scores).all()


def test_of_two_rungs_the_earlier_one_learns_from_what_was_stopped_at_the_later_one() -> None:
    """Left out, those stopped later would be missed at the lower end of what passed the first rung."""
    random = np.random.default_rng(0)
    ends = random.normal(size=600)
    first, second = ends + 0.5 * random.normal(size=600), ends + 0.1 * random.normal(size=600)
    whole = np.column_stack([first, second, ends])
    at_first = first < np.quantile(first, 0.4)
    at_second = ~at_first & (second < np.median(second))
    trained = whole.copy()
    trained[at_first, 1:] = NAN
    trained[at_second, 2:] = NAN
    scores, weights = foreseen(trained, NOISE)
    assert weights[at_second].mean() > 2 * weights[at_first].mean() > 0
    slope = np.polyfit(ends[at_first], scores[at_first], 1)[0]
    error = np.average((scores - ends)[at_first], weights=weights[at_first])
    assert slope == pytest.approx(1.0, abs=0.3)
    assert abs(error) < 0.25


def test_a_design_that_is_stopped_lowers_what_those_like_it_are_expected_to_give_if_rungs_tell() -> None:
    """Designs with a=bad are all stopped but for the few that the rung did not tell."""
    random = np.random.default_rng(0)
    points = [{"a": a, "b": f"b{number % 5}"} for a in ("good", "fair", "bad") for number in range(20)]
    truth = np.repeat([0.5, 0.0, -2.0], 20)
    rows = Encoding(points).rows(points)
    ends = truth + NOISE * random.normal(size=60)
    bad = truth == -2.0

    def expected(rung: Array) -> tuple[Array, Array]:
        """Of each design, when all the bad ones are stopped, and if one had never begun them."""
        trained = np.column_stack([rung, ends])
        trained[bad, 1] = NAN
        told, untold = learnt(rows, trained), learnt(rows[~bad], trained[~bad])
        return told.predict(rows)[0], untold.predict(rows)[0]

    told, untold = expected(ends + 0.1 * random.normal(size=60))
    assert told[bad].mean() < untold[bad].mean() - 0.5
    assert told[~bad] == pytest.approx(untold[~bad], abs=0.3)
    told, untold = expected(random.normal(size=60))
    np.testing.assert_allclose(told, untold, atol=0.1)


def test_without_stopped_trainings_it_is_the_model_of_all() -> None:
    rows = np.arange(6.0)[:, None] / 6
    ends = np.array([0.1, 0.5, 0.3, 0.2, 0.7, 0.4])
    for one, other in zip(
        learnt(rows, ends[:, None]).predict(rows), Surrogate.fit(rows, ends).predict(rows), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_curves_end_with_what_trainings_came_to_and_have_nothing_where_they_were_stopped() -> None:
    np.testing.assert_array_equal(
        curves([[0.1, 0.2, 0.3], [0.1, 0.2], [None, 0.5, 0.6], []], np.array([0.4, NAN, 0.6, 0.7])),
        [[0.1, 0.2, 0.4], [0.1, 0.2, NAN], [NAN, 0.5, 0.6], [NAN, NAN, 0.7]],
    )
    np.testing.assert_array_equal(curves([[0.1, 0.2], []], np.array([NAN, 0.3])), [[0.1, 0.2, NAN], [NAN, NAN, 0.3]])
