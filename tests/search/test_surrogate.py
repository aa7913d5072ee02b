"""The model of scores over fields."""

import itertools

import numpy as np
import pytest

import search.surrogate
from search.surrogate import CONSTANT, Array, Encoding, Point, Surrogate, _covariance, _parts

KINDS = {"a": [0.0, 1.0, -1.0], "b": [0.0, 0.0, 0.0], "c": [0.5, -0.5]}
"""What each value of each field adds."""
POINTS = [{"a": f"a{a}", "b": f"b{b}", "c": f"c{c}"} for a, b, c in itertools.product(range(3), range(3), range(2))]
TRUTH = np.array([sum(added) for added in itertools.product(*KINDS.values())])
ENCODING = Encoding(POINTS)
ROWS = ENCODING.rows(POINTS)


def trainings(times: int, noise: float = 0.3, seed: int = 0) -> tuple[Array, Array]:
    """Each point trained so many times."""
    rows = np.tile(ROWS, (times, 1))
    return rows, np.tile(TRUTH, times) + noise * np.random.default_rng(seed).normal(size=len(rows))


def test_trainings_of_all_designs_tell_more_of_one_than_its_own_does() -> None:
    rows, scores = trainings(1, noise=0.8)
    means, _ = Surrogate.fit(rows, scores).predict(ROWS)
    assert np.mean((means - TRUTH) ** 2) < 0.5 * np.mean((scores - TRUTH) ** 2)


def test_the_noise_of_a_training_is_estimated_from_several_of_each_design() -> None:
    for noise in (0.1, 0.5):
        model = Surrogate.fit(*trainings(5, noise))
        assert model.noise == pytest.approx(noise, rel=0.3)


def test_designs_never_trained_are_foreseen_within_what_the_model_is_sure_of() -> None:
    inside = []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(ROWS))
        rows, scores = ROWS[order[:12]], TRUTH[order[:12]] + 0.2 * np.random.default_rng(seed).normal(size=12)
        means, deviations = Surrogate.fit(rows, scores).predict(ROWS[order[12:]])
        inside += list(np.abs(means - TRUTH[order[12:]]) < 2 * deviations)
    assert np.mean(inside) > 0.85


def test_more_trainings_make_surer() -> None:
    deviations = [Surrogate.fit(*trainings(times)).predict(ROWS)[1].mean() for times in (1, 3, 9)]
    assert deviations[0] > deviations[1] > deviations[2]


def test_what_is_believed_changes_no_expectation_and_makes_surer_of_it() -> None:
    model = Surrogate.fit(*trainings(1))
    believing = model.believing(ROWS[:3])
    for before, after in zip(model.predict(ROWS), believing.predict(ROWS), strict=True):
        assert (after <= before + 1e-9).all()
    np.testing.assert_allclose(believing.predict(ROWS)[0], model.predict(ROWS)[0], atol=1e-8)
    assert (believing.predict(ROWS[:3])[1] < model.predict(ROWS[:3])[1]).all()


def test_sums_of_single_designs_are_their_predictions() -> None:
    model = Surrogate.fit(*trainings(1))
    for one, other in zip(model.sums(ROWS, np.eye(len(ROWS))), model.predict(ROWS), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_numbers_close_to_each_other_are_alike_and_to_have_none_is_like_neither() -> None:
    points: list[Point] = [{"kind": "k", "x": 0.0}, {"kind": "k", "x": 0.1}, {"kind": "k"}]
    points += [{"kind": "k", "x": 0.9}, {"kind": "k", "x": 1.0}]
    rows = Encoding(points).rows(points)
    means, _ = Surrogate.fit(rows[[0, 4]], np.array([0.0, 1.0])).predict(rows)
    assert (np.diff(means) > 0).all()


def test_kinds_all_at_once_are_as_each_by_itself() -> None:
    """Covariances are sums of parts, weighed; kinds go by a product of matrices, numbers one by one."""
    random = np.random.default_rng(0)
    left, right = (
        np.column_stack([random.integers(-4, 0, (size, 3)), random.random((size, 2))]).astype(float) for size in (7, 5)
    )
    left[0, 3] = right[1, 3] = -1.0  # to have no number is to be of another kind
    shares = random.random(7)
    expected = CONSTANT + sum(share * part for share, part in zip(shares[1:], _parts(left, right), strict=True))
    np.testing.assert_allclose(_covariance(left, right, shares), expected, rtol=1e-12)
    for fields in (slice(3), slice(3, 5)):
        some = np.append(shares[0], [*shares[1:6][fields], shares[6]])
        parts = zip(some[1:], _parts(left[:, fields], right[:, fields]), strict=True)
        expected = CONSTANT + sum(share * part for share, part in parts)
        np.testing.assert_allclose(_covariance(left[:, fields], right[:, fields], some), expected, rtol=1e-12)


@pytest.mark.parametrize("block", [1, 5, 10_000])
def test_expected_values_are_those_predicted(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search.surrogate, "BLOCK", block)
    model = Surrogate.fit(*trainings(2))
    np.testing.assert_allclose(model.expected(ROWS), model.predict(ROWS)[0], rtol=1e-12)
